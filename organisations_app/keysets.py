"""Pages of a long list that begin beyond a row, not after a number of rows (keyset paging).

They stay right while rows come and go, rows with equal values are neither shown twice nor lost, and the last page is
as fast as the first. The lists of the admin and of `/api/v1` are both paged so. An order is a list of names of fields,
related fields or annotations, `-` before those that descend; it ends with what makes a row unique.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from django.core.exceptions import FieldDoesNotExist
from django.core.exceptions import ValidationError as InvalidValue
from django.db.models import F, Field, Func, Model, Q, QuerySet, Value
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import Combinable
from django.db.models.lookups import GreaterThan, LessThan


class WrongPlace(ValueError):
    """A place that this list never named: from another order, or made up."""


class Place(NamedTuple):
    """Where a page begins: beyond the row with these values of the order's fields; without values, at the end.

    `backwards`: the page lies before that row.
    """

    backwards: bool
    values: list[Any]


LAST = Place(backwards=True, values=[])


@dataclass(frozen=True, slots=True)
class Shown:
    """One page: its rows, and the places where its neighbours begin (None: there are none)."""

    rows: list[Any]
    before: Place | None
    after: Place | None


def page(rows: QuerySet[Any, Any], order: Sequence[str], place: Place | None, size: int) -> Shown:
    """The page of `rows` that begins at `place`; None is the first one. Raises WrongPlace."""
    backwards = place is not None and place.backwards
    turned = [_turned(name) for name in order] if backwards else list(order)
    try:
        found = _beyond(rows, turned, place.values) if place and place.values else rows
        taken = list(found.order_by(*sorting(rows, turned))[: size + 1])
    except (InvalidValue, ValueError, TypeError, OverflowError) as error:
        raise WrongPlace(str(error)) from None
    more, shown = len(taken) > size, taken[:size]
    if backwards:
        shown.reverse()
    has_before, has_after = (more, bool(place and place.values)) if backwards else (place is not None, more)
    return Shown(
        shown,
        Place(True, [_value(shown[0], name) for name in order]) if has_before and shown else None,
        Place(False, [_value(shown[-1], name) for name in order]) if has_after and shown else None,
    )


# --- places in addresses ----------------------------------------------------------------------------------------------


def written(place: Place) -> str:
    """For a parameter of an address."""
    text = json.dumps(place, default=_plain, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


def read(text: str, order: Sequence[str]) -> Place:
    """The place that `written` made of one of a list in this order. Raises WrongPlace."""
    try:
        backwards, values = json.loads(base64.urlsafe_b64decode(text.encode("ascii")))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise WrongPlace("no place in a list") from None
    if not isinstance(backwards, bool) or not isinstance(values, list) or len(values) not in (0, len(order)):
        raise WrongPlace("a place in another list")
    if not values and not backwards:  # the first page has no place
        raise WrongPlace("a place that no list names")
    if not all(value is None or (isinstance(value, str | int | float) and "\0" not in str(value)) for value in values):
        raise WrongPlace("a place with values that no row has")
    return Place(backwards, values)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


# --- conditions -------------------------------------------------------------------------------------------------------


def sorting(rows: QuerySet[Any, Any], order: Sequence[str]) -> list[Any]:
    """For `order_by`. Empty values count as the greatest on every database, as PostgreSQL's indices have them."""
    return [_sorted_by(name, _may_be_null(rows, name.removeprefix("-"))) for name in order]


def _sorted_by(name: str, nullable: bool) -> Any:
    if not nullable:
        return name
    field = F(name.removeprefix("-"))
    return field.desc(nulls_first=True) if name.startswith("-") else field.asc(nulls_last=True)


def _beyond(rows: QuerySet[Any, Any], order: Sequence[str], values: Sequence[Any]) -> QuerySet[Any, Any]:
    """Rows after the one with these values."""
    names = [name.removeprefix("-") for name in order]
    descends = {name.startswith("-") for name in order}
    if len(descends) == 1 and None not in values and not any(_may_be_null(rows, name) for name in names):
        return rows.filter(_compared(rows, names, values, descending=descends.pop()))
    beyond, equal = Q(), Q()
    for name, value in zip(order, values, strict=True):
        beyond |= equal & _after(rows, name, value)
        equal &= Q(**{f"{name.removeprefix('-')}__isnull": True} if value is None else {name.removeprefix("-"): value})
    return rows.filter(_bound(rows, order[0], values[0]) & beyond)


