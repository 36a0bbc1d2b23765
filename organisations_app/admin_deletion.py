"""The page that asks before something is deleted says how much goes with it, without reading it: an organisation may
own a million keys. Django would load every row and list it.

Read-only admins (the ledger, deliveries) do not stand in the way: their rows go with what they belong to, if the reader
has the permission to delete them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.contrib.auth import get_permission_codename
from django.db import connection
from django.db.models import CASCADE, PROTECT, RESTRICT, Model, QuerySet, Value
from django.http import HttpRequest
from django.utils.text import capfirst
from unfold.admin import ModelAdmin

MOST_LISTED = 100
MOST_COUNTED = 1_000


class BriefDeletion(ModelAdmin):
    """Names the objects themselves, and counts what goes with them, up to a bound."""

    def get_deleted_objects(
        self, objs: Iterable[Model], request: HttpRequest
    ) -> tuple[list[str], dict[str, Any], set[str], list[str]]:
        rows = list(objs)
        counts: dict[str, Any] = {str(self.opts.verbose_name_plural): len(rows)}
        forbidden, protecting = set(), []
        if not all(self.has_delete_permission(request, row) for row in rows):
            forbidden.add(str(self.opts.verbose_name))
        dependents = list(_dependents(self.model, [row.pk for row in rows]))
        for place, count in sorted(_counted([related for related, _ in dependents]).items()):
            related, on_delete = dependents[place]
            kind = related.model._meta
            counts[str(kind.verbose_name_plural)] = _words(count)
            if on_delete is not CASCADE:
                protecting.append(str(kind.verbose_name_plural))
            if not request.user.has_perm(f"{kind.app_label}.{get_permission_codename('delete', kind)}"):
                forbidden.add(str(kind.verbose_name))
        named = [f"{capfirst(self.opts.verbose_name)}: {row}" for row in rows[:MOST_LISTED]]
        more = [f"and {len(rows) - MOST_LISTED:,} more"] if len(rows) > MOST_LISTED else []
        return [*named, *more], counts, forbidden, protecting


def _dependents(model: type[Model], pks: list[Any]) -> Iterator[tuple[QuerySet[Any], Any]]:
    """Rows of other models that go with these, or forbid it; each model by the first way that leads to it."""
    seen: set[Any] = {model}
    ways: list[tuple[Any, str]] = [(model, "")]
    for owner, path in ways:  # grows as it is walked
        for relation in owner._meta.related_objects:
            related: Any = relation.related_model
            if related in seen or relation.on_delete not in (CASCADE, PROTECT, RESTRICT):
                continue
            seen.add(related)
            way = f"{relation.field.name}__{path}" if path else relation.field.name
            yield related._default_manager.filter(**{f"{way}__in": pks}), relation.on_delete
            ways.append((related, way))


def _counted(several: Sequence[QuerySet[Any]]) -> Counter[int]:
    """How many rows each has that has any, by its place; up to the bound. One statement for all."""
    marked = [rows.order_by().annotate(place=Value(place)).values_list("place") for place, rows in enumerate(several)]
    if connection.features.supports_slicing_ordering_in_compound:
        marked = [rows[: MOST_COUNTED + 1] for rows in marked]
    return Counter(place for (place,) in marked[0].union(*marked[1:], all=True)) if marked else Counter()


def _words(count: int) -> Any:
    return count if count <= MOST_COUNTED else f"more than {MOST_COUNTED:,}"
