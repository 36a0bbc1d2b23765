"""The one orchestrator: from a cached grant to a decision, whatever the store finds wrong with it on the way.

Each flow is a generator that yields what it needs (a grant, snapshots, answers of the store) and is sent what it asked
for. `check` and `check_async` only fetch, so the order of things is written once. Warm: one call of the store, no SQL.
"""

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from sessions_app.engine import counters
from sessions_app.engine.decide import decide, limit_states
from sessions_app.engine.types import (
    NO_SNAPSHOT,
    Decision,
    Grant,
    Limit,
    LimitState,
    Outcome,
    QuotaLimit,
    Reading,
    Refusal,
    Snapshot,
    Status,
    StoreUnavailable,
)
from sessions_app.engine.wire import AsyncStore, Call, Store

# A new key takes three: stale, missing, judged; changes in between take more. This many mean that something is broken.
ROUNDS = 6

Snapshots = Callable[[Sequence[str]], Mapping[str, Snapshot]]
Result = TypeVar("Result")


class Loader(Protocol):
    """Where grants and snapshots come from; of one credential on one API."""

    def load(self, refresh: bool) -> Grant | Refusal:
        """The cached grant, or one compiled now. `refresh`: compiled from a read that began after this call."""
        ...

    def snapshots(self, counters: Sequence[str]) -> Mapping[str, Snapshot]:
        """The last snapshots of these counters; those without one are left out."""
        ...


class AsyncLoader(Protocol):
    """As Loader. `load(refresh=False)` of a cached grant must not leave the event loop."""

    async def load(self, refresh: bool) -> Grant | Refusal: ...

    async def snapshots(self, counters: Sequence[str]) -> Mapping[str, Snapshot]: ...


@dataclass(frozen=True, slots=True)
class _Load:
    refresh: bool


@dataclass(frozen=True, slots=True)
class _Snapshots:
    counters: tuple[str, ...]


Need = Call | list[Call] | _Load | _Snapshots
Flow = Generator[Need, Any, Result]

_CACHED, _FRESH = _Load(refresh=False), _Load(refresh=True)


# --- what others call -------------------------------------------------------------------------------------------------


def check(store: Store, loader: Loader, *, cost: int = 1, now_ms: int = 0) -> Decision:
    """Judges and counts one request. A store that is down is an outcome (UNAVAILABLE, with the grant), not an error.

    Errors of the loader pass through. `now_ms` 0 is the store's clock.
    """
    return _drive(_judge(cost, now_ms), store, loader.snapshots, loader.load)


async def check_async(store: AsyncStore, loader: AsyncLoader, *, cost: int = 1, now_ms: int = 0) -> Decision:
    """As check."""
    return await _drive_async(_judge(cost, now_ms), store, loader.snapshots, loader.load)


def peek(
    store: Store, snapshots: Snapshots, grants: Sequence[Grant], *, now_ms: int = 0
) -> list[tuple[LimitState, ...]]:
    """Limits and usage of many grants, in order, in few round trips; counts nothing. Raises StoreUnavailable.

    The grants must have been compiled just now: versions are not compared.
    """
    return _drive(_look(grants, now_ms), store, snapshots)


def reset(store: Store, snapshots: Snapshots, limit: QuotaLimit, *, now_ms: int = 0) -> int:
    """Resets the limit's counter (rule 2.10); returns the units used before, for the audit. Raises StoreUnavailable."""
    return _drive(_verb(limit, counters.reset(limit, now_ms), now_ms), store, snapshots)


def assign(store: Store, snapshots: Snapshots, limit: QuotaLimit, used: int, *, now_ms: int = 0) -> int:
    """Sets the units used in the limit's period (rule 2.12) and returns those used before. Raises StoreUnavailable."""
    return _drive(_verb(limit, counters.assign(limit, used, now_ms), now_ms), store, snapshots)


# --- flows ------------------------------------------------------------------------------------------------------------


def _judge(cost: int, now_ms: int) -> Flow[Decision]:
    found: Grant | Refusal = yield _CACHED
    for attempt in range(1, ROUNDS + 1):
        if isinstance(found, Refusal):
            break
        try:
            # A cached grant may refuse: that is answered only once the store has said that the grant is current.
            reply = yield counters.verify(found, now_ms) if found.refusal else counters.consume(found, cost, now_ms)
            reading = counters.parse_reading(reply, found)
            if reading.status is Status.EXPIRED:
                return _refused(found, Refusal.EXPIRED_KEY)
            if reading.status is Status.JUDGED:
                return _refused(found, found.refusal) if found.refusal else decide(found, reading, cost)
            if attempt < ROUNDS:
                found = yield from _repaired(found, reading, now_ms)
        except StoreUnavailable:
            break
    return Decision(Outcome.REFUSED, refusal=found) if isinstance(found, Refusal) else _unjudged(found, now_ms)


