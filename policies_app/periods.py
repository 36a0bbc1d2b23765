"""Calendar periods: when a day, week or month begins in an organisation's time zone (rule 2.4). Pure."""

import calendar
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo


def period_starts_ms(kind: str, anchor_day: int, zone: str, now_ms: int, count: int = 4) -> tuple[int, ...]:
    """Starts (unix ms) of `count` consecutive periods, the first one being the period that holds `now_ms`.

    `kind` is day, week (from Monday) or month (from `anchor_day`, clamped to the month's length). Days begin at local
    midnight, so a period over a clock change is an hour shorter or longer.
    """
    local = ZoneInfo(zone)
    first = _first_day(kind, anchor_day, datetime.fromtimestamp(now_ms / 1000, local).date())
    starts = [first]
    while len(starts) < count:
        starts.append(_next_day(kind, anchor_day, starts[-1]))
    return tuple(_midnight_ms(day, local) for day in starts)


def _first_day(kind: str, anchor_day: int, today: date) -> date:
    if kind == "day":
        return today
    if kind == "week":
        return today - timedelta(days=today.weekday())
    this_month = _anchored(today.year, today.month, anchor_day)
    if this_month <= today:
        return this_month
    before = today.replace(day=1) - timedelta(days=1)
    return _anchored(before.year, before.month, anchor_day)


def _next_day(kind: str, anchor_day: int, start: date) -> date:
    if kind != "month":
        return start + timedelta(days=7 if kind == "week" else 1)
    after = start.replace(day=28) + timedelta(days=4)
    return _anchored(after.year, after.month, anchor_day)


def _anchored(year: int, month: int, anchor_day: int) -> date:
    return date(year, month, min(anchor_day, calendar.monthrange(year, month)[1]))


def _midnight_ms(day: date, local: ZoneInfo) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=local).timestamp() * 1000)
