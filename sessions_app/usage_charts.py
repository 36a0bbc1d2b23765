"""Requests per day from the hourly usage in the database, as the bars of a chart."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db.models import QuerySet, Sum
from django.db.models.functions import TruncDate

from sessions_app.models import UsageHour

DAYS = 14
GAP = 0.25  # of a day's width


@dataclass(frozen=True, slots=True)
class DayBar:
    """One day: its numbers, and its two rectangles in per cent of the picture, ready for SVG."""

    day: date
    passed: int
    denied: int
    x: str
    width: str
    passed_y: str
    passed_height: str
    denied_y: str
    denied_height: str


@dataclass(frozen=True, slots=True)
class UsageChart:
    bars: tuple[DayBar, ...]
    passed: int
    denied: int
    highest: int

    @property
    def today(self) -> DayBar:
        return self.bars[-1]

    @property
    def denied_percent(self) -> str:
        return f"{100 * self.denied / max(1, self.passed + self.denied):.1f}"

    @property
    def first_day(self) -> date:
        return self.bars[0].day

    @property
    def last_day(self) -> date:
        return self.bars[-1].day


def daily_chart(hours: QuerySet[UsageHour], zone: ZoneInfo, now: datetime, days: int = DAYS) -> UsageChart:
    """The last `days` calendar days in `zone`, today included, in one query."""
    first = now.astimezone(zone).date() - timedelta(days=days - 1)
    rows = (
        hours.filter(hour__gte=datetime.combine(first, time.min, zone))
        .annotate(day=TruncDate("hour", tzinfo=zone))
        .order_by()
        .values_list("day")
        .annotate(Sum("passed"), Sum("denied"))
    )
    return draw_chart({day: (passed, denied) for day, passed, denied in rows}, first, days)


def draw_chart(totals: Mapping[date, tuple[int, int]], first: date, days: int) -> UsageChart:
    """Places `(passed, denied)` of each day; denied ones stand on top. The highest day fills the picture. Pure."""
    dates = [first + timedelta(days=offset) for offset in range(days)]
    numbers = [totals.get(day, (0, 0)) for day in dates]
    highest = max(passed + denied for passed, denied in numbers)
    width = 100 / days
    bars = tuple(
        _bar(day, counts, (place + GAP / 2) * width, (1 - GAP) * width, highest or 1)
        for place, (day, counts) in enumerate(zip(dates, numbers, strict=True))
    )
    return UsageChart(bars, sum(passed for passed, _ in numbers), sum(denied for _, denied in numbers), highest)


def _bar(day: date, counts: tuple[int, int], x: float, width: float, highest: int) -> DayBar:
    passed, denied = (count * 100 / highest for count in counts)
    return DayBar(
        day=day,
        passed=counts[0],
        denied=counts[1],
        x=f"{x:.2f}%",
        width=f"{width:.2f}%",
        passed_y=f"{100 - passed:.2f}%",
        passed_height=f"{passed:.2f}%",
        denied_y=f"{100 - passed - denied:.2f}%",
        denied_height=f"{denied:.2f}%",
    )
