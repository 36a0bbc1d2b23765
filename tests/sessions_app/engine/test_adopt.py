"""What another gateway counted is taken over: nothing is given back, nothing that was counted here is taken away."""

import pytest
import redis

from sessions_app.engine import check, counters, names
from sessions_app.engine.store_sync import ServerStore
from sessions_app.engine.types import NO_SNAPSHOT, QuotaReading, Snapshot, Status, StoreUnavailable
from tests.sessions_app.engine.world import (
    HOUR_MS,
    NOON_MS,
    consume,
    grant_of,
    key_counter,
    new_organisation,
    peek,
    prepare,
    quota,
)

EARLIER_MS = NOON_MS - 600_000


def adopted(store: ServerStore, limit, used: int, fired: str = "", now_ms: int = NOON_MS) -> tuple[Status, int]:
    return counters.parse_verb(store.call(counters.adopt(limit, Snapshot(used, EARLIER_MS, fired), now_ms)))


def test_a_new_counter_goes_on_in_the_others_period(counters_store: ServerStore, store: redis.Redis) -> None:
    organisation = new_organisation()
    limit = quota(key_counter(organisation), 10)
    grant = grant_of(organisation, [limit])
    assert adopted(counters_store, limit, 4) == (Status.JUDGED, 0)
    assert peek(counters_store, grant, NOON_MS).limits == (QuotaReading(True, 4, EARLIER_MS, EARLIER_MS + HOUR_MS),)
    assert limit.counter in store.smembers(names.dirty(grant.bucket))  # it is copied to the database (rule 9.2)


@pytest.mark.parametrize(("here", "there", "then"), [(3, 7, 7), (7, 3, 7), (5, 5, 5)])
def test_the_greater_count_stays(counters_store: ServerStore, here: int, there: int, then: int) -> None:
    organisation = new_organisation()
    limit = quota(key_counter(organisation), 10)
    grant = grant_of(organisation, [limit])
    prepare(counters_store, grant)
    consume(counters_store, grant, NOON_MS, here)
    assert adopted(counters_store, limit, there) == (Status.JUDGED, here)
    assert peek(counters_store, grant, NOON_MS).limits == (QuotaReading(True, then, NOON_MS, NOON_MS + HOUR_MS),)


def test_repeated_it_changes_nothing(counters_store: ServerStore, store: redis.Redis) -> None:
    limit = quota(key_counter(new_organisation()), 10, percents=[30])
    adopted(counters_store, limit, 4, ";k:30")
    before = store.hgetall(limit.counter)
    assert adopted(counters_store, limit, 4, ";k:30") == (Status.JUDGED, 4)
    assert store.hgetall(limit.counter) == before


def test_what_fired_there_does_not_fire_here_and_the_rest_does(counters_store: ServerStore) -> None:
    organisation = new_organisation()
    limit = quota(key_counter(organisation), 10, percents=[50, 80])
    grant = grant_of(organisation, [limit])
    adopted(counters_store, limit, 6, f";{names.source_mark(limit.source)}:50")
    prepare(counters_store, grant)
    assert consume(counters_store, grant, NOON_MS).crossed == 0
    assert consume(counters_store, grant, NOON_MS).crossed == 1


def test_what_fired_in_a_running_period_stays_fired(counters_store: ServerStore) -> None:
    organisation = new_organisation()
    limit = quota(key_counter(organisation), 10, percents=[20, 50, 80])
    grant = grant_of(organisation, [limit])
    prepare(counters_store, grant)
    assert consume(counters_store, grant, NOON_MS, 2).crossed == 1
    adopted(counters_store, limit, 6, "".join(f";{names.source_mark(limit.source)}:{each}" for each in (20, 50)))
    assert consume(counters_store, grant, NOON_MS).crossed == 0


def test_a_period_that_is_over_gives_way_to_the_others(counters_store: ServerStore) -> None:
    organisation = new_organisation()
    limit = quota(key_counter(organisation), 10)
    grant = grant_of(organisation, [limit])
    prepare(counters_store, grant)
    consume(counters_store, grant, NOON_MS - 2 * HOUR_MS, 9)
    assert adopted(counters_store, limit, 4) == (Status.JUDGED, 0)
    assert peek(counters_store, grant, NOON_MS).limits == (QuotaReading(True, 4, EARLIER_MS, EARLIER_MS + HOUR_MS),)


def test_a_period_that_is_over_there_begins_anew(counters_store: ServerStore) -> None:
    organisation = new_organisation()
    limit = quota(key_counter(organisation), 10, 1000)
    adopted(counters_store, limit, 4)
    reading = peek(counters_store, grant_of(organisation, [limit]), NOON_MS)
    assert reading.limits == (QuotaReading(True, 4, NOON_MS, NOON_MS + 1000),)


def test_the_copy_of_a_lost_counter_counts_too(counters_store: ServerStore) -> None:
    organisation = new_organisation()
    lost, new = (quota(names.key_counter(organisation, key_id), 10) for key_id in ("key_1", "key_2"))
    copies = {lost.counter: Snapshot(9, NOON_MS, "")}
    elsewhere = [(limit, Snapshot(4, EARLIER_MS, "")) for limit in (lost, new)]
    assert check.adopt(counters_store, lambda asked: copies, elsewhere, now_ms=NOON_MS) == [9, 0]
    assert peek(counters_store, grant_of(organisation, [lost]), NOON_MS).limits[0].used == 9


def test_an_outdated_calendar_is_told(counters_store: ServerStore) -> None:
    limit = quota(key_counter(new_organisation()), 10, 0, boundaries_ms=(EARLIER_MS, NOON_MS))
    assert adopted(counters_store, limit, 4)[0] is Status.OUTDATED
    with pytest.raises(StoreUnavailable, match="calendar"):
        check.adopt(counters_store, lambda asked: {}, [(limit, NO_SNAPSHOT)], now_ms=NOON_MS)
