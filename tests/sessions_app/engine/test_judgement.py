"""From readings to what a caller is told: pure, so every case is a value."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sessions_app.engine.decide import decide, limit_states, weighted_usage
from sessions_app.engine.types import (
    Decision,
    Limit,
    LimitName,
    LimitReading,
    LimitState,
    Outcome,
    QuotaReading,
    RateReading,
    Reading,
    Status,
)
from tests.sessions_app.engine.world import DAY_MS, HOUR_MS, NOON_MS, grant_of, quota, rate


def judged(pairs: list[tuple[Limit, LimitReading]], now_ms: int = NOON_MS, cost: int = 1) -> Decision:
    """The decision on a request, admitted if every limit allows it."""
    admitted = all(reading.allowed for _, reading in pairs)
    reading = Reading(Status.JUDGED, now_ms, admitted, tuple(reading for _, reading in pairs))
    return decide(grant_of("acme", [limit for limit, _ in pairs]), reading, cost)


def state_of(limit: Limit, reading: LimitReading, now_ms: int = NOON_MS) -> LimitState:
    return judged([(limit, reading)], now_ms).states[0]


@pytest.mark.parametrize(
    ("limit", "reading", "expected"),
    [
        pytest.param(
            quota("c", 10),
            QuotaReading(True, 3, NOON_MS - 1500, NOON_MS + HOUR_MS - 1500),
            LimitState(LimitName.KEY_QUOTA, 10, 3, 7, 3600, 3599, NOON_MS // 1000 + 3599, False),
            id="a rolling quota, times rounded up",
        ),
        pytest.param(
            quota("c", 10),
            QuotaReading(True, 0, 0, 0),
            LimitState(LimitName.KEY_QUOTA, 10, 0, 10, 3600, None, None, False),
            id="a rolling quota before its first request",
        ),
        pytest.param(
            quota("c", 10, 0),
            QuotaReading(True, 4, NOON_MS, 0),
            LimitState(LimitName.KEY_QUOTA, 10, 4, 6, None, None, None, False),
            id="an endless quota",
        ),
        pytest.param(
            quota("c", 10),
            QuotaReading(False, 12, NOON_MS, NOON_MS + HOUR_MS),
            LimitState(LimitName.KEY_QUOTA, 10, 12, 0, 3600, 3600, NOON_MS // 1000 + 3600, True),
            id="a quota lowered below its usage",
        ),
        pytest.param(
            quota("c", 10, 0, boundaries_ms=(NOON_MS - DAY_MS, NOON_MS + 23 * HOUR_MS, NOON_MS + 47 * HOUR_MS)),
            QuotaReading(True, 1, NOON_MS, NOON_MS + 23 * HOUR_MS),
            LimitState(LimitName.KEY_QUOTA, 10, 1, 9, 47 * 3600, 23 * 3600, NOON_MS // 1000 + 23 * 3600, False),
            id="a calendar quota: the length of the current period",
        ),
        pytest.param(
            rate("c", 10, 60_000),
            RateReading(True, 8, 3, NOON_MS - 30_000),
            LimitState(LimitName.KEY_RATE, 10, 7, 3, 60, 30, NOON_MS // 1000 + 30, False),
            id="a rate: half of the previous window still shows",
        ),
        pytest.param(
            rate("c", 10, 500),
            RateReading(True, 0, 1, NOON_MS),
            LimitState(LimitName.KEY_RATE, 10, 1, 9, 1, 1, NOON_MS // 1000 + 1, False),
            id="a window below a second",
        ),
    ],
)
def test_states_in_human_units(limit: Limit, reading: LimitReading, expected: LimitState) -> None:
    assert state_of(limit, reading) == expected


def test_a_pass_names_its_grant_and_what_it_crossed() -> None:
    grant = grant_of("acme")
    decision = decide(grant, Reading(Status.JUDGED, NOON_MS, True, crossed=2))
    assert (decision.outcome, decision.crossed, decision.grant, decision.violated) == (Outcome.PASSED, 2, grant, ())


def test_all_that_deny_are_named_in_the_order_of_the_rules() -> None:
    spent, full = QuotaReading(False, 10, NOON_MS, NOON_MS + HOUR_MS), RateReading(False, 0, 5, NOON_MS)
    pairs: list[tuple[Limit, LimitReading]] = [
        (quota("k"), spent),
        (rate("k"), full),
        (quota("o", name=LimitName.ORG_QUOTA), spent),
        (rate("o", name=LimitName.ORG_RATE), full),
    ]
    decision = judged(pairs)
    assert decision.outcome is Outcome.DENIED
    assert decision.violated == tuple(LimitName)
    assert [state.name for state in decision.states] == list(LimitName)


def test_looking_gives_the_same_states_as_judging() -> None:
    limit, found = quota("k"), QuotaReading(False, 10, NOON_MS, NOON_MS + HOUR_MS)
    reading = Reading(Status.JUDGED, NOON_MS, False, (found,))
    grant = grant_of("acme", [limit])
    assert limit_states(grant, reading) == decide(grant, reading).states


@pytest.mark.parametrize(
    ("pairs", "cost", "expected"),
    [
        pytest.param([(quota("k"), QuotaReading(False, 10, NOON_MS, NOON_MS + 1))], 1, 1, id="at least a second"),
        pytest.param([(quota("k"), QuotaReading(False, 10, NOON_MS, NOON_MS + 1001))], 1, 2, id="rounded up"),
        pytest.param([(quota("k", 10, 0), QuotaReading(False, 10, NOON_MS, 0))], 1, None, id="never renews"),
        pytest.param(
            [
                (quota("k"), QuotaReading(False, 10, NOON_MS, NOON_MS + 9000)),
                (rate("k", 5, 60_000), RateReading(False, 0, 5, NOON_MS)),
            ],
            1,
            61,
            id="the longest of several",
        ),
        pytest.param(
            [
                (quota("o", 10, 0, name=LimitName.ORG_QUOTA), QuotaReading(False, 10, NOON_MS, 0)),
                (rate("k", 5, 60_000), RateReading(False, 0, 5, NOON_MS)),
            ],
            1,
            None,
            id="one of several never renews",
        ),
        pytest.param(
            [
                (quota("k"), QuotaReading(True, 1, NOON_MS, NOON_MS + HOUR_MS)),
                (rate("k", 5, 1000), RateReading(False, 0, 5, NOON_MS)),
            ],
            1,
            2,
            id="limits that allow do not count",
        ),
        pytest.param(
            [(quota("k", 10), QuotaReading(False, 1, NOON_MS, NOON_MS + 5))], 11, None, id="a cost above the quota"
        ),
        pytest.param([(rate("k", 5), RateReading(False, 0, 0, NOON_MS))], 6, None, id="a cost above the rate"),
    ],
)
def test_retry_after(pairs: list[tuple[Limit, LimitReading]], cost: int, expected: int | None) -> None:
    assert judged(pairs, cost=cost).retry_after_seconds == expected


def rolled(reading: RateReading, window_ms: int, now_ms: int) -> RateReading:
    """The same counter at a later time if nobody else came."""
    steps = (now_ms - reading.window_start_ms) // window_ms
    if steps == 0:
        return reading
    previous = reading.current if steps == 1 else 0
    return RateReading(True, previous, 0, reading.window_start_ms + steps * window_ms)


@given(
    maximum=st.integers(1, 200),
    window_ms=st.integers(1, 200_000),
    previous=st.integers(0, 400),
    current=st.integers(0, 400),
    elapsed=st.floats(0, 1, exclude_max=True),
    cost=st.integers(1, 3),
)
def test_after_the_wait_a_rate_admits_and_a_second_before_it_does_not(
    maximum: int, window_ms: int, previous: int, current: int, elapsed: float, cost: int
) -> None:
    assume(cost <= maximum)
    start_ms = NOON_MS // window_ms * window_ms
    now_ms = start_ms + int(elapsed * window_ms)
    limit, reading = rate("k", maximum, window_ms), RateReading(False, previous, current, start_ms)
    assume(weighted_usage(reading, window_ms, now_ms) + cost > maximum)

    seconds = judged([(limit, reading)], now_ms, cost).retry_after_seconds

    def admits(later_ms: int) -> bool:
        later = rolled(reading, window_ms, later_ms)
        return weighted_usage(later, window_ms, later_ms) + cost <= maximum

    assert seconds is not None
    assert admits(now_ms + 1000 * seconds)
    assert seconds == 1 or not admits(now_ms + 1000 * (seconds - 1))


@given(maximum=st.integers(1, 10**15), used=st.integers(0, 10**15), left_ms=st.integers(1, 10**12))
def test_a_quota_never_shows_less_than_nothing_nor_a_time_too_early(maximum: int, used: int, left_ms: int) -> None:
    state = state_of(quota("k", maximum), QuotaReading(used < maximum, used, NOON_MS - 1, NOON_MS + left_ms))
    assert state.remaining == max(0, maximum - used)
    assert state.reset_seconds is not None
    assert state.resets_at is not None
    assert 0 <= 1000 * state.reset_seconds - left_ms < 1000
    assert 0 <= 1000 * state.resets_at - (NOON_MS + left_ms) < 1000


def test_a_reading_of_another_kind_is_an_error() -> None:
    with pytest.raises(TypeError, match="is no reading of"):
        judged([(quota("k"), RateReading(True, 0, 0, NOON_MS))])
