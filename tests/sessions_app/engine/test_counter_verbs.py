"""What people and restores do to counters in the store, and how long those stay, against a real store."""

import pytest
import redis

from sessions_app.engine import counters, names
from sessions_app.engine.store_sync import ServerStore
from sessions_app.engine.types import (
    NO_SNAPSHOT,
    QuotaReading,
    Snapshot,
    Status,
)
from tests.sessions_app.engine.world import (
    DAY_MS,
    HOUR_MS,
    NOON_MS,
    consume,
    grant_of,
    key_counter,
    new_organisation,
    peek,
    prepare,
    quota,
    rate,
)


class TestVerbs:
    def test_reset_forgets_usage_and_says_how_much_it_was(
        self, counters_store: ServerStore, store: redis.Redis
    ) -> None:
        organisation = new_organisation()
        limit = quota(key_counter(organisation), 3)
        grant = grant_of(organisation, [limit])
        prepare(counters_store, grant)
        for _ in range(3):
            consume(counters_store, grant, NOON_MS)
        store.delete(names.dirty(grant.bucket))
        assert counters.parse_verb(counters_store.call(counters.reset(limit, NOON_MS + 5))) == (Status.JUDGED, 3)
        assert store.smembers(names.dirty(grant.bucket)) == {limit.counter}
        assert peek(counters_store, grant, NOON_MS + 6).limits == (QuotaReading(True, 0, 0, 0),)
        assert consume(counters_store, grant, NOON_MS + 9).limits[0] == QuotaReading(
            True, 1, NOON_MS + 9, NOON_MS + 9 + HOUR_MS
        )

    def test_reset_of_a_period_that_ended_had_used_nothing(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        limit = quota(key_counter(organisation), 3, 1000)
        grant = grant_of(organisation, [limit])
        prepare(counters_store, grant)
        consume(counters_store, grant, NOON_MS)
        assert counters.parse_verb(counters_store.call(counters.reset(limit, NOON_MS + 1000))) == (Status.JUDGED, 0)

    def test_reset_leaves_the_rate_alone(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        counter = key_counter(organisation)
        limit = quota(counter, 3)
        grant = grant_of(organisation, [rate(counter, 1, HOUR_MS), limit])
        prepare(counters_store, grant)
        consume(counters_store, grant, NOON_MS)
        counters_store.call(counters.reset(limit, NOON_MS))
        assert not consume(counters_store, grant, NOON_MS).admitted

    def test_assign_keeps_the_period_and_what_fired(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        limit = quota(key_counter(organisation), 10, percents=[50])
        grant = grant_of(organisation, [limit])
        prepare(counters_store, grant)
        assert consume(counters_store, grant, NOON_MS, 6).crossed == 1
        assert counters.parse_verb(counters_store.call(counters.assign(limit, 2, NOON_MS + 5))) == (Status.JUDGED, 6)
        reading = consume(counters_store, grant, NOON_MS + 9, 5)
        assert (reading.crossed, reading.limits[0]) == (0, QuotaReading(True, 7, NOON_MS, NOON_MS + HOUR_MS))

    def test_assign_begins_a_period_if_none_runs(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        limit = quota(key_counter(organisation), 10)
        grant = grant_of(organisation, [limit])
        prepare(counters_store, grant)
        counters_store.call(counters.assign(limit, 4, NOON_MS))
        assert peek(counters_store, grant, NOON_MS).limits == (QuotaReading(True, 4, NOON_MS, NOON_MS + HOUR_MS),)

    def test_assign_refuses_less_than_nothing(self) -> None:
        with pytest.raises(ValueError, match="must not be negative"):
            counters.assign(quota(key_counter("acme")), -1)

    @pytest.mark.parametrize("verb", [counters.reset, lambda limit, now_ms: counters.assign(limit, 1, now_ms)])
    def test_verbs_say_that_a_counter_is_missing_or_a_calendar_outdated(
        self, counters_store: ServerStore, verb
    ) -> None:
        counter = key_counter(new_organisation())
        assert counters.parse_verb(counters_store.call(verb(quota(counter), NOON_MS)))[0] is Status.MISSING
        dated = quota(counter, 1, 0, boundaries_ms=(NOON_MS, NOON_MS + 1))
        assert counters.parse_verb(counters_store.call(verb(dated, NOON_MS + 1)))[0] is Status.OUTDATED


class TestRestore:
    def test_a_missing_quota_counter_is_told(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        counter = key_counter(organisation)
        grant = grant_of(organisation, [rate(counter), quota(counter)])
        counters_store.call(counters.publish_grant(grant))
        reading = consume(counters_store, grant)
        assert (reading.status, reading.missing) == (Status.MISSING, (counter,))

    def test_a_snapshot_brings_back_usage_period_and_fired_thresholds(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        limit = quota(key_counter(organisation), 10, percents=[50])
        grant = grant_of(organisation, [limit])
        prepare(counters_store, grant)
        consume(counters_store, grant, NOON_MS, 6)
        used, start, fired = counters_store.client.hmget(limit.counter, "u", "s", "f")
        counters_store.client.delete(limit.counter)
        call = counters.restore(limit, Snapshot(int(used or 0), int(start or 0), (fired or b"").decode()), NOON_MS + 5)
        assert counters_store.call(call) == 1
        reading = consume(counters_store, grant, NOON_MS + 9)
        assert (reading.crossed, reading.limits[0]) == (0, QuotaReading(True, 7, NOON_MS, NOON_MS + HOUR_MS))

    def test_an_existing_counter_is_never_changed(self, counters_store: ServerStore, store: redis.Redis) -> None:
        organisation = new_organisation()
        limit = quota(key_counter(organisation))
        grant = grant_of(organisation, [limit])
        prepare(counters_store, grant)
        consume(counters_store, grant, NOON_MS)
        before = store.hgetall(limit.counter)
        assert counters_store.call(counters.restore(limit, Snapshot(9, NOON_MS, ""), NOON_MS)) == 0
        assert store.hgetall(limit.counter) == before

    def test_a_rate_on_the_same_counter_survives(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        counter = key_counter(organisation)
        only_rate = grant_of(organisation, [rate(counter, 1, HOUR_MS)])
        prepare(counters_store, only_rate)
        consume(counters_store, only_rate, NOON_MS)
        both = grant_of(organisation, [rate(counter, 1, HOUR_MS), quota(counter)])
        counters_store.call(counters.restore(quota(counter), NO_SNAPSHOT, NOON_MS))
        reading = consume(counters_store, both, NOON_MS)
        assert [found.allowed for found in reading.limits] == [False, True]


class TestLife:
    """How long counters stay: no timers, but nothing for ever that nobody needs."""

    @pytest.mark.parametrize(
        ("limits", "seconds"),
        [
            pytest.param([("quota", HOUR_MS)], 2 * 86_400 + 3600, id="a quota: its period and two days"),
            pytest.param([("quota", 0)], None, id="an endless quota: for ever"),
            pytest.param([("rate", 10_000)], 80, id="a rate: two windows and a minute"),
            pytest.param([("rate", 1000), ("quota", HOUR_MS)], 2 * 86_400 + 3600, id="both: the longer"),
            pytest.param([("rate", 10 * DAY_MS), ("quota", HOUR_MS)], 20 * 86_400, id="both, the rate being longer"),
        ],
    )
    def test_a_counter_lives_as_long_as_its_limits_need(
        self, counters_store: ServerStore, store: redis.Redis, limits: list[tuple[str, int]], seconds: int | None
    ) -> None:
        organisation = new_organisation()
        counter = key_counter(organisation)
        built = [rate(counter, 5, ms) if kind == "rate" else quota(counter, 5, ms) for kind, ms in limits]
        grant = grant_of(organisation, built)
        now_ms = NOON_MS // (10 * DAY_MS) * (10 * DAY_MS)
        prepare(counters_store, grant, now_ms)
        consume(counters_store, grant, now_ms)
        consume(counters_store, grant, now_ms + 1)
        left = store.pttl(counter)
        assert left == -1 if seconds is None else abs(left / 1000 - seconds) < 65

    def test_a_longer_period_lengthens_the_life_of_the_running_one(
        self, counters_store: ServerStore, store: redis.Redis
    ) -> None:
        organisation = new_organisation()
        counter = key_counter(organisation)
        hourly, monthly = (grant_of(organisation, [quota(counter, 5, period)]) for period in (HOUR_MS, 30 * DAY_MS))
        prepare(counters_store, hourly, NOON_MS)
        consume(counters_store, hourly, NOON_MS)
        consume(counters_store, monthly, NOON_MS + 1)
        assert store.ttl(counter) > 31 * 86_400
        endless = grant_of(organisation, [quota(counter, 5, 0)])
        consume(counters_store, endless, NOON_MS + 2)
        assert store.ttl(counter) == -1

    def test_a_new_period_says_anew_how_long_the_counter_lives(
        self, counters_store: ServerStore, store: redis.Redis
    ) -> None:
        organisation = new_organisation()
        counter = key_counter(organisation)
        endless, hourly = (grant_of(organisation, [quota(counter, 5, period)]) for period in (0, HOUR_MS))
        prepare(counters_store, endless, NOON_MS)
        consume(counters_store, endless, NOON_MS)
        assert store.ttl(counter) == -1
        consume(counters_store, hourly, NOON_MS + 2 * HOUR_MS)
        assert 0 < store.ttl(counter) <= 2 * 86_400 + 3600

    def test_a_shorter_rate_does_not_shorten_the_life_of_a_quota(
        self, counters_store: ServerStore, store: redis.Redis
    ) -> None:
        organisation = new_organisation()
        counter = key_counter(organisation)
        prepare(counters_store, grant_of(organisation, [quota(counter)]), NOON_MS)
        consume(counters_store, grant_of(organisation, [quota(counter)]), NOON_MS)
        consume(counters_store, grant_of(organisation, [rate(counter, 5, 1000)]), NOON_MS + 1)
        assert store.ttl(counter) > 2 * 86_400

    def test_a_restored_counter_does_not_stay_for_ever(self, counters_store: ServerStore, store: redis.Redis) -> None:
        limit = quota(key_counter(new_organisation()))
        counters_store.call(counters.restore(limit, NO_SNAPSHOT))
        assert 0 < store.ttl(limit.counter) <= 2 * 86_400

    @pytest.mark.parametrize("percents", [[], [50, 80, 90]])
    def test_a_counter_takes_less_than_300_bytes(
        self, counters_store: ServerStore, store: redis.Redis, percents: list[int]
    ) -> None:
        organisation = "5f3e0c8a1d2b4c0001a9e7f3"
        counter = names.key_counter(
            organisation, "key_0123456789abcdef0123456789abcdef", "policy:5f3e0c8a1d2b4c0001a9e7f4"
        )
        limit = quota(counter, 10**6, 30 * DAY_MS, source="5f3e0c8a1d2b4c0001a9e7f4", percents=percents)
        grant = grant_of(organisation, [rate(counter, 1000, 60_000), limit])
        prepare(counters_store, grant)
        counters_store.call(counters.assign(limit, 999_000, NOON_MS))
        consume(counters_store, grant, NOON_MS)
        assert store.memory_usage(counter, samples=0) <= 300
