"""Exactness with real processes against a real store (rule 2.7): sixteen at once, all on one key."""

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from multiprocessing.synchronize import Barrier
from typing import Any

from sessions_app.engine import names
from sessions_app.engine.store_sync import ServerStore, open_store
from sessions_app.engine.types import Grant, LimitName, QuotaReading
from tests.sessions_app.engine.world import (
    NOON_MS,
    PATIENCE_MS,
    consume,
    crossings,
    grant_of,
    key_counter,
    new_organisation,
    peek,
    prepare,
    quota,
    rate,
)

PROCESSES = 16
PATIENCE_SECONDS = 60

Work = Callable[[ServerStore, Barrier], list[Any]]


def _worker(url: str, work: Work, barrier: Barrier, results: Any) -> None:
    store = open_store(url, PATIENCE_MS)
    assert isinstance(store, ServerStore)
    results.put(work(store, barrier))
    store.close()


def at_once(url: str, work: Work) -> list[Any]:
    """What sixteen processes return, in one list."""
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(PROCESSES), context.Queue()
    processes = [context.Process(target=_worker, args=(url, work, barrier, results)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    collected = [item for _ in processes for item in results.get(timeout=PATIENCE_SECONDS)]
    for process in processes:
        process.join(PATIENCE_SECONDS)
    return collected


def test_parallel_requests_are_admitted_exactly_max_times(counters_store: ServerStore, store_url: str) -> None:
    rounds: list[Grant] = []
    for _ in range(20):
        organisation = new_organisation()
        rounds.append(grant_of(organisation, [quota(key_counter(organisation), 100, percents=[50, 80, 100])]))
        prepare(counters_store, rounds[-1])

    def work(store: ServerStore, barrier: Barrier) -> list[tuple[int, int, int]]:
        outcomes = []
        for number, grant in enumerate(rounds):
            barrier.wait(PATIENCE_SECONDS)
            readings = [consume(store, grant) for _ in range(50)]
            outcomes.append((number, sum(each.admitted for each in readings), sum(each.crossed for each in readings)))
        return outcomes

    admitted, crossed = Counter[int](), Counter[int]()
    for number, passed, fired in at_once(store_url, work):
        admitted[number] += passed
        crossed[number] += fired
    assert admitted == dict.fromkeys(range(20), 100)
    assert crossed == dict.fromkeys(range(20), 3)


def test_each_period_admits_exactly_max_while_it_renews_under_fire(counters_store: ServerStore, store_url: str) -> None:
    organisation = new_organisation()
    grant = grant_of(organisation, [quota(key_counter(organisation), 40, 400, percents=[100])])
    prepare(counters_store, grant)

    def work(store: ServerStore, barrier: Barrier) -> list[int]:
        """Starts of the periods in which this process was admitted."""
        barrier.wait(PATIENCE_SECONDS)
        until, starts = time.monotonic() + 1.5, []
        while time.monotonic() < until:
            reading = consume(store, grant)
            found = reading.limits[0]
            assert isinstance(found, QuotaReading)
            if reading.admitted:
                starts.append(found.period_start_ms)
        return starts

    admitted = Counter(at_once(store_url, work))
    periods = sorted(admitted)
    assert len(periods) >= 3
    assert all(later - earlier >= 400 for earlier, later in pairwise(periods))
    assert [admitted[start] for start in periods[:-1]] == [40] * (len(periods) - 1)
    assert admitted[periods[-1]] <= 40
    fired = Counter(crossing.period_start_ms for crossing in crossings(counters_store, grant))
    assert fired == {start: 1 for start in periods if admitted[start] == 40}


def test_parallel_requests_fill_a_window_exactly(counters_store: ServerStore, store_url: str) -> None:
    organisation = new_organisation()
    grant = grant_of(organisation, [rate(key_counter(organisation), 100, 60_000)])
    prepare(counters_store, grant)

    def work(store: ServerStore, barrier: Barrier) -> list[bool]:
        barrier.wait(PATIENCE_SECONDS)
        return [consume(store, grant, NOON_MS + step).admitted for step in range(20)]

    assert sum(at_once(store_url, work)) == 100


def test_a_shared_custom_counter_judges_each_key_by_its_own_maximum(
    counters_store: ServerStore, store_url: str
) -> None:
    """Half of the processes hold a plan of 30, half one of 100, on one subject (rule 5.5)."""
    organisation = new_organisation()
    shared = names.subject_counter(organisation, "red")
    plans = [
        grant_of(organisation, [quota(shared, maximum, source=source, percents=[100])], key_id=f"key_{maximum}")
        for maximum, source in ((30, "small"), (100, "large"))
    ]
    for plan in plans:
        prepare(counters_store, plan)

    def work(store: ServerStore, barrier: Barrier) -> list[tuple[str, int]]:
        place = barrier.wait(PATIENCE_SECONDS)
        grant = plans[place % 2]
        admitted = []
        for _ in range(40):
            reading = consume(store, grant)
            found = reading.limits[0]
            assert isinstance(found, QuotaReading)
            admitted += [(grant.key_id, found.used)] if reading.admitted else []
        return admitted

    admitted = at_once(store_url, work)
    assert sorted(used for _, used in admitted) == list(range(1, 101))
    assert all(used <= 30 for key_id, used in admitted if key_id == "key_30")
    assert sorted((each.source, each.used) for each in crossings(counters_store, plans[0])) in (
        [("large", 100), ("small", 30)],
        [("large", 100)],  # no request of the small plan passed with the thirtieth unit
    )


def test_an_organisations_quota_and_its_keys_agree_whoever_comes_first(
    counters_store: ServerStore, store_url: str
) -> None:
    """Sixteen keys of one organisation: all or nothing, so the sum over the keys is the organisation's usage (2.8)."""
    organisation = new_organisation()
    whole = quota(names.organisation_counter(organisation), 100, name=LimitName.ORG_QUOTA, source="org")
    grants = [
        grant_of(organisation, [whole, quota(names.key_counter(organisation, f"k{number}"), 9)], key_id=f"k{number}")
        for number in range(PROCESSES)
    ]
    for grant in grants:
        prepare(counters_store, grant)

    def work(store: ServerStore, barrier: Barrier) -> list[bool]:
        grant = grants[barrier.wait(PATIENCE_SECONDS)]
        return [consume(store, grant).admitted for _ in range(20)]

    assert sum(at_once(store_url, work)) == 100
    usages = [peek(counters_store, grant).limits for grant in grants]
    assert {limits[0].used for limits in usages if isinstance(limits[0], QuotaReading)} == {100}
    assert sum(limits[1].used for limits in usages if isinstance(limits[1], QuotaReading)) == 100
