"""What the worker copies: nothing lost when it dies at any point, nothing counted twice when it repeats itself."""

import pytest
import redis

from sessions_app.engine import counters, names, rollup
from sessions_app.engine.rollup import HourOfUsage
from sessions_app.engine.store_sync import ServerStore
from sessions_app.engine.types import Grant, QuotaLimit, Snapshot
from tests.sessions_app.engine.world import (
    HOUR_MS,
    NOON_MS,
    consume,
    grant_of,
    key_counter,
    new_organisation,
    prepare,
    quota,
)


@pytest.fixture
def grant(counters_store: ServerStore) -> Grant:
    organisation = new_organisation()
    grant = grant_of(organisation, [quota(key_counter(organisation), 5, percents=[40])])
    prepare(counters_store, grant)
    return grant


class TestSnapshots:
    def test_nothing_to_do_where_nothing_changed(self, counters_store: ServerStore) -> None:
        assert rollup.take_dirty(counters_store, 7) == rollup.Dirty(0, ())

    def test_a_counter_is_handed_out_until_its_snapshot_is_committed(
        self, counters_store: ServerStore, grant: Grant
    ) -> None:
        consume(counters_store, grant, NOON_MS)
        first = rollup.take_dirty(counters_store, grant.bucket)
        assert first.counters == (grant.limits[0].counter,)
        assert rollup.take_dirty(counters_store, grant.bucket) == first
        rollup.drop_dirty(counters_store, grant.bucket, first.generation)
        assert rollup.take_dirty(counters_store, grant.bucket).counters == ()

    def test_a_change_after_the_reading_is_handed_out_next(self, counters_store: ServerStore, grant: Grant) -> None:
        consume(counters_store, grant, NOON_MS)
        first = rollup.take_dirty(counters_store, grant.bucket)
        consume(counters_store, grant, NOON_MS)
        rollup.drop_dirty(counters_store, grant.bucket, first.generation)
        assert rollup.take_dirty(counters_store, grant.bucket).counters == (grant.limits[0].counter,)

    def test_a_late_worker_does_not_drop_what_another_has_in_work(
        self, counters_store: ServerStore, grant: Grant
    ) -> None:
        consume(counters_store, grant, NOON_MS)
        late = rollup.take_dirty(counters_store, grant.bucket)
        rollup.drop_dirty(counters_store, grant.bucket, late.generation)
        consume(counters_store, grant, NOON_MS)
        newer = rollup.take_dirty(counters_store, grant.bucket)
        rollup.drop_dirty(counters_store, grant.bucket, late.generation)
        assert rollup.take_dirty(counters_store, grant.bucket) == newer

    def test_snapshots_hold_what_restore_needs(
        self, counters_store: ServerStore, store: redis.Redis, grant: Grant
    ) -> None:
        limit = grant.limits[0]
        assert isinstance(limit, QuotaLimit)
        for _ in range(2):
            consume(counters_store, grant, NOON_MS)
        [taken] = rollup.read_counters(counters_store, [limit.counter, "tg:{b00}:c:k:gone"])
        assert taken.taken_at_ms > NOON_MS - 365 * 24 * HOUR_MS
        assert taken.snapshots == {limit.counter: Snapshot(2, NOON_MS, taken.snapshots[limit.counter].fired)}
        store.delete(limit.counter)
        counters_store.call(counters.restore(limit, taken.snapshots[limit.counter], NOON_MS))
        reading = consume(counters_store, grant, NOON_MS)
        assert (reading.limits[0].allowed, reading.crossed, store.hget(limit.counter, "u")) == (True, 0, "3")

    def test_many_counters_come_in_lots(self, counters_store: ServerStore, grant: Grant) -> None:
        counter = grant.limits[0].counter
        taken = list(rollup.read_counters(counters_store, [f"{counter}-{number}" for number in range(1100)]))
        assert len(taken) == 3


