"""The orchestrator: what it asks for, in which order, and what it answers. The same for both drivers (`engine`)."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import redis

from sessions_app.engine import check, counters, names
from sessions_app.engine.check import Freshness
from sessions_app.engine.store_async import open_async_store
from sessions_app.engine.store_sync import ServerStore
from sessions_app.engine.types import (
    Decision,
    Grant,
    Outcome,
    Refusal,
    Snapshot,
    Status,
    StoreUnavailable,
    Versions,
)
from sessions_app.engine.wire import Call, Reply
from tests.sessions_app.engine.world import (
    DAY_MS,
    HOUR_MS,
    NOON_MS,
    PATIENCE_MS,
    AwaitedLoader,
    FixedLoader,
    consume,
    grant_of,
    key_counter,
    new_organisation,
    prepare,
    quota,
    rate,
)

CACHED, RENEWED, OWN = Freshness


class ScriptedStore:
    """Answers from a list, the last answer again and again; exceptions are raised. Notes the verbs."""

    def __init__(self, *answers: Reply) -> None:
        self.answers = list(answers)
        self.verbs: list[str] = []

    def call(self, call: Call) -> Reply:
        verb = call.parts[1].decode().rpartition("_")[2]
        self.verbs.append(verb)
        if verb in ("publish", "restore"):
            return 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def call_many(self, calls: Sequence[Call]) -> list[Reply]:
        return [self.call(call) for call in calls]


class AwaitedStore:
    """A ScriptedStore for the event loop."""

    def __init__(self, store: ScriptedStore) -> None:
        self._store = store

    async def call(self, call: Call) -> Reply:
        return self._store.call(call)

    async def call_many(self, calls: Sequence[Call]) -> list[Reply]:
        return self._store.call_many(calls)


Engine = Callable[..., Decision]


@pytest.fixture(params=["sync", "async"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """`engine(store, loader, …)`: check or check_async."""

    def awaited(store: ScriptedStore, loader: FixedLoader, **options: Any) -> Decision:
        return asyncio.run(check.check_async(AwaitedStore(store), AwaitedLoader(loader), **options))

    return check.check if request.param == "sync" else awaited


JUDGED = [Status.JUDGED, NOON_MS, 1, 0]
STALE, OUTDATED, EXPIRED = ([status, NOON_MS] for status in (Status.STALE, Status.OUTDATED, Status.EXPIRED))
DOWN = StoreUnavailable("down")


def test_a_warm_request_is_one_call_and_one_look_into_the_cache(engine: Engine) -> None:
    store, loader = ScriptedStore(JUDGED), FixedLoader(grant_of("acme"))
    assert engine(store, loader).outcome is Outcome.PASSED
    assert (store.verbs, loader.asked, loader.snapshots_asked) == (["consume"], [CACHED], [])


def test_a_stale_grant_is_compiled_anew_published_and_judged(engine: Engine) -> None:
    newer = grant_of("acme", versions=Versions(1, 1, 2))
    store, loader = ScriptedStore(STALE, JUDGED), FixedLoader(grant_of("acme"), newer)
    decision = engine(store, loader)
    assert (decision.outcome, decision.grant) == (Outcome.PASSED, newer)
    assert (store.verbs, loader.asked) == (["consume", "publish", "consume"], [CACHED, RENEWED])


def test_an_outdated_calendar_is_compiled_anew(engine: Engine) -> None:
    store, loader = ScriptedStore(OUTDATED, JUDGED), FixedLoader(grant_of("acme"))
    assert engine(store, loader).outcome is Outcome.PASSED
    assert loader.asked == [CACHED, RENEWED]


def test_a_key_that_was_deleted_meanwhile_is_refused(engine: Engine) -> None:
    store, loader = ScriptedStore(STALE), FixedLoader(grant_of("acme"), Refusal.UNKNOWN_KEY)
    decision = engine(store, loader)
    assert (decision.outcome, decision.refusal) == (Outcome.REFUSED, Refusal.UNKNOWN_KEY)
    assert store.verbs == ["consume"]


def test_an_unknown_key_never_reaches_the_store(engine: Engine) -> None:
    store = ScriptedStore(DOWN)
    assert engine(store, FixedLoader(Refusal.UNKNOWN_KEY)).refusal is Refusal.UNKNOWN_KEY
    assert store.verbs == []


def test_missing_counters_are_restored_from_their_snapshots(engine: Engine) -> None:
    counter = key_counter("acme")
    grant = grant_of("acme", [rate(counter), quota(counter)])
    missing = [Status.MISSING, NOON_MS, 1]
    judged = [*JUDGED, 1, 0, 1, NOON_MS, 1, 1, NOON_MS, NOON_MS + HOUR_MS]
    store = ScriptedStore(missing, judged)
    loader = FixedLoader(grant, snapshots={counter: Snapshot(5, NOON_MS, "")})
    assert engine(store, loader).outcome is Outcome.PASSED
    assert (store.verbs, loader.snapshots_asked) == (["consume", "restore", "consume"], [(counter,)])


@pytest.mark.parametrize("refusal", [Refusal.INACTIVE_KEY, Refusal.INACTIVE_ORGANISATION, Refusal.API_FORBIDDEN])
def test_a_grants_refusal_is_answered_once_the_store_says_it_is_current(engine: Engine, refusal: Refusal) -> None:
    store, loader = ScriptedStore(JUDGED), FixedLoader(grant_of("acme", refusal=refusal))
    decision = engine(store, loader)
    assert (decision.outcome, decision.refusal) == (Outcome.REFUSED, refusal)
    assert (store.verbs, loader.asked) == (["peek"], [CACHED])


def test_a_refusal_that_no_longer_holds_is_not_answered(engine: Engine) -> None:
    store = ScriptedStore(STALE, JUDGED)
    loader = FixedLoader(grant_of("acme", refusal=Refusal.INACTIVE_KEY), grant_of("acme", versions=Versions(1, 1, 2)))
    assert engine(store, loader).outcome is Outcome.PASSED
    assert store.verbs == ["peek", "publish", "consume"]


@pytest.mark.parametrize("refusal", [None, Refusal.INACTIVE_KEY])
def test_expired_comes_before_every_other_refusal(engine: Engine, refusal: Refusal | None) -> None:
    decision = engine(ScriptedStore(EXPIRED), FixedLoader(grant_of("acme", refusal=refusal, expires_at_ms=1)))
    assert (decision.outcome, decision.refusal) == (Outcome.REFUSED, Refusal.EXPIRED_KEY)


@pytest.mark.parametrize("answers", [[DOWN], [STALE, DOWN]], ids=["at once", "halfway"])
def test_a_store_that_is_down_is_an_outcome_with_the_grant(engine: Engine, answers: list[Reply]) -> None:
    grant = grant_of("acme", fail_open=False)
    decision = engine(ScriptedStore(*answers), FixedLoader(grant))
    assert (decision.outcome, decision.grant) == (Outcome.UNAVAILABLE, grant)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"refusal": Refusal.INACTIVE_KEY}, Refusal.INACTIVE_KEY),
        ({"expires_at_ms": NOON_MS}, Refusal.EXPIRED_KEY),
        ({"expires_at_ms": NOON_MS, "refusal": Refusal.INACTIVE_KEY}, Refusal.EXPIRED_KEY),
    ],
)
def test_who_is_refused_does_not_pass_because_the_store_is_down(
    engine: Engine, changes: dict[str, Any], refusal: Refusal
) -> None:
    decision = engine(ScriptedStore(DOWN), FixedLoader(grant_of("acme", **changes)), now_ms=NOON_MS)
    assert (decision.outcome, decision.refusal) == (Outcome.REFUSED, refusal)


def test_the_second_time_a_grant_of_ones_own_is_asked_for(engine: Engine) -> None:
    store, loader = ScriptedStore(STALE, STALE, JUDGED), FixedLoader(grant_of("acme"))
    assert engine(store, loader).outcome is Outcome.PASSED
    assert loader.asked == [CACHED, RENEWED, OWN]
    assert store.verbs == ["consume", "publish"] * 2 + ["consume"]


def test_answers_that_never_settle_end_as_unavailable(engine: Engine) -> None:
    store = ScriptedStore(STALE)
    assert engine(store, FixedLoader(grant_of("acme"))).outcome is Outcome.UNAVAILABLE
    assert store.verbs.count("consume") == check.ROUNDS


@pytest.mark.parametrize("answer", [None, [], ["x"], [17, NOON_MS], [0, NOON_MS, 1, 0, 1]])
def test_an_answer_that_makes_no_sense_is_no_answer(engine: Engine, answer: Reply) -> None:
    grant = grant_of("acme", [quota(key_counter("acme"))])
    assert engine(ScriptedStore(answer), FixedLoader(grant)).outcome is Outcome.UNAVAILABLE


def test_an_error_of_the_loader_passes_through(engine: Engine) -> None:
    class Broken(FixedLoader):
        def load(self, freshness: Freshness) -> Grant | Refusal:
            raise LookupError("no database")

    with pytest.raises(LookupError):
        engine(ScriptedStore(JUDGED), Broken(grant_of("acme")))


class TestAgainstARealStore:
    def test_a_new_key_is_judged_within_one_check(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        loader = FixedLoader(
            grant_of(organisation, [rate(key_counter(organisation)), quota(key_counter(organisation), 3)])
        )
        outcomes = [check.check(counters_store, loader).outcome for _ in range(4)]
        assert outcomes == [Outcome.PASSED] * 3 + [Outcome.DENIED]
        assert loader.asked == [CACHED, RENEWED, CACHED, CACHED, CACHED]

    @pytest.mark.parametrize("refusal", [None, Refusal.INACTIVE_KEY])
    def test_a_configuration_that_changes_faster_than_it_is_compiled_is_judged_all_the_same(
        self, counters_store: ServerStore, refusal: Refusal | None
    ) -> None:
        """Nothing passes uncounted (rule 2.7): what changed since the request came is younger than the request."""
        organisation = new_organisation()
        grant = grant_of(organisation, [quota(key_counter(organisation), 2)], refusal=refusal)
        loader = FixedLoader(grant)
        counters_store.call_many(counters.publish_gateway(grant.versions.gateway + 1))
        outcomes = [check.check(counters_store, loader).outcome for _ in range(3)]
        assert outcomes == ([Outcome.REFUSED] * 3 if refusal else [Outcome.PASSED] * 2 + [Outcome.DENIED])
        assert loader.asked == [CACHED, RENEWED, OWN] * 3

    def test_a_lost_store_comes_back_from_snapshots(self, counters_store: ServerStore, store: redis.Redis) -> None:
        organisation = new_organisation()
        counter = key_counter(organisation)
        grant = grant_of(organisation, [quota(counter, 10)])
        loader = FixedLoader(grant)
        for _ in range(6):
            check.check(counters_store, loader)
        used, start, fired = store.hmget(counter, "u", "s", "f")
        store.delete(*store.keys("tg:*"))
        store.function_flush()
        snapshots = {counter: Snapshot(int(used or 0), int(start or 0), str(fired))}
        [state] = check.check(counters_store, FixedLoader(grant, snapshots=snapshots)).states
        assert (state.used, state.remaining) == (7, 3)

    def test_concurrent_first_requests_count_each(self, counters_store: ServerStore, store_url: str) -> None:
        organisation = new_organisation()
        counter = key_counter(organisation)
        loader = AwaitedLoader(FixedLoader(grant_of(organisation, [quota(counter, 100)])))

        async def burst() -> list[Decision]:
            store = open_async_store(store_url, PATIENCE_MS)
            decisions = await asyncio.gather(*(check.check_async(store, loader) for _ in range(130)))
            await store.close()
            return decisions

        outcomes = [decision.outcome for decision in asyncio.run(burst())]
        assert (outcomes.count(Outcome.PASSED), outcomes.count(Outcome.DENIED)) == (100, 30)

    def test_peek_shows_many_grants_and_creates_nothing(self, counters_store: ServerStore, store: redis.Redis) -> None:
        used, fresh, lost = (new_organisation() for _ in range(3))
        grants = [grant_of(each, [quota(key_counter(each), 10)]) for each in (used, fresh, lost)]
        prepare(counters_store, grants[0])
        consume(counters_store, grants[0], cost=4)
        now_ms = counters.parse_reading(counters_store.call(counters.peek(grants[0])), grants[0]).now_ms
        snapshots = FixedLoader(grants[0], snapshots={key_counter(lost): Snapshot(7, now_ms, "")})
        states = check.peek(counters_store, snapshots.snapshots, grants)
        assert [state.used for (state,) in states] == [4, 0, 7]
        assert not store.exists(key_counter(fresh))
        assert snapshots.snapshots_asked == [tuple(sorted([key_counter(fresh), key_counter(lost)]))]

    def test_peek_works_for_an_expired_credential_and_for_none(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        grant = grant_of(organisation, [quota(key_counter(organisation), 10)], expires_at_ms=1)
        [[state]] = check.peek(counters_store, FixedLoader(grant).snapshots, [grant])
        assert state.remaining == 10
        assert check.peek(counters_store, FixedLoader(grant).snapshots, []) == []

    def test_reset_reaches_a_counter_that_the_store_has_lost(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        limit = quota(key_counter(organisation), 10)
        grant = grant_of(organisation, [limit])
        snapshots = FixedLoader(grant, snapshots={limit.counter: Snapshot(9, NOON_MS, "")}).snapshots
        assert check.reset(counters_store, snapshots, limit, now_ms=NOON_MS + 1) == 9
        assert check.reset(counters_store, snapshots, limit, now_ms=NOON_MS + 1) == 0
        counters_store.call(counters.publish_grant(grant))
        assert consume(counters_store, grant, NOON_MS + 2).limits[0].period_start_ms == NOON_MS + 2

    def test_assign_returns_what_was_used_before(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        limit = quota(key_counter(organisation), 10)
        snapshots = FixedLoader(grant_of(organisation)).snapshots
        assert check.assign(counters_store, snapshots, limit, 4) == 0
        assert check.assign(counters_store, snapshots, limit, 6) == 4

    def test_a_verb_on_a_calendar_that_has_run_out_says_so(self, counters_store: ServerStore) -> None:
        limit = quota(key_counter(new_organisation()), 1, 0, boundaries_ms=(NOON_MS, NOON_MS + DAY_MS))
        with pytest.raises(StoreUnavailable, match="calendar"):
            check.reset(counters_store, FixedLoader(grant_of("acme")).snapshots, limit, now_ms=NOON_MS + DAY_MS)

    def test_a_change_is_seen_by_the_next_request(self, counters_store: ServerStore) -> None:
        organisation = new_organisation()
        limits = [quota(key_counter(organisation), 10)]
        old = grant_of(organisation, limits)
        revoked = grant_of(organisation, limits, versions=Versions(1, 1, 2), refusal=Refusal.INACTIVE_KEY)
        loader = FixedLoader(old, old, old, revoked)
        assert check.check(counters_store, loader).outcome is Outcome.PASSED
        counters_store.call(counters.publish_key(organisation, old.key_id, 2))
        assert check.check(counters_store, loader).refusal is Refusal.INACTIVE_KEY
        assert names.bucket_of_counter(key_counter(organisation)) == names.bucket_of(organisation)
