"""Requests counted again by the hour, against a simulation that knows the moment of each (rules 2.1, 2.3, 2.4, 2.6)."""

from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies_app.periods import period_starts_ms
from sessions_app.replay import HOUR_MS, Lot, Precision, Quota, replay

BEGIN_MS = round(datetime(2025, 3, 20, tzinfo=UTC).timestamp() * 1000)  # clocks change on the 30th in Europe
HOURS = 14 * 24
MAXIMA = st.integers(1, 60)
WHOLE_HOURS = st.integers(1, 400).map(lambda hours: hours * HOUR_MS)


def simulated(moments_ms: list[int], quota: Quota) -> int:
    """How many of these requests are denied, one after the other, as the engine does it: written without `replay`."""
    start_ms = used = denied = 0
    for moment in sorted(moments_ms):
        if quota.starts_ms:
            over = start_ms < max(start for start in quota.starts_ms if start <= moment)
        else:
            over = quota.period_ms > 0 and moment >= start_ms + quota.period_ms
        if over or not start_ms:
            start_ms, used = moment, 0
        if used < quota.max:
            used += 1
        else:
            denied += 1
    return denied


def lots(moments_ms: list[int], quota: Quota) -> list[Lot]:
    hours = Counter(moment - moment % HOUR_MS for moment in moments_ms)
    return [Lot(hour, quota, passed, 0) for hour, passed in hours.items()]


def denied(found: list[Lot], used: int = 0) -> int:
    return sum(judged.denied for judged in replay(found, used))


@st.composite
def moments(draw: st.DrawFn, step_ms: int) -> list[int]:
    """Bursts of requests at multiples of `step_ms`."""
    bursts = draw(st.lists(st.tuples(st.integers(0, HOURS * HOUR_MS // step_ms - 1), st.integers(1, 40)), max_size=25))
    return [BEGIN_MS + place * step_ms for place, count in bursts for _ in range(count)]


@settings(deadline=None, max_examples=200)
@given(moments(HOUR_MS), MAXIMA, WHOLE_HOURS)
def test_rolling_periods_are_right_when_requests_come_on_the_hour(found, most, period_ms):
    quota = Quota(most, period_ms)
    assert quota.precision is Precision.ABOUT
    assert denied(lots(found, quota)) == simulated(found, quota)


@settings(deadline=None, max_examples=200)
@given(
    moments(1000),
    MAXIMA,
    st.sampled_from(["day", "week", "month"]),
    st.integers(1, 31),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Pacific/Auckland"]),
)
def test_calendar_periods_on_whole_hours_are_exact(found, most, kind, anchor_day, zone):
    quota = Quota(most, starts_ms=period_starts_ms(kind, anchor_day, zone, BEGIN_MS, 20))
    assert quota.precision is Precision.EXACT
    assert denied(lots(found, quota)) == simulated(found, quota)


@settings(deadline=None, max_examples=200)
@given(moments(1000), MAXIMA)
def test_an_endless_period_is_exact(found, most):
    quota = Quota(most)
    assert quota.precision is Precision.EXACT
    assert denied(lots(found, quota)) == simulated(found, quota)


@settings(deadline=None, max_examples=300)
@given(moments(1000), st.integers(1, 5), st.integers(1, 3599).map(lambda seconds: seconds * 1000))
def test_of_periods_shorter_than_an_hour_at_least_so_many_are_denied(found, most, period_ms):
    quota = Quota(most, period_ms)
    assert quota.precision is Precision.AT_LEAST
    assert denied(lots(found, quota)) <= simulated(found, quota)


def test_half_hours_cut_hours_in_two():
    quota = Quota(5, starts_ms=period_starts_ms("day", 1, "Asia/Kolkata", BEGIN_MS, 5))
    assert quota.precision is Precision.ABOUT


@settings(deadline=None)
@given(moments(HOUR_MS), MAXIMA, WHOLE_HOURS, st.integers(0, 100))
def test_nothing_is_lost_and_nothing_invented(found, most, period_ms, used):
    quota = Quota(most, period_ms)
    judged = list(replay([lot._replace(denied=3) for lot in lots(found, quota)], used))
    assert sum(each.passed + each.denied for each in judged) == len(found)
    assert all(0 <= each.admitted <= 3 and each.passed >= 0 and each.denied >= 0 for each in judged)


def test_what_was_used_before_counts_in_an_endless_period():
    assert denied([Lot(BEGIN_MS, Quota(10), 8, 0)], used=5) == 3


def test_what_was_denied_then_is_let_pass_as_far_as_the_quota_has_room():
    quota = Quota(10, 24 * HOUR_MS)
    hours = [Lot(BEGIN_MS, quota, 6, 0), Lot(BEGIN_MS + HOUR_MS, quota, 1, 2), Lot(BEGIN_MS + 2 * HOUR_MS, quota, 0, 9)]
    assert [judged.admitted for judged in replay(hours)] == [0, 2, 1]


def test_what_was_denied_then_takes_no_room_from_what_passed():
    quota = Quota(10, 24 * HOUR_MS)
    hours = [Lot(BEGIN_MS, quota, 5, 50), Lot(BEGIN_MS + HOUR_MS, quota, 5, 0)]
    assert denied(hours) == 0


def test_each_of_those_who_share_a_counter_is_judged_by_its_own_quota():
    small, great = Quota(5, 24 * HOUR_MS), Quota(20, 24 * HOUR_MS)
    hours = [Lot(BEGIN_MS, great, 8, 0), Lot(BEGIN_MS + HOUR_MS, small, 4, 0), Lot(BEGIN_MS + HOUR_MS, great, 4, 0)]
    assert [(judged.passed, judged.denied) for judged in replay(hours)] == [(8, 0), (0, 4), (4, 0)]


@pytest.mark.parametrize(
    ("quota", "start", "at", "runs"),
    [
        (Quota(1, 1000), 0, 5, False),
        (Quota(1, 1000), 10, 1009, True),
        (Quota(1, 1000), 10, 1010, False),
        (Quota(1), 10, 10**12, True),
        (Quota(1, starts_ms=(100, 200, 300)), 150, 199, True),
        (Quota(1, starts_ms=(100, 200, 300)), 150, 200, False),
        (Quota(1), -7, 10, False),  # the store's sign for a counter that was reset
    ],
)
def test_whether_a_period_still_runs(quota, start, at, runs):
    assert quota.runs(start, at) is runs
