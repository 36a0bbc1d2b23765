"""What the counter functions must do, in the plainest Python: the model that the Lua is compared with."""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf

from sessions_app.engine.types import (
    Grant,
    LimitReading,
    QuotaLimit,
    QuotaReading,
    RateLimit,
    RateReading,
    Reading,
    Status,
)

DAY_MS = 86_400_000


@dataclass
class Window:
    start: int
    current: int = 0
    previous: int = 0
    asked: int = 0  # start of the window in which a limit of this length last admitted


@dataclass
class Counter:
    used: int = 0
    start: int = 0
    last_start: int = 1
    fired: set[tuple[str, str]] = field(default_factory=set)
    windows: dict[int, Window] = field(default_factory=dict)


@dataclass
class Store:
    """All counters, and the events in order: (counter, start, source, threshold, used)."""

    counters: dict[str, Counter] = field(default_factory=dict)
    events: list[tuple[str, int, str, str, int]] = field(default_factory=list)
    passed: int = 0
    denied: int = 0

    def of(self, name: str) -> Counter:
        return self.counters.setdefault(name, Counter())


def consume(store: Store, grant: Grant, now: int, cost: int, *, commit: bool = True) -> Reading:
    if any(outdated(limit, now) for limit in grant.limits):
        return Reading(Status.OUTDATED, now)
    allowed = [allows(store.of(limit.counter), limit, now, cost) for limit in grant.limits]
    events_before = len(store.events)
    if all(allowed) and commit:
        for limit in grant.limits:
            count(store, limit, now, cost)
    if commit:
        store.passed += cost if all(allowed) else 0
        store.denied += 0 if all(allowed) else cost
    readings = tuple(
        read(store.of(limit.counter), limit, now, fits) for limit, fits in zip(grant.limits, allowed, strict=True)
    )
    return Reading(Status.JUDGED, now, all(allowed), readings, len(store.events) - events_before)


def reset(store: Store, limit: QuotaLimit, now: int) -> int:
    counter = store.of(limit.counter)
    before = counter.used if runs(counter, limit, now) else 0
    counter.used, counter.start, counter.fired = 0, 0, set()
    return before


def assign(store: Store, limit: QuotaLimit, now: int, used: int) -> int:
    counter = store.of(limit.counter)
    before = counter.used if runs(counter, limit, now) else 0
    if not runs(counter, limit, now):
        begin(counter, now)
    counter.used = used
    return before


def outdated(limit: QuotaLimit | RateLimit, now: int) -> bool:
    edges = limit.boundaries_ms if isinstance(limit, QuotaLimit) else ()
    return bool(edges) and not edges[0] <= now < edges[-1]


def period(limit: QuotaLimit, now: int) -> tuple[int, int]:
    """The calendar period that holds `now`."""
    edges = limit.boundaries_ms
    return next((a, b) for a, b in pairwise(edges) if a <= now < b)


def end(counter: Counter, limit: QuotaLimit, now: int) -> float:
    if limit.boundaries_ms:
        return period(limit, now)[1]
    return counter.start + limit.period_ms if limit.period_ms > 0 else inf


def runs(counter: Counter, limit: QuotaLimit, now: int) -> bool:
    if not counter.start:
        return False
    if limit.boundaries_ms:
        return counter.start >= period(limit, now)[0]
    return now < end(counter, limit, now)


def begin(counter: Counter, now: int) -> None:
    counter.start = counter.last_start = max(now, counter.last_start + 1)
    counter.used, counter.fired = 0, set()


def window_at(counter: Counter, length: int, now: int) -> Window:
    """What the counter's window of this length is now. Looking at it changes nothing."""
    start = now - now % length
    stored = counter.windows.get(length)
    if stored is None:
        return Window(start, known_since(counter, start, now), asked=start)
    if start in (stored.start, stored.start - length):
        return replace(stored)
    if start < stored.start:
        return Window(start, asked=start)
    return Window(start, 0, stored.current if start == stored.start + length else 0, stored.asked)


def known_since(counter: Counter, start: int, now: int) -> int:
    """What the windows of other lengths have counted since `start`, as far as they began no earlier."""
    others = [(window_at(counter, length, now), length) for length in counter.windows]
    return max(
        (
            (window.current if window.start >= start else 0)
            + (window.previous if window.start - length >= start else 0)
            for window, length in others
        ),
        default=0,
    )


def shows(window: Window, length: int, now: int) -> int:
    elapsed = max(0, now - window.start)
    return window.previous * (length - elapsed) // length + window.current


def allows(counter: Counter, limit: QuotaLimit | RateLimit, now: int, cost: int) -> bool:
    if isinstance(limit, QuotaLimit):
        return (counter.used if runs(counter, limit, now) else 0) + cost <= limit.max
    return shows(window_at(counter, limit.window_ms, now), limit.window_ms, now) + cost <= limit.max


def count(store: Store, limit: QuotaLimit | RateLimit, now: int, cost: int) -> None:
    counter = store.of(limit.counter)
    if isinstance(limit, RateLimit):
        count_rate(counter, limit, now, cost)
        return
    if not runs(counter, limit, now):
        begin(counter, now)
    counter.used += cost
    for threshold in limit.thresholds:
        mark = (limit.source, threshold.label)
        if counter.used >= threshold.needed and mark not in counter.fired:
            counter.fired.add(mark)
            store.events.append((limit.counter, counter.start, *mark, counter.used))


def count_rate(counter: Counter, limit: RateLimit, now: int, cost: int) -> None:
    windows = {length: window_at(counter, length, now) for length in {*counter.windows, limit.window_ms}}
    for length, window in windows.items():
        if length == limit.window_ms:
            window.asked = window.start
        window.current += cost
        counter.windows[length] = window
        if window.start - window.asked >= 2 * length + DAY_MS:
            del counter.windows[length]


def read(counter: Counter, limit: QuotaLimit | RateLimit, now: int, fits: bool) -> LimitReading:
    if isinstance(limit, RateLimit):
        window = window_at(counter, limit.window_ms, now)
        return RateReading(fits, window.previous, window.current, window.start)
    running = runs(counter, limit, now)
    ends = end(counter, limit, now) if running or limit.boundaries_ms else inf
    return QuotaReading(
        fits, counter.used if running else 0, counter.start if running else 0, int(ends) if ends < inf else 0
    )
