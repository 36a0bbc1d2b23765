"""The one orchestrator: from a cached grant to a decision, whatever the store finds wrong with it on the way.

Each flow is a generator that yields what it needs (a grant, snapshots, answers of the store) and is sent what it asked
for. `check` and `check_async` only fetch, so the order of things is written once. Warm: one call of the store, no SQL.
"""

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol, TypeVar, cast

from sessions_app.engine import counters
from sessions_app.engine.decide import decide, limit_states
from sessions_app.engine.types import (
    NO_NOTE,
    NO_SNAPSHOT,
    Decision,
    Grant,
    Limit,
    LimitState,
    Note,
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


class Freshness(IntEnum):
    """How new a grant has to be."""

    CACHED = 0  # the one at hand; the store says whether it is current
    RENEWED = 1  # another one than that, if only compiled for somebody who asked before; the store is asked again
    OWN = 2  # compiled from a read that began after this call: what changes meanwhile is younger than the request


class Loader(Protocol):
    """Where grants and snapshots come from; of one credential on one API."""

    def load(self, freshness: Freshness) -> Grant | Refusal:
        """The grant, cached or compiled. A refusal is always of now: read after this call."""
        ...

    def snapshots(self, counters: Sequence[str]) -> Mapping[str, Snapshot]:
        """The last snapshots of these counters; those without one are left out."""
        ...


class AsyncLoader(Protocol):
    """As Loader. Loading a cached grant must not leave the event loop."""

    async def load(self, freshness: Freshness) -> Grant | Refusal: ...

    async def snapshots(self, counters: Sequence[str]) -> Mapping[str, Snapshot]: ...


@dataclass(frozen=True, slots=True)
class _Load:
    freshness: Freshness


@dataclass(frozen=True, slots=True)
class _Snapshots:
    counters: tuple[str, ...]


Need = Call | list[Call] | _Load | _Snapshots
Flow = Generator[Need, Any, Result]

OUTDATED = "the limit's calendar does not hold the store's time: compile it just before"
_CACHED = _Load(Freshness.CACHED)


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


def reset(store: Store, snapshots: Snapshots, limit: QuotaLimit, *, note: Note = NO_NOTE, now_ms: int = 0) -> int:
    """Resets the limit's counter (rule 2.10); returns the units used before, for the audit. The note stays in the
    store, with the units used before, if and only if the counter was reset. Raises StoreUnavailable.
    """
    return _drive(_verb(limit, counters.reset(limit, now_ms, note), now_ms), store, snapshots)


def assign(
    store: Store, snapshots: Snapshots, limit: QuotaLimit, used: int, *, note: Note = NO_NOTE, now_ms: int = 0
) -> int:
    """Sets the units used in the limit's period (rule 2.12) and returns those used before; the note as in reset. Raises
    StoreUnavailable.
    """
    return _drive(_verb(limit, counters.assign(limit, used, now_ms, note), now_ms), store, snapshots)


def adopt(
    store: Store, snapshots: Snapshots, elsewhere: Sequence[tuple[QuotaLimit, Snapshot]], *, now_ms: int = 0
) -> list[int]:
    """Takes over usage that another gateway counted: what each counter holds grows to it, and never shrinks. Returns
    the units used before, in order. Raises StoreUnavailable.
    """
    return _drive(_adopt(elsewhere, now_ms), store, snapshots)


# --- flows ------------------------------------------------------------------------------------------------------------


def _judge(cost: int, now_ms: int) -> Flow[Decision]:
    found: Grant | Refusal = yield _CACHED
    freshness = Freshness.CACHED
    for attempt in range(1, ROUNDS + 1):
        if isinstance(found, Refusal):
            break
        try:
            reply = yield _question(found, cost, now_ms, compared=freshness is not Freshness.OWN)
            reading = counters.parse_reading(reply, found)
            if reading.status is Status.EXPIRED:
                return _refused(found, Refusal.EXPIRED_KEY)
            if reading.status is Status.JUDGED:
                return _refused(found, found.refusal) if found.refusal else decide(found, reading, cost)
            if attempt < ROUNDS and reading.status is Status.MISSING:
                yield from _restore_missing(found, reading, now_ms)
            elif attempt < ROUNDS:
                # However often the configuration changes meanwhile: the second grant is new enough for this request.
                freshness = Freshness.RENEWED if freshness is Freshness.CACHED else Freshness.OWN
                found = yield from _renewed(freshness)
        except StoreUnavailable:
            break
    return Decision(Outcome.REFUSED, refusal=found) if isinstance(found, Refusal) else _unjudged(found, now_ms)


def _question(grant: Grant, cost: int, now_ms: int, *, compared: bool) -> Call:
    """A cached grant may refuse: that is answered only once the store has said that the grant is current."""
    if grant.refusal:
        return counters.verify(grant, now_ms, compared=compared)
    return counters.consume(grant, cost, now_ms, compared=compared)


def _restore_missing(grant: Grant, reading: Reading, now_ms: int) -> Flow[None]:
    missing = [limit for limit in _quotas(grant.limits) if limit.counter in reading.missing]
    snapshots: Mapping[str, Snapshot] = yield _Snapshots(reading.missing)
    yield [counters.restore(limit, snapshots.get(limit.counter, NO_SNAPSHOT), now_ms) for limit in missing]


def _renewed(freshness: Freshness) -> Flow[Grant | Refusal]:
    """The grant to go on with, told to the store, or what the database refuses today."""
    fresh: Grant | Refusal = yield _Load(freshness)
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
    raise StoreUnavailable(OUTDATED)


def _adopt(elsewhere: Sequence[tuple[QuotaLimit, Snapshot]], now_ms: int) -> Flow[list[int]]:
    limits = {limit.counter: limit for limit, _ in elsewhere}
    lost: Mapping[str, Snapshot] = yield _Snapshots(tuple(limits))
    yield [counters.restore(limits[counter], snapshot, now_ms) for counter, snapshot in lost.items()]
    replies = yield [counters.adopt(limit, usage, now_ms) for limit, usage in elsewhere]
    answers = [counters.parse_verb(reply) for reply in replies]
    if any(status is not Status.JUDGED for status, _ in answers):
        raise StoreUnavailable(OUTDATED)
    return [used_before for _, used_before in answers]


def _quotas(limits: Iterable[Limit]) -> list[QuotaLimit]:
    return [limit for limit in limits if isinstance(limit, QuotaLimit)]


# --- drivers: fetch what a flow needs, nothing else -------------------------------------------------------------------


def _no_load(freshness: Freshness) -> Grant | Refusal:
    raise LookupError("this flow needs no grant")


def _drive(
    flow: Flow[Result], store: Store, snapshots: Snapshots, load: Callable[[Freshness], Grant | Refusal] = _no_load
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
                    answer = load(need.freshness) if isinstance(need, _Load) else snapshots(need.counters)
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
                    answer = await (load(need.freshness) if isinstance(need, _Load) else snapshots(need.counters))
            except StoreUnavailable as error:
                need = flow.throw(error)
            else:
                need = flow.send(answer)
    except StopIteration as done:
        return cast(Result, done.value)
