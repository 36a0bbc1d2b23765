"""Admin lists over big tables: nothing is counted, and no page is found by counting rows off.

A list inherits `PagedAdmin` before `ModelAdmin`; that is all:

    class KeyAdmin(PagedAdmin, VersionedAdmin): ...

* Pages begin beyond a row (see keysets.py): first, previous, next, last. Search, filters, actions on selected rows and
  on all that match work as always. A list with a ChangeList of its own derives it from `KeysetChangeList`.
* The number below the list is exact up to MOST_COUNTED rows. Beyond that it is PostgreSQL's own estimate of the table
  ("about 1,000,000"), or for filtered lists and other databases "more than 1,000".
* What is sorted by (`ordering`, `@display(ordering=...)`) is a name: of a field, of a related one, or of an annotation.
  A sort is as fast as the index under it: `sortable_by` should leave out columns of a big table that have none.
* What still reads a whole table, and does not belong on a big one: `date_hierarchy` (use BetweenFilter),
  AllValuesFieldListFilter (name the values), `list_editable`, searching without an index, annotations that aggregate.
* `UncountedPaginator` serves the autocomplete fields that look a row up.
"""

from collections.abc import Sequence
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR
from django.core.paginator import Page, Paginator
from django.db import connections
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from organisations_app import keysets
from organisations_app.counting import MOST_COUNTED
from organisations_app.keysets import LAST, Place, Shown, WrongPlace

DIGITS_OF_AN_ESTIMATE = 3


class Amount(int):
    """A number of rows, and in words how exactly it is known."""

    words: str

    @classmethod
    def exactly(cls, rows: int) -> "Amount":
        return cls._in_words(rows, f"{rows:,}")

    @classmethod
    def about(cls, rows: int) -> "Amount":
        rounded = round(rows, DIGITS_OF_AN_ESTIMATE - len(str(rows)))
        return cls._in_words(rounded, f"about {rounded:,}")

    @classmethod
    def more_than(cls, rows: int) -> "Amount":
        return cls._in_words(rows + 1, f"more than {rows:,}")

    @classmethod
    def of(cls, rows: QuerySet[Any]) -> "Amount":
        """Counts no further than it takes to know that there are more than MOST_COUNTED."""
        return cls.counted(rows.order_by().values("pk")[: MOST_COUNTED + 1].count())

    @classmethod
    def counted(cls, rows: int) -> "Amount":
        """What such a count came to."""
        return cls.exactly(rows) if rows <= MOST_COUNTED else cls.more_than(MOST_COUNTED)

    @classmethod
    def _in_words(cls, rows: int, words: str) -> "Amount":
        amount = cls(rows)
        amount.words = words
        return amount

    def __str__(self) -> str:
        return self.words


class KeysetPaginator:
    """What the page's foot shows: where the neighbouring pages are, as query strings, empty for those that are not."""

    template_name = "organisations_app/admin/keyset_pagination.html"

    def __init__(self, changes: ChangeList, shown: Shown) -> None:
        self.first = _link(changes, None) if shown.before else ""
        self.previous = _link(changes, shown.before) if shown.before else ""
        self.next = _link(changes, shown.after) if shown.after else ""
        self.last = _link(changes, LAST) if shown.after else ""


def _link(changes: ChangeList, place: Place | None) -> str:
    query: str = changes.get_query_string({PAGE_VAR: keysets.written(place)} if place else {}, [PAGE_VAR])
    return query


class KeysetChangeList(ChangeList):
    order: list[str]

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """Remembers the order by its names; Django sorts by them."""
        named = super().get_ordering(request, queryset)
        self.order = keysets.complete(self.model, named)
        return keysets.sorting(queryset, self.order)

    def _get_deterministic_ordering(self, ordering: Sequence[Any]) -> list[Any]:
        """`keysets.complete` does this, in the direction of the index."""
        return list(ordering)

    def get_results(self, request: HttpRequest) -> None:
        try:
            shown = keysets.page(self.queryset, self.order, self._place(request), self.list_per_page)
        except WrongPlace as error:
            raise IncorrectLookupParameters from error
        self.result_list = shown.rows
        self.paginator = KeysetPaginator(self, shown)
        self.result_count = self._amount(shown)
        # Django's own links to pages and to "all" are not wanted, and whether the list is filtered is asked by number.
        self.multi_page = self.can_show_all = False
        self.show_admin_actions, self.show_full_result_count = True, False
        self.full_result_count = None if self.query or self.has_active_filters else self.result_count

    def _place(self, request: HttpRequest) -> Place | None:
        text = request.GET.get(PAGE_VAR, "")
        return None if not text or text.isdecimal() else keysets.read(text, self.order)

    def _amount(self, shown: Shown) -> Amount:
        if shown.before is None and shown.after is None:
            return Amount.exactly(len(shown.rows))
        counted = Amount.of(self.queryset)
        if counted <= MOST_COUNTED or self.queryset.query.where:
            return counted
        estimated = estimated_rows(self.queryset)
        return Amount.about(estimated) if estimated > counted else counted


def estimated_rows(rows: QuerySet[Any]) -> int:
    """How many rows the whole table has, as PostgreSQL's statistics say; 0 where nobody knows."""
    connection = connections[rows.db]
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [rows.model._meta.db_table])
        return max(0, int(cursor.fetchone()[0]))


class UncountedPaginator(Paginator[Any]):
    """Pages by number that know only whether there is a next one: for autocomplete fields, whose readers type on."""

    def page(self, number: Any) -> "UncountedPage":
        place = max(1, int(number)) if str(number).isdecimal() else 1
        begin = (place - 1) * self.per_page
        rows: Any = self.object_list
        taken = list(rows[begin : begin + self.per_page + 1])
        return UncountedPage(taken[: self.per_page], place, self, more=len(taken) > self.per_page)


class UncountedPage(Page[Any]):
    def __init__(self, rows: list[Any], number: int, paginator: UncountedPaginator, *, more: bool) -> None:
        super().__init__(rows, number, paginator)
        self.more = more

    def has_next(self) -> bool:
        return self.more

    def has_other_pages(self) -> bool:
        return self.more or self.number > 1


class PagedAdmin(ModelAdmin):
    """A list of any length."""

    list_per_page = 50
    show_full_result_count = False
    paginator = UncountedPaginator

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetChangeList
