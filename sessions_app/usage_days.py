"""Usage by the day: the hours of each organisation, summed as they are written, for charts of everything.

`grow` belongs to the transaction that writes hours. Whoever writes hours past it (an import, invented data) calls
`recount`.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime

from django.db import transaction
from django.db.models import QuerySet, Sum

from sessions_app.models import UsageDay, UsageHour
from sessions_app.usage_series import DIMENSIONS

Name = tuple[str, date]  # organisation's id and day (UTC)


def locked(names: set[Name]) -> dict[Name, UsageDay]:
    """The rows of these days, made if need be; whoever else writes hours of them waits. To be called before the hours
    are read: what is added later must be the difference to what nobody else changes meanwhile.
    """
    UsageDay.objects.bulk_create(
        [UsageDay(organisation_id=organisation, day=day) for organisation, day in sorted(names)], ignore_conflicts=True
    )
    organisations, days = {organisation for organisation, _ in names}, {day for _, day in names}
    rows = UsageDay.objects.filter(organisation__in=organisations, day__in=days)
    return {(row.organisation_id, row.day): row for row in rows.select_for_update().order_by("organisation", "day")}


def grow(days: Mapping[Name, UsageDay], growth: Iterable[tuple[Name, int, int]]) -> None:
    """Adds `(name, passed, denied)` to days that are `locked`."""
    grown = set()
    for name, passed, denied in growth:
        days[name].passed += passed
        days[name].denied += denied
        grown.add(name)
    UsageDay.objects.bulk_update([days[name] for name in grown], ["passed", "denied"], batch_size=500)


@transaction.atomic
def recount(begin: date | None = None) -> int:
    """Sums the hours since `begin` anew, or all; returns how many days of organisations there are. Workers that count
    beside it may add to a day twice: it is for what happens before they do.
    """
    days, hours = UsageDay.objects.all(), UsageHour.objects.all()
    if begin is not None:
        days, hours = days.filter(day__gte=begin), hours.filter(hour__date__gte=begin)
    days.delete()
    sums = hours.order_by().annotate(day=DIMENSIONS["day"]).values("organisation_id", "day")
    made = UsageDay.objects.bulk_create(
        [
            UsageDay(organisation_id=row["organisation_id"], day=_day(row["day"]), passed=row["p"], denied=row["d"])
            for row in sums.annotate(p=Sum("passed"), d=Sum("denied")).iterator()
        ],
        batch_size=1_000,
    )
    return len(made)


def daily_totals(days: QuerySet[UsageDay], first: date) -> dict[date, tuple[int, int]]:
    """`(passed, denied)` of each day since `first`, of all organisations of `days` together."""
    rows = days.filter(day__gte=first).order_by().values_list("day").annotate(Sum("passed"), Sum("denied"))
    return {day: (passed, denied) for day, passed, denied in rows}


def _day(moment: datetime | date) -> date:
    return moment.date() if isinstance(moment, datetime) else moment
