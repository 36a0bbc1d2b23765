"""Versions of the configuration: every change moves one, and the counter function compares them with each request
(rule 1.5).

A change is `bump(scope)` in its own transaction. On commit the publisher (registered by the layer that speaks to the
store) tells the store; what it could not tell stays marked and is swept later.
"""

from collections.abc import Callable, Iterable

from django.db import transaction
from django.db.models import F

from organisations_app.models import ConfigVersion

GATEWAY = "gateway"
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


def bump(*scopes: str) -> None:
    """Marks the configuration of these scopes as changed. Effective when the surrounding transaction commits."""
    with transaction.atomic():
        for scope in sorted(set(scopes)):
            if not ConfigVersion.objects.filter(scope=scope).update(number=F("number") + 1):
                _, created = ConfigVersion.objects.get_or_create(scope=scope)
                if not created:
                    ConfigVersion.objects.filter(scope=scope).update(number=F("number") + 1)
        transaction.on_commit(lambda: _publish(list(scopes)))


def _publish(scopes: list[str]) -> None:
    if _publisher is not None:
        _publisher(scopes)


def numbers(scopes: Iterable[str]) -> dict[str, int]:
    """The current number of each scope; a scope that never changed is at 0."""
    known = dict(ConfigVersion.objects.filter(scope__in=list(scopes)).values_list("scope", "number"))
    return {scope: known.get(scope, 0) for scope in scopes}


def mark_published(published: dict[str, int]) -> None:
    """Remembers which numbers the store knows by now; a newer number stays to be published."""
    for scope, number in published.items():
        ConfigVersion.objects.filter(scope=scope, published__lt=number).update(published=number)


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
