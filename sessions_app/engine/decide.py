"""The judgement in human units: from what the counters said to what the caller is told. Pure (sections 2, 4, 8)."""

from collections.abc import Sequence

from sessions_app.engine.types import (
    Decision,
    Grant,
    Limit,
    LimitName,
    LimitReading,
    LimitState,
    Outcome,
    QuotaLimit,
    QuotaReading,
    RateLimit,
    RateReading,
    Reading,
)

ORDER = {name: place for place, name in enumerate(LimitName)}


def decide(grant: Grant, reading: Reading, cost: int = 1) -> Decision:
    """The decision for a judged request of `cost` units; limits and violations in the order of rule 2.8."""
    now_ms = reading.now_ms
    judged = _in_order(grant, reading)
    states = tuple(_state(limit, found, now_ms) for limit, found in judged)
    if reading.admitted:
        return Decision(Outcome.PASSED, states, crossed=reading.crossed, grant=grant)
    denying = [(limit, found) for limit, found in judged if not found.allowed]
    return Decision(
        Outcome.DENIED,
        states,
        violated=tuple(limit.name for limit, _ in denying),
        retry_after_seconds=_retry_after_seconds(denying, now_ms, cost),
        grant=grant,
    )


def limit_states(grant: Grant, reading: Reading) -> tuple[LimitState, ...]:
    """The states alone: what a usage page shows. `denies` says what the next request would meet."""
    return tuple(_state(limit, found, reading.now_ms) for limit, found in _in_order(grant, reading))


def _in_order(grant: Grant, reading: Reading) -> list[tuple[Limit, LimitReading]]:
    judged = list(zip(grant.limits, reading.limits, strict=True))
    if len(judged) > 1:
        judged.sort(key=lambda pair: ORDER[pair[0].name])
    return judged


def _state(limit: Limit, reading: LimitReading, now_ms: int) -> LimitState:
    if isinstance(limit, QuotaLimit) and isinstance(reading, QuotaReading):
        return _quota_state(limit, reading, now_ms)
    if isinstance(limit, RateLimit) and isinstance(reading, RateReading):
        return _rate_state(limit, reading, now_ms)
    raise TypeError(f"{reading!r} is no reading of {limit!r}")


def _quota_state(limit: QuotaLimit, reading: QuotaReading, now_ms: int) -> LimitState:
    end_ms = reading.period_end_ms
    return LimitState(
        name=limit.name,
        max=limit.max,
        used=reading.used,
        remaining=max(0, limit.max - reading.used),
        window_seconds=_period_seconds(limit, end_ms),
        reset_seconds=_seconds(end_ms - now_ms) if end_ms else None,
        resets_at=_seconds(end_ms) if end_ms else None,
        denies=not reading.allowed,
    )


def _period_seconds(limit: QuotaLimit, end_ms: int) -> int | None:
    """Length of the period: nominal if rolling, that of the current one if calendar, None if the quota never renews."""
    if limit.boundaries_ms:
        start_ms = limit.boundaries_ms[limit.boundaries_ms.index(end_ms) - 1]
        return _seconds(end_ms - start_ms)
    return _seconds(limit.period_ms) if limit.period_ms > 0 else None


def _rate_state(limit: RateLimit, reading: RateReading, now_ms: int) -> LimitState:
    used = weighted_usage(reading, limit.window_ms, now_ms)
    end_ms = reading.window_start_ms + limit.window_ms
    return LimitState(
        name=limit.name,
        max=limit.max,
        used=used,
        remaining=max(0, limit.max - used),
        window_seconds=_seconds(limit.window_ms),
        reset_seconds=_seconds(end_ms - now_ms),
        resets_at=_seconds(end_ms),
        denies=not reading.allowed,
    )


def weighted_usage(reading: RateReading, window_ms: int, now_ms: int) -> int:
    """The current window, plus as much of the previous one as the sliding window still shows (rule 4.1)."""
    elapsed = max(0, now_ms - reading.window_start_ms)
    return reading.previous * (window_ms - elapsed) // window_ms + reading.current


def _retry_after_seconds(denying: Sequence[tuple[Limit, LimitReading]], now_ms: int, cost: int) -> int | None:
    """After how long the request passes if nobody else comes: the longest of all waits; None if one never ends."""
    waits_ms = [_wait_ms(limit, reading, now_ms, cost) for limit, reading in denying]
    known = [wait for wait in waits_ms if wait is not None]
    return max(1, _seconds(max(known))) if known and len(known) == len(waits_ms) else None


def _wait_ms(limit: Limit, reading: LimitReading, now_ms: int, cost: int) -> int | None:
    if cost > limit.max:
        return None
    if isinstance(limit, RateLimit) and isinstance(reading, RateReading):
        return _rate_wait_ms(limit, reading, now_ms, cost)
    if isinstance(reading, QuotaReading) and reading.period_end_ms:
        return reading.period_end_ms - now_ms
    return None


def _rate_wait_ms(limit: RateLimit, reading: RateReading, now_ms: int, cost: int) -> int:
    """Either the previous window fades enough while the current one lasts, or then the current one has to fade."""
    room = limit.max - cost - reading.current
    if room >= 0:
        return reading.window_start_ms + _fading_ms(reading.previous, room, limit.window_ms) - now_ms
    faded_ms = _fading_ms(reading.current, limit.max - cost, limit.window_ms)
    return reading.window_start_ms + limit.window_ms + faded_ms - now_ms


def _fading_ms(count: int, room: int, window_ms: int) -> int:
    """The least e >= 0 with `count * (window - e) // window <= room`."""
    return max(0, window_ms - ((room + 1) * window_ms - 1) // count) if count else 0


def _seconds(milliseconds: int) -> int:
    """Whole seconds, rounded up: who waits that long is never too early."""
    return -(-milliseconds // 1000)
