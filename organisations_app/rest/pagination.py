"""Lists of `/api/v1` in pages that stay right while rows come and go, and as fast at the last page as at the first."""

from collections.abc import Sequence
from typing import Any

from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from organisations_app import keysets
from organisations_app.keysets import Place, WrongPlace

MAX_PAGE_SIZE = 200


class Pages(CursorPagination):
    """`page_size` 1 to 200; `next` and `previous` are whole addresses. A page begins beyond a row: see keysets.py."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = MAX_PAGE_SIZE

    address: str
    before: Place | None
    after: Place | None

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.address = request.build_absolute_uri()
        order = getattr(view, "sums_by", None) or keysets.complete(
            queryset.model, self.get_ordering(request, queryset, view)
        )
        try:
            shown = keysets.page(queryset, order, self._place(request, order), self._size(request))
        except WrongPlace:
            raise NotFound(self.invalid_cursor_message) from None
        self.before, self.after = shown.before, shown.after
        return shown.rows

    def get_next_link(self) -> str | None:
        return self._link(self.after)

    def get_previous_link(self) -> str | None:
        return self._link(self.before)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri", "description": "A whole address; null: no more."}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def _link(self, place: Place | None) -> str | None:
        return replace_query_param(self.address, self.cursor_query_param, keysets.written(place)) if place else None

    def _place(self, request: Request, order: Sequence[str]) -> Place | None:
        text = request.query_params.get(self.cursor_query_param)
        return None if text is None else keysets.read(text, order)

    def _size(self, request: Request) -> int:
        text = request.query_params.get(self.page_size_query_param or "", str(self.page_size))
        if not text.isdecimal() or len(text) > 4 or not 1 <= int(text) <= MAX_PAGE_SIZE:
            raise ValidationError({"page_size": [f"must be a whole number from 1 to {MAX_PAGE_SIZE}"]})
        return int(text)