def _compared(rows: QuerySet[Any, Any], names: Sequence[str], values: Sequence[Any], *, descending: bool) -> Combinable:
    """`(a, b) > (1, 2)`: an index on (a, b) goes to the place directly, also among a million equal values of `a`."""
    fields = [_field(rows, name) for name in names]
    given = [Value(field.to_python(value), output_field=field) for field, value in zip(fields, values, strict=True)]
    row, place = (Func(*parts, function="", output_field=fields[0]) for parts in (map(F, names), given))
    comparison: Combinable = (LessThan if descending else GreaterThan)(row, place)
    return comparison


def _after(rows: QuerySet[Any, Any], name: str, value: Any) -> Q:
    """What this field alone puts after `value`; NULL is the greatest."""
    field, descending = name.removeprefix("-"), name.startswith("-")
    if value is None:
        return Q(**{f"{field}__isnull": False}) if descending else Q(pk__in=[])
    if descending:
        return Q(**{f"{field}__lt": value})
    greater = Q(**{f"{field}__gt": value})
    return greater | Q(**{f"{field}__isnull": True}) if _may_be_null(rows, field) else greater


def _bound(rows: QuerySet[Any, Any], name: str, value: Any) -> Q:
    """Says again of the first field alone what `beyond` says of all: this an index can use."""
    field, descending = name.removeprefix("-"), name.startswith("-")
    if value is None or (not descending and _may_be_null(rows, field)):
        return Q()
    return Q(**{f"{field}__{'lte' if descending else 'gte'}": value})


def _turned(name: str) -> str:
    return name.removeprefix("-") if name.startswith("-") else f"-{name}"


# --- fields -----------------------------------------------------------------------------------------------------------


def complete(model: type[Model], ordering: Sequence[str]) -> list[str]:
    """The ordering as an order: relations in their own order, and at the end what makes a row unique, which runs in
    the direction of the last name so that one index serves both.
    """
    order = [part for name in ordering for part in _expanded(model, name)]
    unique = {"pk", model._meta.pk.name, model._meta.pk.attname}
    for place, name in enumerate(order):
        if name.removeprefix("-") in unique:
            return order[: place + 1]
    return [*order, "-pk" if order and order[-1].startswith("-") else "pk"]


def _expanded(model: type[Model], ordering: str) -> list[str]:
    sign, name = "-" if ordering.startswith("-") else "", ordering.removeprefix("-")
    try:
        path = _path(model, name)
    except FieldDoesNotExist:
        return [ordering]  # an annotation
    related: Any = path[-1].related_model
    if related is None or name.endswith(path[-1].attname):
        return [ordering]
    inner = complete(related, related._meta.ordering) if related._meta.ordering else ["pk"]
    return [_signed(sign, name, part) for part in inner]


def _signed(sign: str, name: str, part: str) -> str:
    below = f"{name}{LOOKUP_SEP}{part.removeprefix('-')}"
    return f"-{below}" if bool(sign) != part.startswith("-") else below


def _path(model: type[Model], name: str) -> list[Any]:
    """The fields that a name leads through. Raises FieldDoesNotExist."""
    path: list[Any] = []
    current: Any = model
    for part in name.split(LOOKUP_SEP):
        path.append(current._meta.pk if part == "pk" else current._meta.get_field(part))
        current = path[-1].related_model
    return path


def _may_be_null(rows: QuerySet[Any, Any], name: str) -> bool:
    """Of annotations nobody knows."""
    if name in rows.query.annotations:
        return True
    return any(getattr(field, "null", True) for field in _path(rows.model, name))


def _field(rows: QuerySet[Any, Any], name: str) -> "Field[Any, Any]":
    field: Field[Any, Any] = _path(rows.model, name)[-1]
    return field.target_field if field.is_relation else field  # type: ignore[attr-defined]


def _value(row: Any, name: str) -> Any:
    """What `row`, an object or a mapping, has under this name."""
    path = name.removeprefix("-")
    if isinstance(row, Mapping):
        return row[path]
    for part in path.split(LOOKUP_SEP):
        row = getattr(row, part, None)
    return row
