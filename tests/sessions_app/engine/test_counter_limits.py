"""How the functions in the store count one limit: quotas, rates and thresholds, against a real store."""

import pytest
import redis

from sessions_app.engine import counters, names
from sessions_app.engine.store_sync import ServerStore
from sessions_app.engine.types import (
    LimitName,
    QuotaReading,
    RateReading,
    Status,
)
from tests.sessions_app.engine.world import (
    DAY_MS,
    HOUR_MS,
    NOON_MS,
    consume,
    crossings,
    grant_of,
    key_counter,
    new_organisation,
    prepare,
    quota,
    rate,
)


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

    def test_a_longer_window_that_is_asked_for_first_begins_with_what_the_shorter_ones_counted(
        self, counters_store: ServerStore
    ) -> None:
        """Rules 4.1, 5.5: the requests of a minute are requests of its hour, whoever has sent them."""
        organisation = new_organisation()
        counter = names.subject_counter(organisation, "developer 7")
        free = grant_of(organisation, [rate(counter, 9, 60_000, source="free")])
        hourly = grant_of(organisation, [rate(counter, 4, HOUR_MS, source="hourly")])
        prepare(counters_store, free)
        for now_ms in (NOON_MS, NOON_MS + 60_000, NOON_MS + 60_001):
            assert consume(counters_store, free, now_ms).admitted
        reading = consume(counters_store, hourly, NOON_MS + 60_002)
        assert reading.limits == (RateReading(True, 0, 4, NOON_MS),)
        assert not consume(counters_store, hourly, NOON_MS + 60_003).admitted

    def test_a_shorter_window_that_is_asked_for_first_counts_nothing_from_before_it_began(
        self, counters_store: ServerStore
    ) -> None:
        """Rules 4.1, 5.5: what an hour counted may be older than the running minute."""
        organisation = new_organisation()
        counter = names.subject_counter(organisation, "developer 7")
        hourly = grant_of(organisation, [rate(counter, 9, HOUR_MS, source="hourly")])
        free = grant_of(organisation, [rate(counter, 1, 60_000, source="free")])
        prepare(counters_store, hourly)
        assert consume(counters_store, hourly, NOON_MS).admitted
        assert consume(counters_store, free, NOON_MS + 60_000).admitted
        assert not consume(counters_store, free, NOON_MS + 60_001).admitted

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
