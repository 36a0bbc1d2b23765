"""Counting: no further than people read on, and as a part of a query."""

from django.db.models import IntegerField, Subquery

MOST_COUNTED = 1_000  # beyond, an overview says "more than"


class CountOf(Subquery):
    """How many rows a query has, which may be cut short."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = IntegerField()
