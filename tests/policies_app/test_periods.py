"""Calendar periods (rule 2.4), against an independent walk over the days."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies_app.periods import period_starts_ms


def starts(kind: str, anchor: int, zone: str, now: str) -> list[str]:
    local = ZoneInfo(zone)
    now_ms = round(datetime.fromisoformat(now).replace(tzinfo=local).timestamp() * 1000)
    found = period_starts_ms(kind, anchor, zone, now_ms, 3)
    return [datetime.fromtimestamp(start / 1000, local).strftime("%Y-%m-%d %H:%M") for start in found]


CASES = {
    "day": ("day", 1, "UTC", "2026-03-01 13:00", ["2026-03-01 00:00", "2026-03-02 00:00", "2026-03-03 00:00"]),
    "day that begins at midnight": (
        "day",
        1,
        "UTC",
        "2026-03-01 00:00",
        ["2026-03-01 00:00", "2026-03-02 00:00", "2026-03-03 00:00"],
    ),
    "week from Monday": (
        "week",
        1,
        "Europe/Berlin",
        "2026-11-22 12:00",
        ["2026-11-16 00:00", "2026-11-23 00:00", "2026-11-30 00:00"],
    ),
    "month": ("month", 1, "UTC", "2026-12-31 23:59", ["2026-12-01 00:00", "2027-01-01 00:00", "2027-02-01 00:00"]),
    "anchor 31 in a leap year": (
        "month",
        31,
        "UTC",
        "2028-02-10 00:00",
        ["2028-01-31 00:00", "2028-02-29 00:00", "2028-03-31 00:00"],
    ),
    "anchor 15, before it": (
        "month",
        15,
        "UTC",
        "2026-01-14 23:59",
        ["2025-12-15 00:00", "2026-01-15 00:00", "2026-02-15 00:00"],
    ),
}


@pytest.mark.parametrize(("kind", "anchor", "zone", "now", "expected"), CASES.values(), ids=CASES.keys())
def test_starts(kind, anchor, zone, now, expected):
    assert starts(kind, anchor, zone, now) == expected


def test_a_day_with_a_clock_change_has_23_or_25_hours():
    spring = period_starts_ms(
        "day", 1, "Europe/Berlin", round(datetime(2026, 3, 29, 12, tzinfo=UTC).timestamp() * 1000), 2
    )
    autumn = period_starts_ms(
        "day", 1, "Europe/Berlin", round(datetime(2026, 10, 25, 12, tzinfo=UTC).timestamp() * 1000), 2
    )
    assert [(end - start) / 3_600_000 for start, end in (spring, autumn)] == [23, 25]


@given(
    st.sampled_from(["day", "week", "month"]),
    st.integers(1, 31),
    st.sampled_from(
        ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo"]
    ),
    st.datetimes(datetime(2010, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),
)
def test_starts_agree_with_a_walk_over_the_days(kind, anchor, zone, moment):
    now_ms = round(moment.timestamp() * 1000)
    found = period_starts_ms(kind, anchor, zone, now_ms, 2)
    assert found[0] <= now_ms < found[1]
    local = ZoneInfo(zone)
    days = [datetime.fromtimestamp(start / 1000, local).date() for start in found]
    day, first_days = days[0], []
    while day <= days[1]:
        last_of_month = (day + timedelta(days=1)).day == 1
        begins = {
            "day": True,
            "week": day.isoweekday() == 1,
            "month": day.day == anchor or (last_of_month and day.day < anchor),
        }
        if begins[kind]:
            first_days.append(day)
        day += timedelta(days=1)
    assert first_days == days