class TestHours:
    def test_hours_are_told_apart_and_absolute(self, counters_store: ServerStore, grant: Grant) -> None:
        for moment in [NOON_MS] * 6 + [NOON_MS + HOUR_MS] * 2:
            consume(counters_store, grant, moment)
        identity = (grant.organisation_id, grant.key_id, grant.api_id)
        expected = {
            HourOfUsage(*identity, NOON_MS, NOON_MS, passed=5, denied=1),
            HourOfUsage(*identity, NOON_MS + HOUR_MS, NOON_MS, passed=2, denied=0),
        }
        for _ in range(2):
            hours, _ = rollup.read_hours(counters_store, grant.bucket)
            assert set(hours) == expected

    def test_an_hour_is_forgotten_only_when_it_is_long_gone(
        self, counters_store: ServerStore, store: redis.Redis, grant: Grant
    ) -> None:
        seconds, _ = store.time()
        now_ms = int(seconds) * 1000
        for hours_ago in (0, 1, 2, 3):
            consume(counters_store, grant, now_ms - hours_ago * HOUR_MS)
        hours, finished = rollup.read_hours(counters_store, grant.bucket)
        assert len(hours) == 4
        rollup.forget_hours(counters_store, grant.bucket, finished)
        left, again = rollup.read_hours(counters_store, grant.bucket)
        this_hour = now_ms // HOUR_MS * HOUR_MS
        assert {hour.hour_start_ms for hour in left} == {this_hour, this_hour - HOUR_MS}
        assert again == []

    def test_a_hash_that_was_lost_begins_a_new_epoch(
        self, counters_store: ServerStore, store: redis.Redis, grant: Grant
    ) -> None:
        consume(counters_store, grant, NOON_MS)
        store.delete(names.hourly(grant.bucket))
        consume(counters_store, grant, NOON_MS + 5)
        [hour], _ = rollup.read_hours(counters_store, grant.bucket)
        assert (hour.epoch, hour.passed) == (NOON_MS + 5, 1)

    def test_a_large_hash_is_read_whole(self, counters_store: ServerStore, store: redis.Redis) -> None:
        subjects = [names.usage_subject("acme", f"key_{number}", "echo") for number in range(3000)]
        store.hset(names.hourly(3), mapping={"epoch": "1", **{f"5|{subject}|p": "2" for subject in subjects}})
        hours, finished = rollup.read_hours(counters_store, 3)
        assert len({hour.key_id for hour in hours}) == len(hours) == 3000
        rollup.forget_hours(counters_store, 3, finished)
        assert store.hgetall(names.hourly(3)) == {"epoch": "1"}

    def test_nothing_where_nothing_happened(self, counters_store: ServerStore) -> None:
        assert rollup.read_hours(counters_store, 9) == ([], [])
        rollup.forget_hours(counters_store, 9, [])


class TestTouchedHours:
    """What the worker copies every few seconds: not all hours, but those that changed."""

    def test_an_hour_is_handed_out_until_it_is_committed(self, counters_store: ServerStore, grant: Grant) -> None:
        for _ in range(6):
            consume(counters_store, grant, NOON_MS)
        first = rollup.take_hours(counters_store, grant.bucket)
        assert rollup.take_hours(counters_store, grant.bucket) == first
        [[hour]] = rollup.read_touched(counters_store, grant.bucket, first.stems)
        identity = (grant.organisation_id, grant.key_id, grant.api_id)
        assert hour == HourOfUsage(*identity, NOON_MS, NOON_MS, passed=5, denied=1)
        rollup.drop_hours(counters_store, grant.bucket, first.generation)
        assert rollup.take_hours(counters_store, grant.bucket).stems == ()

    def test_a_request_after_the_reading_is_handed_out_next(self, counters_store: ServerStore, grant: Grant) -> None:
        consume(counters_store, grant, NOON_MS)
        first = rollup.take_hours(counters_store, grant.bucket)
        consume(counters_store, grant, NOON_MS)
        rollup.drop_hours(counters_store, grant.bucket, first.generation)
        again = rollup.take_hours(counters_store, grant.bucket)
        [[hour]] = rollup.read_touched(counters_store, grant.bucket, again.stems)
        assert hour.passed == 2

    def test_what_the_store_lost_is_left_out(
        self, counters_store: ServerStore, store: redis.Redis, grant: Grant
    ) -> None:
        consume(counters_store, grant, NOON_MS)
        store.delete(names.hourly(grant.bucket))
        touched = rollup.take_hours(counters_store, grant.bucket)
        assert list(rollup.read_touched(counters_store, grant.bucket, touched.stems)) == [[]]

    def test_many_come_in_lots(self, counters_store: ServerStore) -> None:
        stems = [f"5|{names.usage_subject('acme', f'key_{number}', 'echo')}" for number in range(1100)]
        assert len(list(rollup.read_touched(counters_store, 3, stems))) == 3
