"""Requests by the hour, day, key or API, summed from the hourly usage in the database."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Max, QuerySet, Sum
from django.db.models.functions import TruncDay

from sessions_app.models import UsageHour

# What a sum can be taken by, and where it comes from.
DIMENSIONS: dict[str, Any] = {
    "hour": None,
    "day": TruncDay("hour"),
    "org_id": F("organisation_id"),
    "key_id": None,
    "api_id": None,
}
LONGEST_SERIES = timedelta(days=92)


def summed(hours: QuerySet[UsageHour], *by: str) -> QuerySet[UsageHour, dict[str, Any]]:
    """Rows of the named DIMENSIONS with `passed` and `denied`; days begin at midnight UTC. One row for each life of the
    counter store is in the table: readers always sum.
    """
    named = {name: DIMENSIONS[name] for name in by if DIMENSIONS[name] is not None}
    rows = hours.order_by().annotate(**named).values(*by)
    sums: QuerySet[UsageHour, dict[str, Any]] = rows.annotate(passed_sum=Sum("passed"), denied_sum=Sum("denied"))
    return sums


def in_period(hours: QuerySet[UsageHour], begin: datetime | None, end: datetime | None) -> QuerySet[UsageHour]:
    """Hours that begin in [begin, end)."""
    hours = hours.filter(hour__gte=begin) if begin else hours
    return hours.filter(hour__lt=end) if end else hours


def last_hours(key_ids: Iterable[str]) -> dict[str, datetime]:
    """The beginning of the last hour in which each key was used, by key id; of those that ever were."""
    rows = UsageHour.objects.filter(key__in=list(key_ids)).order_by().values("key_id").annotate(last=Max("hour"))
    return dict(rows.values_list("key_id", "last"))
