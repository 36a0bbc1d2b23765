"""A small cast for the engine's tests: limits, grants and their commands on counters of an organisation's own."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from sessions_app.engine import counters, names
from sessions_app.engine.check import Freshness
from sessions_app.engine.store_sync import ServerStore
from sessions_app.engine.types import (
    NO_SNAPSHOT,
    Crossing,
    Grant,
    Limit,
    LimitName,
    QuotaLimit,
    RateLimit,
    Reading,
    Refusal,
    Snapshot,
    Threshold,
    Versions,
)
from sessions_app.engine.wire import Store

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOON_MS = 1_800_014_400_000  # some noon, far from no boundary in particular
PATIENCE_MS = 5000  # a busy machine is no failure

_numbers = itertools.count(1)


def new_organisation() -> str:
    """An organisation that no test has used: its counters are fresh."""
    return f"org-{next(_numbers)}"


def quota(
    counter: str,
    maximum: int = 10,
    period_ms: int = HOUR_MS,
    *,
    name: LimitName = LimitName.KEY_QUOTA,
    source: str = "key:1",
    boundaries_ms: tuple[int, ...] = (),
    percents: Sequence[int] = (),
) -> QuotaLimit:
    thresholds = tuple(Threshold(str(percent), -(-maximum * percent // 100), percent % 2 == 0) for percent in percents)
    return QuotaLimit(name, counter, maximum, period_ms, source, boundaries_ms, thresholds)


def rate(
    counter: str,
    maximum: int = 5,
    window_ms: int = 1000,
    *,
    name: LimitName = LimitName.KEY_RATE,
    source: str = "key:1",
) -> RateLimit:
    return RateLimit(name, counter, maximum, window_ms, source)


def grant_of(organisation: str, limits: Iterable[Limit] = (), **changes: object) -> Grant:
    values: dict[str, object] = {
        "organisation_id": organisation,
        "bucket": names.bucket_of(organisation),
        "key_id": key_of(organisation),
        "api_id": "echo",
        "versions": Versions(1, 1, 1),
        "limits": tuple(limits),
        "event_context": b'{"org":"acme"}',
        **changes,
    }
    return Grant(**values)  # type: ignore[arg-type]


def key_of(organisation: str) -> str:
    """The organisation's only key. Ids of keys are unique over all organisations."""
    return f"key_{organisation}"


def key_counter(organisation: str) -> str:
    return names.key_counter(organisation, key_of(organisation))


def prepare(store: Store, grant: Grant, now_ms: int = 0) -> None:
    """Publishes the grant's versions and creates its counters, as a first request does."""
    quotas = [limit for limit in grant.limits if isinstance(limit, QuotaLimit)]
    store.call_many(
        [counters.publish_grant(grant), *(counters.restore(limit, NO_SNAPSHOT, now_ms) for limit in quotas)]
    )


def consume(store: Store, grant: Grant, now_ms: int = 0, cost: int = 1) -> Reading:
    return counters.parse_reading(store.call(counters.consume(grant, cost, now_ms)), grant)


def peek(store: Store, grant: Grant, now_ms: int = 0, *, lenient: bool = False) -> Reading:
    return counters.parse_reading(store.call(counters.peek(grant, now_ms=now_ms, lenient=lenient)), grant)


def crossings(store: ServerStore, grant: Grant) -> list[Crossing]:
    """The events of the grant's counters, in the order in which they were appended."""
    entries: Any = store.client.xrange(names.outbox(grant.bucket))
    found = [counters.parse_crossing(fields) for _, fields in entries]
    return [crossing for crossing in found if crossing.counter in {limit.counter for limit in grant.limits}]


class FixedLoader:
    """Hands out the grants it was given, one for each load; the last one again and again. Notes what was asked."""

    def __init__(self, *found: Grant | Refusal, snapshots: dict[str, Snapshot] | None = None) -> None:
        self.found = list(found)
        self.asked: list[Freshness] = []
        self.snapshots_asked: list[tuple[str, ...]] = []
        self._snapshots = snapshots or {}

    def load(self, freshness: Freshness) -> Grant | Refusal:
        self.asked.append(freshness)
        return self.found.pop(0) if len(self.found) > 1 else self.found[0]

    def snapshots(self, counters: Sequence[str]) -> dict[str, Snapshot]:
        self.snapshots_asked.append(tuple(counters))
        return {counter: self._snapshots[counter] for counter in counters if counter in self._snapshots}


class AwaitedLoader:
    """A FixedLoader for the event loop."""

    def __init__(self, loader: FixedLoader) -> None:
        self._loader = loader

    async def load(self, freshness: Freshness) -> Grant | Refusal:
        return self._loader.load(freshness)

    async def snapshots(self, counters: Sequence[str]) -> dict[str, Snapshot]:
        return self._loader.snapshots(counters)
