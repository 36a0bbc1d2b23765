"""Requests counted again, hour by hour, under a quota that was not in force then. Pure."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

HOUR_MS = 3_600_000


class Precision(StrEnum):
    """How a count of denied requests is to be read when only the hours of the requests are known."""

    EXACT = "exact"
    ABOUT = "about"
    AT_LEAST = "at-least"


@dataclass(frozen=True, slots=True, eq=False)
class Quota:
    """At most `max` requests per period: rolling (`period_ms` > 0), calendar (`starts_ms`: ascending, from before the
    first request to after the last), or endless (neither). Compared by identity: one object for each set of numbers.
    """

    max: int
    period_ms: int = 0
    starts_ms: tuple[int, ...] = ()

    @property
    def numbers(self) -> tuple[int, int, tuple[int, ...]]:
        return self.max, self.period_ms, self.starts_ms

    @property
    def is_short(self) -> bool:
        """Several periods in an hour."""
        return 0 < self.period_ms < HOUR_MS

    @property
    def precision(self) -> Precision:
        """Where a rolling period begins within its hour is unknown; a calendar's hours may be cut in two (+05:30)."""
        if self.is_short:
            return Precision.AT_LEAST
        cut = any(start % HOUR_MS for start in self.starts_ms)
        return Precision.ABOUT if self.period_ms > 0 or cut else Precision.EXACT

    @property
    def room(self) -> int:
        """What one hour can take, of short periods: at most so many begin in it, and one has begun before."""
        return self.max * (math.ceil(HOUR_MS / self.period_ms) + 1) if self.is_short else self.max

    def runs(self, start_ms: int, at_ms: int) -> bool:
        """Whether the period that began at `start_ms` (0 or less: none) still holds `at_ms` (decision 3)."""
        if start_ms <= 0:
            return False
        if self.starts_ms:
            return start_ms >= self.starts_ms[max(0, bisect_right(self.starts_ms, at_ms) - 1)]
        return self.period_ms <= 0 or at_ms < start_ms + self.period_ms


class Lot(NamedTuple):
    """Requests of one hour that one quota judges; `denied` ones were denied then, by whatever limit."""

    hour_ms: int
    quota: Quota
    passed: int
    denied: int


class Judged(NamedTuple):
    """Of a lot: what still passes, what the quota denies now, and what it would let pass at most that was denied."""

    hour_ms: int
    passed: int
    denied: int
    admitted: int


def replay(lots: Iterable[Lot], used: int = 0) -> Iterator[Judged]:
    """Counts the lots of one counter, in the order of their hours, as if each came at the beginning of its hour.

    `used` units were counted before the first lot in a period that still runs. What was denied then is never counted
    against what passed: only that is known to have been wanted and possible.
    """
    start_ms, admitted = (1 if used else 0), 0
    for lot in sorted(lots, key=lambda lot: lot.hour_ms):
        runs = lot.quota.runs(start_ms, lot.hour_ms)
        if lot.passed and not runs:
            start_ms, used, admitted, runs = lot.hour_ms, 0, 0, True
        free = max(0, lot.quota.room - used if runs else lot.quota.room)
        passed = min(lot.passed, free)
        used += passed
        more = min(lot.denied, max(0, free - passed - (admitted if runs else 0)))
        admitted += more if runs else 0
        yield Judged(lot.hour_ms, passed, lot.passed - passed, more)
