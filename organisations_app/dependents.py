"""What goes with a row when it is deleted: counted up to a bound, or erased lot by lot, without reading any of it.

An organisation may own a million keys. Django would load every row.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from django.db import connection
from django.db.models import CASCADE, PROTECT, RESTRICT, Model, QuerySet

from organisations_app.counting import MOST_COUNTED, CountOf


@dataclass(frozen=True, slots=True)
class Dependents:
    """`count` of rows of one model, no further than to MOST_COUNTED + 1. `is_least`: not all owners were looked at.
    `is_listed`: other than bookkeeping that no page shows.
    """

    model: type[Model]
    count: int
    is_least: bool
    is_listed: bool
    forbids: bool

    @property
    def are_many(self) -> bool:
        return self.is_least or self.count > MOST_COUNTED


def dependents_of(model: type[Model], pks: Collection[Any]) -> list[Dependents]:
    """What goes with these rows, or forbids that they go; each model by the first way that leads to it. A statement a
    level, which looks at no more than MOST_COUNTED owners of a kind.
    """
    found: list[Dependents] = []
    seen = {model}
    level: list[tuple[type[Model], Any, bool]] = [(model, list(pks), False)]
    while level:
        ways = [way for owner, rows, is_cut in level for way in _ways(owner, rows, is_cut, seen)]
        counts = _counted(model, pks, [way.rows for way in ways])
        level = []
        for way, count in zip(ways, counts, strict=True):
            found += [way.dependents(count)] if count or way.is_cut else []
            if count:
                level.append((way.rows.model, way.rows.values("pk"), way.is_cut or count > MOST_COUNTED))
    return found


def erase(rows: QuerySet[Any], most: int) -> int:
    """Deletes these rows and what goes with them, at most about `most` rows; returns how many. To be repeated until it
    returns 0. What points at other things goes before these: nothing is left without its owner, or has to be pointed
    at nothing.
    """
    pks = list(rows.order_by().values_list("pk", flat=True)[:most])
    if not pks:
        return 0
    erased = 0
    for relation in _dependents_first(rows.model):
        erased += erase(_of(relation, pks), most - erased)
        if erased >= most:
            return erased
    return erased + int(rows.model._default_manager.filter(pk__in=pks).delete()[0])


def prefer_indices() -> None:
    """Until the transaction ends. By its statistics PostgreSQL still expects rows where the last lots have erased all,
    and would look for them in the whole table.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")


def count_all(rows: QuerySet[Any]) -> int:
    """These rows and what goes with them. Reads indices from end to end: nothing for a request."""
    below = [_of(relation, rows.order_by().values("pk")) for relation in _cascading(rows.model)]
    return rows.count() + sum(count_all(each) for each in below)


@dataclass(frozen=True, slots=True)
class _Way:
    relation: Any
    rows: QuerySet[Any]
    is_cut: bool

    def dependents(self, count: int) -> Dependents:
        forbids = self.relation.on_delete is not CASCADE
        return Dependents(self.rows.model, count, self.is_cut, not self.relation.hidden, forbids)


def _ways(owner: type[Model], rows: Any, is_cut: bool, seen: set[type[Model]]) -> Iterator[_Way]:
    for relation in _relations(owner, CASCADE, PROTECT, RESTRICT):
        if relation.related_model not in seen:
            seen.add(relation.related_model)
            yield _Way(relation, _of(relation, rows).order_by()[: MOST_COUNTED + 1], is_cut)


def _counted(model: type[Model], pks: Collection[Any], several: Sequence[QuerySet[Any]]) -> tuple[int, ...]:
    """One statement, hung upon one of the rows."""
    if not several or not pks:
        return (0,) * len(several)
    counts = {f"count_{place}": CountOf(rows.values("pk")) for place, rows in enumerate(several)}
    one: Any = model._default_manager.filter(pk=next(iter(pks))).order_by()
    row: tuple[int, ...] | None = one.annotate(**counts).values_list(*counts).first()
    return row or (0,) * len(several)


def _of(relation: Any, owners: Any) -> QuerySet[Any]:
    rows: QuerySet[Any] = relation.related_model._default_manager.filter(**{f"{relation.field.name}__in": owners})
    return rows


def _cascading(model: type[Model]) -> Iterator[Any]:
    return _relations(model, CASCADE)


def _dependents_first(model: type[Model]) -> list[Any]:
    """The cascading relations, so that of two models the one that points at the other comes first."""
    relations = list(_cascading(model))
    models = {relation.related_model for relation in relations}
    before = {each: {other for other in models - {each} if _points_at(other, each)} for each in models}
    places = {each: place for place, each in enumerate(TopologicalSorter(before).static_order())}
    return sorted(relations, key=lambda relation: places[relation.related_model])


def _points_at(model: type[Model], other: type[Model]) -> bool:
    return any(field.related_model is other for field in model._meta.concrete_fields)


def _relations(model: type[Model], *on_delete: Any) -> Iterator[Any]:
    """Keys of other models to this one, with those that have no name from this side."""
    for field in model._meta.get_fields(include_hidden=True):
        is_reverse = field.auto_created and not field.concrete and (field.one_to_one or field.one_to_many)
        if is_reverse and field.on_delete in on_delete:  # type: ignore[union-attr]
            yield field
