"""The functions in the store, one guarantee at a time, against a real store: whose configuration counts, and what one
judgement does. Time is given, not waited for.
"""

import pytest
import redis

from sessions_app.engine import counters, names
from sessions_app.engine.store_sync import ServerStore
from sessions_app.engine.types import (
    Limit,
    LimitName,
    QuotaReading,
    Status,
    Versions,
)
from sessions_app.engine.wire import Call
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
    rate,
)


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
