"""Lists of `/api/v1` in pages that stay right while rows come and go, and as fast at the last page as at the first."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError as InvalidValue
from django.db.models import Q, QuerySet
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.utils.encoders import JSONEncoder
from rest_framework.utils.urls import replace_query_param

MAX_PAGE_SIZE = 200


class Place(NamedTuple):
    """Where a page begins: beyond the row with these values of the ordering's fields."""

    backwards: bool
    values: list[Any]


class Pages(CursorPagination):
    """`page_size` 1 to 200; `next` and `previous` are whole addresses.

    A page begins beyond a row, named by all fields of the ordering (the last is unique), not after a number of rows:
    rows with equal values are neither shown twice nor lost, however many there are.
    """

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE

    address: str
    shown: list[Any]

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.address = request.build_absolute_uri()
        self.fields = getattr(view, "sums_by", None) or self._complete(self.get_ordering(request, queryset, view), view)
        place, size = self._place(request), self._size(request)
        backwards = place is not None and place.backwards
        order = [_reversed(name) for name in self.fields] if backwards else self.fields
        rows = self._rows(queryset.order_by(*order), order, place, size + 1)
        more, self.shown = len(rows) > size, rows[:size]
        if backwards:
            self.shown.reverse()
        self.has_next, self.has_previous = more or backwards, more if backwards else place is not None
        return self.shown

    def get_next_link(self) -> str | None:
        return self._link(backwards=False) if self.has_next and self.shown else None

    def get_previous_link(self) -> str | None:
        return self._link(backwards=True) if self.has_previous and self.shown else None

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri", "description": "A whole address; null: no more."}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def _link(self, *, backwards: bool) -> str:
        row = self.shown[0 if backwards else -1]
        text = json.dumps([backwards, [_value(row, name) for name in self.fields]], cls=JSONEncoder)
        return replace_query_param(self.address, "cursor", base64.urlsafe_b64encode(text.encode()).decode())

    def _complete(self, ordering: Sequence[str], view: Any) -> list[str]:
        """The ordering, ended by what makes a row unique: `tiebreak` of the view."""
        names = [name.removeprefix("-") for name in ordering]
        return [*ordering, *(name for name in getattr(view, "tiebreak", ("id",)) if name not in names)]

    def _rows(self, rows: QuerySet[Any], order: Sequence[str], place: Place | None, count: int) -> list[Any]:
        try:
            return list((rows.filter(_beyond(order, place.values)) if place else rows)[:count])
        except (InvalidValue, ValueError, TypeError, OverflowError):
            raise NotFound(self.invalid_cursor_message) from None

    def _place(self, request: Request) -> Place | None:
        text = request.query_params.get(self.cursor_query_param)
        if text is None:
            return None
        try:
            backwards, values = json.loads(base64.urlsafe_b64decode(text.encode("ascii")))
        except (ValueError, TypeError, binascii.Error, RecursionError):
            raise NotFound(self.invalid_cursor_message) from None
        if not isinstance(backwards, bool) or not isinstance(values, list) or len(values) != len(self.fields):
            raise NotFound(self.invalid_cursor_message)
        if not all(isinstance(value, str | int) and "\0" not in str(value) for value in values):
            raise NotFound(self.invalid_cursor_message)
        return Place(backwards, values)

    def _size(self, request: Request) -> int:
        text = request.query_params.get(self.page_size_query_param or "", str(self.page_size))
        if not text.isdecimal() or len(text) > 4 or not 1 <= int(text) <= MAX_PAGE_SIZE:
            raise ValidationError({"page_size": [f"must be a whole number from 1 to {MAX_PAGE_SIZE}"]})
        return int(text)


def _beyond(order: Sequence[str], values: Sequence[Any]) -> Q:
    """Rows after the one with these values. The first field's own bound is what an index can use."""
    names = [name.removeprefix("-") for name in order]
    steps = ["lt" if name.startswith("-") else "gt" for name in order]
    beyond, equal = Q(), Q()
    for name, step, value in zip(names, steps, values, strict=True):
        beyond |= equal & Q(**{f"{name}__{step}": value})
        equal &= Q(**{name: value})
    return Q(**{f"{names[0]}__{steps[0]}e": values[0]}) & beyond


def _reversed(name: str) -> str:
    return name.removeprefix("-") if name.startswith("-") else f"-{name}"


def _value(row: Any, name: str) -> Any:
    field = name.removeprefix("-")
    return row[field] if isinstance(row, Mapping) else getattr(row, field)
