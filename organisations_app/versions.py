"""Versions of the configuration: every change moves one, and the counter function compares them with each request
(rule 1.5).

A change is `bump(scope)` in its own transaction. On commit the publisher (registered by the layer that speaks to the
store) tells the store; what it could not tell stays marked and is swept later.
"""

from collections.abc import Callable, Iterable, Mapping

from django.db import connection, transaction
from django.db.models import F

from organisations_app.models import ConfigVersion

GATEWAY = "gateway"
SCOPES_PER_STATEMENT = 1_000
Publisher = Callable[[list[str]], object]
_publisher: Publisher | None = None


def organisation_scope(organisation_id: str) -> str:
    return f"org:{organisation_id}"


def key_scope(organisation_id: str, key_id: str) -> str:
    """The organisation is part of it because it says where in the store the version lives."""
    return f"key:{organisation_id}:{key_id}"


def register_publisher(publisher: Publisher) -> None:
    """Called once, at start, by the layer that can reach the counter store."""
    global _publisher
    _publisher = publisher


# In the order of the scopes, so that two writers that touch the same ones wait for each other, never in a circle.
_MOVE = """
INSERT INTO organisations_app_configversion AS stored (scope, number, published) VALUES {rows}
ON CONFLICT (scope) DO UPDATE SET number = stored.number + 1
"""


def bump(*scopes: str) -> None:
    """Marks the configuration of these scopes as changed. Effective when the surrounding transaction commits."""
    ordered = sorted(set(scopes))
    with transaction.atomic(), connection.cursor() as cursor:
        for begin in range(0, len(ordered), SCOPES_PER_STATEMENT):
            lot = ordered[begin : begin + SCOPES_PER_STATEMENT]
            cursor.execute(_MOVE.format(rows=", ".join(["(%s, 1, 0)"] * len(lot))), lot)
        _publish_on_commit(ordered)


class _Publication:
    """What a transaction changed, told to the store all at once when it is committed."""

    def __init__(self) -> None:
        self.scopes: set[str] = set()

    def __call__(self) -> None:
        if _publisher is not None:
            _publisher(sorted(self.scopes))


def _publish_on_commit(scopes: Iterable[str]) -> None:
    """Adds to the publication that waits for the commit already, if there is one.

    That one is dropped only if a savepoint is rolled back that is open now, and then our change is undone, too. If
    only our own is rolled back, a number is told once more, which does no harm.
    """
    waiting = (hook[1] for hook in connection.run_on_commit)
    publication = next((each for each in waiting if isinstance(each, _Publication)), None)
    if publication is None:
        publication = _Publication()
        transaction.on_commit(publication)
    publication.scopes.update(scopes)


def numbers(scopes: Iterable[str]) -> dict[str, int]:
    """The current number of each scope; a scope that never changed is at 0."""
    known = dict(ConfigVersion.objects.filter(scope__in=list(scopes)).values_list("scope", "number"))
    return {scope: known.get(scope, 0) for scope in scopes}


def mark_published(published: Mapping[str, int]) -> None:
    """Remembers which numbers the store knows by now; a newer number stays to be published.

    A mark that comes late may hide that a newer number is known, too: then that one is published again.
    """
    ConfigVersion.objects.bulk_create(
        [ConfigVersion(scope=scope, number=at, published=at) for scope, at in sorted(published.items()) if at],
        update_conflicts=True,
        unique_fields=["scope"],
        update_fields=["published"],
    )


def unpublished(limit: int = 1000) -> list[str]:
    """Scopes whose change the store may not know yet."""
    return list(ConfigVersion.objects.filter(number__gt=F("published")).values_list("scope", flat=True)[:limit])


@transaction.atomic
def raise_to(numbers: dict[str, int]) -> None:
    """Sets each scope to at least this number."""
    for scope, number in numbers.items():
        row, created = ConfigVersion.objects.get_or_create(scope=scope, defaults={"number": number})
        if not created:
            ConfigVersion.objects.filter(pk=row.pk, number__lt=number).update(number=number)
