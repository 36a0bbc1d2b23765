"""The functions in the store, one guarantee at a time, against a real store. Time is given, not waited for."""

import pytest
import redis

from sessions_app.engine import counters, names
from sessions_app.engine.store_sync import ServerStore
from sessions_app.engine.types import (
    NO_SNAPSHOT,
    Limit,
    LimitName,
    QuotaReading,
    RateReading,
    Snapshot,
    Status,
    Versions,
)
from sessions_app.engine.wire import Call
from tests.sessions_app.engine.world import (
    HOUR_MS,
    NOON_MS,
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

DAY_MS = 24 * HOUR_MS


class TestVersions:
    def test_an_unknown_grant_is_stale(self, counters_store: ServerStore) -> None:
        assert consume(counters_store, grant_of(new_organisation())).status is Status.STALE

    @pytest.mark.parametrize("scope", [0, 1, 2])
    def test_an_older_grant_is_stale(self, counters_store: ServerStore, scope: int) -> None:
        organisation = new_organisation()
        newer = [1, 1, 1]
        newer[scope] = 2
        prepare(counters_store, grant_of(organisation, versions=Versions(*newer)))
        assert consume(counters_store, grant_of(organisation)).status is Status.STALE

    @pytest.mark.parametrize("scope", [0, 1, 2])
    def test_a_newer_grant_is_judged_and_makes_older_ones_stale(self, counters_store: ServerStore, scope: int) -> None:
        organisation = new_organisation()
        old = grant_of(organisation)
        prepare(counters_store, old)
        newer = [1, 1, 1]
        newer[scope] = 2
        assert consume(counters_store, grant_of(organisation, versions=Versions(*newer))).admitted
        assert consume(counters_store, old).status is Status.STALE

    def test_publishing_never_lowers(self, counters_store: ServerStore, store: redis.Redis) -> None:
        for number in (5, 3):
            counters_store.call(counters.publish_key("acme", "key_1", number))
        assert store.get(names.key_version("acme", "key_1")) == "5"

    def test_the_gateway_is_published_to_every_bucket(self, counters_store: ServerStore, store: redis.Redis) -> None:
        counters_store.call_many(counters.publish_gateway(7))
        assert [store.get(names.gateway_version(bucket)) for bucket in range(names.BUCKETS)] == ["7"] * names.BUCKETS

    def test_a_stale_grant_consumes_nothing(self, counters_store: ServerStore, store: redis.Redis) -> None:
        organisation = new_organisation()
        limit = quota(key_counter(organisation))
        grant = grant_of(organisation, [limit])
        prepare(counters_store, grant)
        counters_store.call(counters.publish_key(organisation, grant.key_id, 2))
        assert consume(counters_store, grant).status is Status.STALE
        assert store.hget(limit.counter, "u") == "0"
        assert not store.exists(names.hourly(grant.bucket))


class TestQuota:
    def test_admits_exactly_max_and_then_denies(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        grant = grant_of(organisation, [quota(key_counter(organisation), 3)])
        prepare(counters_store, grant)
        readings = [consume(counters_store, grant, NOON_MS + step) for step in range(5)]
        assert [reading.admitted for reading in readings] == [True, True, True, False, False]
        assert readings[-1].limits == (QuotaReading(False, 3, NOON_MS, NOON_MS + HOUR_MS),)

    def test_a_period_begins_with_the_first_request_after_the_last_one_ended(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        grant = grant_of(organisation, [quota(key_counter(organisation), 1, 1000)])
        prepare(counters_store, grant)
        assert consume(counters_store, grant, NOON_MS).admitted
        assert not consume(counters_store, grant, NOON_MS + 999).admitted
        late = NOON_MS + 5_500
        assert consume(counters_store, grant, late).limits == (QuotaReading(True, 1, late, late + 1000),)

    def test_an_endless_quota_never_renews(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        grant = grant_of(organisation, [quota(key_counter(organisation), 1, 0)])
        prepare(counters_store, grant)
        assert consume(counters_store, grant, NOON_MS).limits == (QuotaReading(True, 1, NOON_MS, 0),)
        assert not consume(counters_store, grant, NOON_MS + 1000 * DAY_MS).admitted

    def test_a_calendar_quota_renews_at_the_boundary(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        boundaries = (NOON_MS - DAY_MS, NOON_MS, NOON_MS + DAY_MS)
        grant = grant_of(organisation, [quota(key_counter(organisation), 1, 0, boundaries_ms=boundaries)])
        prepare(counters_store, grant)
        assert consume(counters_store, grant, NOON_MS - 1).limits == (QuotaReading(True, 1, NOON_MS - 1, NOON_MS),)
        assert consume(counters_store, grant, NOON_MS).limits == (QuotaReading(True, 1, NOON_MS, NOON_MS + DAY_MS),)
        assert not consume(counters_store, grant, NOON_MS + 1).admitted

    @pytest.mark.parametrize("now_ms", [NOON_MS - 1, NOON_MS + 2 * DAY_MS])
    def test_a_moment_outside_the_calendar_is_outdated(self, counters_store: ServerStore, now_ms: int) -> None:
        organisation = new_organisation()
        boundaries = (NOON_MS, NOON_MS + DAY_MS, NOON_MS + 2 * DAY_MS)
        grant = grant_of(organisation, [quota(key_counter(organisation), 1, 0, boundaries_ms=boundaries)])
        prepare(counters_store, grant)
        assert consume(counters_store, grant, now_ms).status is Status.OUTDATED

    def test_a_changed_limit_keeps_usage_and_acts_at_once(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        counter = key_counter(organisation)
        five, two = grant_of(organisation, [quota(counter, 5)]), grant_of(organisation, [quota(counter, 2)])
        prepare(counters_store, five)
        for step in range(3):
            assert consume(counters_store, five, NOON_MS + step).admitted
        assert not consume(counters_store, two, NOON_MS + 3).admitted
        assert consume(counters_store, five, NOON_MS + 4).limits[0] == QuotaReading(True, 4, NOON_MS, NOON_MS + HOUR_MS)

    def test_a_changed_period_acts_at_once(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        counter = key_counter(organisation)
        hour, second = grant_of(organisation, [quota(counter, 1)]), grant_of(organisation, [quota(counter, 1, 1000)])
        prepare(counters_store, hour)
        assert consume(counters_store, hour, NOON_MS).admitted
        assert not consume(counters_store, hour, NOON_MS + 2000).admitted
        assert consume(counters_store, second, NOON_MS + 2000).admitted

    def test_a_cost_passes_as_a_whole_or_not_at_all(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        grant = grant_of(organisation, [quota(key_counter(organisation), 10)])
        prepare(counters_store, grant)
        assert consume(counters_store, grant, NOON_MS, 8).admitted
        assert not consume(counters_store, grant, NOON_MS, 3).admitted
        assert consume(counters_store, grant, NOON_MS, 2).admitted

    @pytest.mark.parametrize("cost", [0, -1])
    def test_a_cost_below_one_is_refused(self, cost: int) -> None:
        with pytest.raises(ValueError, match="cost must be at least 1"):
            counters.consume(grant_of("acme"), cost)

    def test_great_numbers_stay_exact(self, counters_store: ServerStore, store: redis.Redis) -> None:
        organisation = new_organisation()
        limit = quota(key_counter(organisation), 10**15)
        grant = grant_of(organisation, [limit])
        prepare(counters_store, grant)
        counters_store.call(counters.assign(limit, 10**15 - 2, NOON_MS))
        readings = [consume(counters_store, grant, NOON_MS) for _ in range(3)]
        assert [reading.admitted for reading in readings] == [True, True, False]
        assert store.hget(limit.counter, "u") == str(10**15)

    def test_two_limits_of_one_kind_on_one_counter_are_refused(self) -> None:
        counter = key_counter("acme")
        with pytest.raises(ValueError, match="one kind on one counter"):
            counters.consume(grant_of("acme", [quota(counter), quota(counter, 5)]))


class TestRate:
    def test_admits_exactly_max_inside_an_aligned_window(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        grant = grant_of(organisation, [rate(key_counter(organisation), 5, 1000)])
        prepare(counters_store, grant)
        admitted = [consume(counters_store, grant, NOON_MS + 100 * step).admitted for step in range(10)]
        assert admitted == [True] * 5 + [False] * 5

    def test_the_previous_window_fades(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        grant = grant_of(organisation, [rate(key_counter(organisation), 4, 1000)])
        prepare(counters_store, grant)
        for _ in range(4):
            consume(counters_store, grant, NOON_MS)
        admitted = [
            consume(counters_store, grant, NOON_MS + 1000 + after).admitted for after in (0, 1, 250, 251, 500, 501)
        ]
        assert admitted == [False, True, False, True, False, True]

    def test_denials_do_not_extend_the_wait(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        grant = grant_of(organisation, [rate(key_counter(organisation), 1, 1000)])
        prepare(counters_store, grant)
        assert consume(counters_store, grant, NOON_MS).admitted
        for after in range(50, 1000, 50):
            assert not consume(counters_store, grant, NOON_MS + after).admitted
        assert consume(counters_store, grant, NOON_MS + 1001).admitted

    def test_a_clock_that_steps_back_a_little_does_not_open_a_window_twice(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        grant = grant_of(organisation, [rate(key_counter(organisation), 2, 1000)])
        prepare(counters_store, grant)
        assert [consume(counters_store, grant, NOON_MS + 10).admitted for _ in range(3)] == [True, True, False]
        assert not consume(counters_store, grant, NOON_MS - 10).admitted

    def test_a_clock_that_steps_back_far_does_not_lock_a_key_out(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        grant = grant_of(organisation, [rate(key_counter(organisation), 1, 1000)])
        prepare(counters_store, grant)
        assert consume(counters_store, grant, NOON_MS).admitted
        assert consume(counters_store, grant, NOON_MS - HOUR_MS).admitted

    def test_limits_of_different_windows_on_a_shared_counter_count_each_others_requests(
        self, counters_store: ServerStore
    ) -> None:
        organisation = new_organisation()
        counter = names.subject_counter(organisation, "developer 7")
        free = grant_of(organisation, [rate(counter, 2, 1000, source="free")])
        daily = grant_of(organisation, [rate(counter, 6, 60_000, source="daily")])
        prepare(counters_store, free)
        assert consume(counters_store, daily, NOON_MS).admitted
        for second in range(4):
            assert consume(counters_store, free, NOON_MS + 2000 * second).admitted
        reading = consume(counters_store, daily, NOON_MS + 9000)
        assert reading.limits == (RateReading(True, 0, 6, NOON_MS),)
        assert not consume(counters_store, daily, NOON_MS + 9001).admitted

    def test_a_window_that_no_limit_has_any_more_is_forgotten(
        self, counters_store: ServerStore, store: redis.Redis
    ) -> None:
        organisation = new_organisation()
        counter = key_counter(organisation)
        old, new = grant_of(organisation, [rate(counter, 5, 1000)]), grant_of(organisation, [rate(counter, 5, 2000)])
        prepare(counters_store, old)
        consume(counters_store, old, NOON_MS)
        consume(counters_store, new, NOON_MS)
        assert len(str(store.hget(counter, "r")).split(";")) == 2
        consume(counters_store, new, NOON_MS + DAY_MS + 3000)
        assert str(store.hget(counter, "r")).startswith("2000:")

    def test_a_window_in_use_is_never_forgotten(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        half_a_day = 12 * HOUR_MS
        grant = grant_of(organisation, [rate(key_counter(organisation), 1, half_a_day)])
        prepare(counters_store, grant)
        for number in range(1, 9):
            last_moment = NOON_MS + number * half_a_day - 1
            assert consume(counters_store, grant, last_moment).admitted
            assert not consume(counters_store, grant, last_moment).admitted

    def test_a_quota_and_a_rate_share_a_counter(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        counter = key_counter(organisation)
        grant = grant_of(organisation, [rate(counter, 2), quota(counter, 3)])
        prepare(counters_store, grant)
        moments = [NOON_MS, NOON_MS, NOON_MS, NOON_MS + 2000, NOON_MS + 4000]
        assert [consume(counters_store, grant, moment).admitted for moment in moments] == [
            True,
            True,
            False,
            True,
            False,
        ]


class TestAllOrNothing:
    @pytest.mark.parametrize(
        "tight", [LimitName.ORG_RATE, LimitName.ORG_QUOTA, LimitName.KEY_RATE, LimitName.KEY_QUOTA]
    )
    def test_a_denial_by_one_limit_consumes_nothing_on_any(
        self, counters_store: ServerStore, store: redis.Redis, tight: LimitName
    ) -> None:
        organisation = new_organisation()
        own, whole = key_counter(organisation), names.organisation_counter(organisation)
        limits: list[Limit] = [
            rate(whole, 1 if tight is LimitName.ORG_RATE else 9, HOUR_MS, name=LimitName.ORG_RATE),
            quota(whole, 1 if tight is LimitName.ORG_QUOTA else 9, name=LimitName.ORG_QUOTA),
            rate(own, 1 if tight is LimitName.KEY_RATE else 9, HOUR_MS),
            quota(own, 1 if tight is LimitName.KEY_QUOTA else 9),
        ]
        grant = grant_of(organisation, limits)
        prepare(counters_store, grant)
        assert consume(counters_store, grant, NOON_MS).admitted
        before = [store.hgetall(counter) for counter in (own, whole)]
        reading = consume(counters_store, grant, NOON_MS + 1)
        denying = [limit.name for limit, found in zip(grant.limits, reading.limits, strict=True) if not found.allowed]
        assert (reading.admitted, denying) == (False, [tight])
        assert [store.hgetall(counter) for counter in (own, whole)] == before

    def test_a_denial_does_not_renew_a_period_that_ended(self, counters_store: ServerStore, store: redis.Redis) -> None:
        organisation = new_organisation()
        counter = key_counter(organisation)
        prepare(counters_store, grant_of(organisation, [quota(counter, 5, 1000)]))
        consume(counters_store, grant_of(organisation, [quota(counter, 5, 1000)]), NOON_MS)
        before = store.hgetall(counter)
        other = names.organisation_counter(organisation)
        both = grant_of(organisation, [rate(other, 1, HOUR_MS, name=LimitName.ORG_RATE), quota(counter, 5, 1000)])
        consume(counters_store, grant_of(organisation, [both.limits[0]]), NOON_MS + 2000)
        reading = consume(counters_store, both, NOON_MS + 2000)
        assert not reading.admitted
        assert reading.limits[1] == QuotaReading(True, 0, 0, 0)
        assert store.hgetall(counter) == before

    def test_hours_count_what_passed_and_what_was_denied(self, counters_store: ServerStore, store: redis.Redis) -> None:
        organisation = new_organisation()
        grant = grant_of(organisation, [quota(key_counter(organisation), 2)])
        prepare(counters_store, grant)
        for _ in range(5):
            consume(counters_store, grant, NOON_MS)
        stem = f"{NOON_MS // HOUR_MS}|{organisation}|{grant.key_id}|echo"
        assert store.hgetall(names.hourly(grant.bucket)) == {f"{stem}|p": "2", f"{stem}|d": "3", "epoch": str(NOON_MS)}


class TestPeek:
    def test_judges_as_the_next_request_would_be_and_writes_nothing(
        self, counters_store: ServerStore, store: redis.Redis
    ) -> None:
        organisation = new_organisation()
        counter = key_counter(organisation)
        grant = grant_of(organisation, [rate(counter, 9, HOUR_MS), quota(counter, 2, percents=[50])])
        prepare(counters_store, grant)
        for _ in range(3):
            before = {name: store.dump(name) for name in store.scan_iter()}
            looked = peek(counters_store, grant, NOON_MS)
            assert {name: store.dump(name) for name in store.scan_iter()} == before
            assert looked.admitted == consume(counters_store, grant, NOON_MS).admitted

    def test_a_missing_counter_is_told_or_taken_for_fresh(
        self, counters_store: ServerStore, store: redis.Redis
    ) -> None:
        organisation = new_organisation()
        limit = quota(key_counter(organisation))
        grant = grant_of(organisation, [limit])
        assert peek(counters_store, grant).missing == (limit.counter,)
        assert peek(counters_store, grant, lenient=True).limits == (QuotaReading(True, 0, 0, 0),)
        assert not store.exists(limit.counter)

    def test_verify_tells_current_stale_and_expired(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        current = grant_of(organisation, expires_at_ms=NOON_MS)
        prepare(counters_store, current)

        def status(grant, now_ms):
            return counters.parse_reading(counters_store.call(counters.verify(grant, now_ms)), grant).status

        assert status(current, NOON_MS - 1) is Status.JUDGED
        assert status(current, NOON_MS) is Status.EXPIRED
        assert status(grant_of(organisation, versions=Versions(0, 1, 1)), NOON_MS) is Status.STALE

    def test_an_expired_credential_consumes_nothing(self, counters_store: ServerStore, store: redis.Redis) -> None:
        organisation = new_organisation()
        limit = quota(key_counter(organisation))
        grant = grant_of(organisation, [limit], expires_at_ms=NOON_MS)
        prepare(counters_store, grant)
        assert consume(counters_store, grant, NOON_MS).status is Status.EXPIRED
        assert store.hget(limit.counter, "u") == "0"


class TestThresholds:
    def test_each_fires_once_with_the_request_that_reaches_it(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        limit = quota(key_counter(organisation), 10, percents=[50, 75, 100])
        grant = grant_of(organisation, [limit])
        prepare(counters_store, grant)
        crossed = [consume(counters_store, grant, NOON_MS + step).crossed for step in range(12)]
        assert crossed == [0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0]
        events = [(event.threshold, event.used) for event in crossings(counters_store, grant)]
        assert events == [("50", 5), ("75", 8), ("100", 10)]

    def test_an_event_says_all_that_is_known_of_the_crossing(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        counter = names.organisation_counter(organisation)
        limit = quota(counter, 3, name=LimitName.ORG_QUOTA, source="org", percents=[50])
        grant = grant_of(organisation, [limit], event_context=b"\x00\xff{}")
        prepare(counters_store, grant)
        consume(counters_store, grant, NOON_MS)
        consume(counters_store, grant, NOON_MS + 5)
        [crossing] = crossings(counters_store, grant)
        assert (crossing.kind, crossing.counter, crossing.source, crossing.threshold) == ("org", counter, "org", "50")
        assert (crossing.period_start_ms, crossing.period_end_ms) == (NOON_MS, NOON_MS + HOUR_MS)
        assert (crossing.used, crossing.quota_max, crossing.occurred_at_ms) == (2, 3, NOON_MS + 5)
        assert (crossing.own, crossing.context) == (True, b"\x00\xff{}")

    def test_all_that_one_request_crosses_fire_in_ascending_order(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        limit = quota(key_counter(organisation), 10, percents=[90, 80, 50])
        grant = grant_of(organisation, [limit])
        prepare(counters_store, grant)
        assert consume(counters_store, grant, NOON_MS, 9).crossed == 3
        assert [event.threshold for event in crossings(counters_store, grant)] == ["50", "80", "90"]

    def test_renewal_and_reset_arm_again(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        limit = quota(key_counter(organisation), 2, 1000, percents=[50])
        grant = grant_of(organisation, [limit])
        prepare(counters_store, grant)
        assert consume(counters_store, grant, NOON_MS).crossed == 1
        assert consume(counters_store, grant, NOON_MS + 1000).crossed == 1
        counters_store.call(counters.reset(limit, NOON_MS + 1000))
        assert consume(counters_store, grant, NOON_MS + 1000).crossed == 1
        assert len({event.period_start_ms for event in crossings(counters_store, grant)}) == 3

    def test_a_threshold_that_is_already_passed_fires_with_the_next_request(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        counter = key_counter(organisation)
        silent, watched = (grant_of(organisation, [quota(counter, 10, percents=each)]) for each in ([], [50]))
        prepare(counters_store, silent)
        for _ in range(7):
            consume(counters_store, silent, NOON_MS)
        assert [consume(counters_store, watched, NOON_MS).crossed for _ in range(2)] == [1, 0]

    def test_raising_a_limit_never_fires_again(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        counter = key_counter(organisation)
        low, high = (grant_of(organisation, [quota(counter, maximum, percents=[50])]) for maximum in (4, 10))
        prepare(counters_store, low)
        crossed = [consume(counters_store, grant, NOON_MS).crossed for grant in [low] * 4 + [high] * 6]
        assert sum(crossed) == 1

    def test_sources_of_a_shared_counter_fire_their_own(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        counter = names.subject_counter(organisation, "developer 7")
        free = grant_of(organisation, [quota(counter, 4, source="free", percents=[50])])
        pro = grant_of(organisation, [quota(counter, 8, source="pro", percents=[50])])
        prepare(counters_store, free)
        crossed = [consume(counters_store, grant, NOON_MS).crossed for grant in (free, pro, free, pro, pro)]
        assert crossed == [0, 0, 1, 1, 0]
        assert [(event.source, event.used) for event in crossings(counters_store, free)] == [("free", 3), ("pro", 4)]

    def test_a_percentage_is_not_taken_for_another_that_begins_alike(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        counter = key_counter(organisation)
        grant = grant_of(organisation, [quota(counter, 100, percents=[10, 100])])
        prepare(counters_store, grant)
        assert consume(counters_store, grant, NOON_MS, 100).crossed == 2
        only_one = grant_of(organisation, [quota(counter, 1000, percents=[1])])
        assert consume(counters_store, only_one, NOON_MS).crossed == 1


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


def test_the_warm_command_is_packed_once() -> None:
    grant = grant_of("acme", [quota(key_counter("acme"))])
    assert isinstance(counters.consume(grant), Call)
    assert counters.consume(grant) is counters.consume(grant)


def test_all_keys_of_a_call_share_one_slot() -> None:
    organisation = "acme"
    limits: list[Limit] = [quota(key_counter(organisation)), rate(names.subject_counter(organisation, "x}{y"))]
    parts = counters.consume(grant_of(organisation, limits)).parts
    keys = parts[3 : 3 + int(parts[2])]
    assert len(keys) == 9
    assert len({redis.crc.key_slot(key) for key in keys}) == 1