def _repaired(grant: Grant, reading: Reading, now_ms: int) -> Flow[Grant | Refusal]:
    """Makes good what kept the store from judging. The grant to go on with, or what the database refuses today."""
    if reading.status is Status.MISSING:
        missing = [limit for limit in _quotas(grant.limits) if limit.counter in reading.missing]
        snapshots: Mapping[str, Snapshot] = yield _Snapshots(reading.missing)
        yield [counters.restore(limit, snapshots.get(limit.counter, NO_SNAPSHOT), now_ms) for limit in missing]
        return grant
    fresh: Grant | Refusal = yield _FRESH
    if isinstance(fresh, Grant):
        yield counters.publish_grant(fresh)
    return fresh


def _refused(grant: Grant, refusal: Refusal) -> Decision:
    return Decision(Outcome.REFUSED, refusal=refusal, grant=grant)


def _unjudged(grant: Grant, now_ms: int) -> Decision:
    """What is known without the store: nobody who is refused passes because counting is impossible."""
    if 0 < grant.expires_at_ms <= (now_ms or time.time_ns() // 1_000_000):
        return _refused(grant, Refusal.EXPIRED_KEY)
    return _refused(grant, grant.refusal) if grant.refusal else Decision(Outcome.UNAVAILABLE, grant=grant)


def _look(grants: Sequence[Grant], now_ms: int) -> Flow[list[tuple[LimitState, ...]]]:
    replies = yield [counters.peek(grant, now_ms=now_ms) for grant in grants]
    readings = [counters.parse_reading(reply, grant) for reply, grant in zip(replies, grants, strict=True)]
    missing = {counter for reading in readings for counter in reading.missing}
    if missing:
        yield from _restore_known(grants, missing, now_ms)
        # What has no snapshot was never used: shown as such, without creating a counter for looking at it.
        replies = yield [counters.peek(grant, now_ms=now_ms, lenient=True) for grant in grants]
        readings = [counters.parse_reading(reply, grant) for reply, grant in zip(replies, grants, strict=True)]
    if any(reading.status is not Status.JUDGED for reading in readings):
        raise StoreUnavailable("a grant's calendar does not hold the store's time: compile grants just before looking")
    return [limit_states(grant, reading) for grant, reading in zip(grants, readings, strict=True)]


def _restore_known(grants: Sequence[Grant], missing: set[str], now_ms: int) -> Flow[None]:
    limits = {limit.counter: limit for grant in grants for limit in _quotas(grant.limits)}
    snapshots: Mapping[str, Snapshot] = yield _Snapshots(tuple(sorted(missing)))
    yield [
        counters.restore(limits[counter], snapshot, now_ms)
        for counter, snapshot in snapshots.items()
        if counter in missing
    ]


def _verb(limit: QuotaLimit, call: Call, now_ms: int) -> Flow[int]:
    for _ in range(ROUNDS):
        status, used_before = counters.parse_verb((yield call))
        if status is Status.JUDGED:
            return used_before
        if status is not Status.MISSING:
            break
        snapshots: Mapping[str, Snapshot] = yield _Snapshots((limit.counter,))
        yield counters.restore(limit, snapshots.get(limit.counter, NO_SNAPSHOT), now_ms)
    raise StoreUnavailable("the limit's calendar does not hold the store's time: compile it just before")


def _quotas(limits: Iterable[Limit]) -> list[QuotaLimit]:
    return [limit for limit in limits if isinstance(limit, QuotaLimit)]


# --- drivers: fetch what a flow needs, nothing else -------------------------------------------------------------------


def _no_load(refresh: bool) -> Grant | Refusal:
    raise LookupError("this flow needs no grant")


def _drive(
    flow: Flow[Result], store: Store, snapshots: Snapshots, load: Callable[[bool], Grant | Refusal] = _no_load
) -> Result:
    try:
        need = next(flow)
        while True:
            try:
                if isinstance(need, Call):
                    answer: Any = store.call(need)
                elif isinstance(need, list):
                    answer = store.call_many(need)
                else:
                    answer = load(need.refresh) if isinstance(need, _Load) else snapshots(need.counters)
            except StoreUnavailable as error:
                need = flow.throw(error)
            else:
                need = flow.send(answer)
    except StopIteration as done:
        return cast(Result, done.value)


async def _drive_async(flow: Flow[Result], store: AsyncStore, snapshots: Any, load: Any = _no_load) -> Result:
    try:
        need = next(flow)
        while True:
            try:
                if isinstance(need, Call):
                    answer: Any = await store.call(need)
                elif isinstance(need, list):
                    answer = await store.call_many(need)
                else:
                    answer = await (load(need.refresh) if isinstance(need, _Load) else snapshots(need.counters))
            except StoreUnavailable as error:
                need = flow.throw(error)
            else:
                need = flow.send(answer)
    except StopIteration as done:
        return cast(Result, done.value)
