"""The flow that all faces share: fresh routes, one store call, held and failing requests."""

import asyncio
import time
from typing import Any

import pytest
from django.db import OperationalError

from policies_app import catalogue
from sessions_app import grants, keys, routes
from sessions_app.edge import judging, loading, metrics, relaying
from sessions_app.edge.judging import judge, judge_async
from sessions_app.edge.loading import Request
from sessions_app.engine.types import LimitName, Outcome, Refusal, StoreUnavailable
from sessions_app.models import OrgSession
from sessions_app.store import async_store, sync_store
from sessions_app.watch import Watch

pytestmark = pytest.mark.services


def ask(path: str, token: str | None, header: bytes = b"x-api-key") -> judging.Verdict:
    return judge(Request(path, {header: token.encode()} if token else {}))


def refusal(path: str, token: str | None) -> Refusal | None:
    return ask(path, token).decision.refusal


class CountingStore:
    """The real store, with the number of round trips that were asked of it."""

    def __init__(self, store):
        self.store, self.calls = store, 0

    def call(self, call):
        self.calls += 1
        return self.store.call(call)

    def call_many(self, calls):
        self.calls += 1
        return self.store.call_many(calls)


class BrokenStore:
    def call(self, call):
        raise StoreUnavailable("down")

    call_many = call


# --- warm (architecture: one round trip, no SQL) ----------------------------------------------------------------------


def test_a_warm_decision_is_one_store_call_and_no_sql(world, monkeypatch, django_assert_num_queries):
    world.api("a")
    token = world.key(quota_max=10, quota_renewal_rate=60, rate=100, per=60)
    ask("/a/x", token)
    store = CountingStore(sync_store())
    monkeypatch.setattr(judging, "sync_store", lambda: store)
    with django_assert_num_queries(0):
        assert ask("/a/x", token).passes
    assert store.calls == 1


def test_a_warm_decision_in_the_event_loop_is_one_store_call_and_leaves_no_loop(world, monkeypatch):
    """SQL in the loop's own thread is impossible (Django refuses it), so it would have to leave the loop."""
    world.api("a")
    request = Request("/a/x", {b"x-api-key": world.key(quota_max=10, quota_renewal_rate=60).encode()})

    async def two_decisions():
        assert (await judge_async(request)).passes
        store = CountingStore(async_store())
        monkeypatch.setattr(judging, "async_store", lambda: store)
        for module in (judging, loading):
            monkeypatch.setattr(module, "in_thread", None)
        verdict = await judge_async(request)
        return verdict, store.calls

    verdict, calls = asyncio.run(two_decisions())
    assert verdict.passes
    assert verdict.decision.states[0].used == 2
    assert calls == 1


# --- rejections (1.4) and their freshness (1.5) -----------------------------------------------------------------------


def test_rejections_come_with_their_reason(world):
    world.api("a"), world.api("b")
    token = world.key("a")
    assert refusal("/nowhere/", token) is Refusal.UNKNOWN_API
    assert refusal("/a/", None) is Refusal.MISSING_KEY
    assert refusal("/a/", "no-such-key") is Refusal.UNKNOWN_KEY
    assert refusal("/b/", token) is Refusal.API_FORBIDDEN
    assert ask("/a", token).passes


def test_a_new_api_is_known_to_a_node_that_has_not_heard_of_it(world):
    world.api("a")
    token = world.key("a")
    assert refusal("/b/", token) is Refusal.UNKNOWN_API
    world.api("b")
    assert refusal("/b/", token) is Refusal.API_FORBIDDEN


def test_another_key_header_holds_from_the_next_request_on(world):
    api = world.api("a")
    token = world.key()
    assert ask("/a/", token).passes
    api.auth_header_name = "X-Custom"
    catalogue.save_api(api)
    assert refusal("/a/", token) is Refusal.MISSING_KEY
    assert ask("/a/", token, b"x-custom").passes


def test_a_deleted_api_is_unknown_and_counts_nothing(world):
    api = world.api("a")
    token = world.key(quota_max=10, quota_renewal_rate=60)
    assert ask("/a/", token).passes
    catalogue.delete_api(api)
    verdict = ask("/a/", token)
    assert (verdict.decision.refusal, verdict.route) == (Refusal.UNKNOWN_API, None)


def test_an_api_that_moved_away_is_not_counted_under_its_old_path(world):
    """The old path now belongs to another API: the request is judged for that one."""
    a = world.api("a")
    token = world.key("a", quota_max=10, quota_renewal_rate=60)
    assert ask("/a/", token).passes
    a.listen_path = "/elsewhere/"
    catalogue.save_api(a)
    world.api("b", listen_path="/a/")
    verdict = ask("/a/", token)
    assert verdict.route.api_id == "b"
    assert verdict.decision.refusal is Refusal.API_FORBIDDEN
    assert ask("/elsewhere/", token).decision.states[0].used == 2


def test_a_revoked_key_is_refused_by_the_next_request(world):
    world.api("a")
    token = world.key()
    assert ask("/a/", token).passes
    key = keys.find_by_token(token)
    assert key is not None
    keys.revoke_key(key)
    assert refusal("/a/", token) is Refusal.UNKNOWN_KEY


def test_rejections_are_answered_from_memory_while_routes_are_current(world, django_assert_num_queries):
    world.api("a")
    refusal("/nowhere/", None), refusal("/a/", None)
    with django_assert_num_queries(0):
        assert refusal("/nowhere/", None) is Refusal.UNKNOWN_API
        assert refusal("/a/", None) is Refusal.MISSING_KEY


def test_a_raw_path_outside_of_the_route_leads_nowhere(world):
    """The upstream would see another path than the one that is judged."""
    world.api("a"), world.api("b")
    token = world.key()
    for raw in ("/a/../b/", "//b/", "/a/..%2Fb/"):
        assert judge(Request("/b/", {b"x-api-key": token.encode()}, raw)).decision.refusal is Refusal.UNKNOWN_API
    assert judge(Request("/b/x", {b"x-api-key": token.encode()}, "/b/y/../x")).passes


# --- throttling (4.3) -------------------------------------------------------------------------------------------------

THROTTLED = {"rate": 1, "per": 0.4, "throttle_interval": 0.2}


def test_a_rate_denied_request_is_held_and_passes_at_the_cost_of_one(world):
    world.api("a")
    token = world.key(**THROTTLED, throttle_retry_limit=10, quota_max=10, quota_renewal_rate=60)
    assert ask("/a/", token).passes
    began = time.monotonic()
    verdict = ask("/a/", token)
    assert verdict.passes
    assert time.monotonic() - began >= 0.2
    quota = next(state for state in verdict.decision.states if state.name is LimitName.KEY_QUOTA)
    assert quota.used == 2


def test_holding_ends_after_the_retries_and_after_the_cap(world, settings):
    world.api("a")
    few = world.key(rate=1, per=3600, throttle_interval=0.05, throttle_retry_limit=2)
    capped = world.key(rate=1, per=3600, throttle_interval=60, throttle_retry_limit=9)
    settings.GATEWAY_MAX_HOLD_SECONDS = 0.1
    for token in (few, capped):
        assert ask("/a/", token).passes
        began = time.monotonic()
        assert ask("/a/", token).decision.violated == (LimitName.KEY_RATE,)
        assert 0.09 <= time.monotonic() - began < 30


def test_a_quota_denial_is_not_held(world, settings):
    world.api("a")
    token = world.key(quota_max=1, rate=1, per=3600, throttle_interval=60, throttle_retry_limit=3)
    settings.GATEWAY_MAX_HOLD_SECONDS = 60
    assert ask("/a/", token).passes
    began = time.monotonic()
    assert LimitName.KEY_QUOTA in ask("/a/", token).decision.violated
    assert time.monotonic() - began < 30


def test_holding_does_not_hold_others(world):
    world.api("a")
    held = world.key(rate=1, per=3600, throttle_interval=0.3, throttle_retry_limit=1)
    free = world.key()

    async def both():
        request = Request("/a/", {b"x-api-key": held.encode()})
        await judge_async(request)
        holding = asyncio.ensure_future(judge_async(request))
        await asyncio.sleep(0.1)
        other = await judge_async(Request("/a/", {b"x-api-key": free.encode()}))
        return other.passes, holding.done(), (await holding).passes

    assert asyncio.run(both()) == (True, False, False)


# --- failures (9.1, 9.3) ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("on_failure", "passes"), [("open", True), ("closed", False)])
def test_without_the_store_the_api_decides_who_passes(world, monkeypatch, on_failure, passes):
    world.api("a", on_store_failure=on_failure)
    token = world.key(quota_max=1)
    monkeypatch.setattr(judging, "sync_store", BrokenStore)
    for _ in range(3):
        verdict = ask("/a/", token)
        assert (verdict.decision.outcome, verdict.passes) == (Outcome.UNAVAILABLE, passes)


def test_without_the_store_strangers_stay_out(world, monkeypatch):
    world.api("a")
    inactive = world.key(is_inactive=True)
    monkeypatch.setattr(judging, "sync_store", BrokenStore)
    assert refusal("/a/", "no-such-key") is Refusal.UNKNOWN_KEY
    assert refusal("/a/", inactive) is Refusal.INACTIVE_KEY
    assert refusal("/a/", None) is Refusal.MISSING_KEY


def test_uncounted_passes_are_counted_and_logged_once_per_window(world, monkeypatch, caplog):
    world.api("a")
    token = world.key()
    monkeypatch.setattr(judging, "sync_store", BrokenStore)
    monkeypatch.setattr(judging, "_warn_again_at", {})
    before = metrics.UNCOUNTED._value.get()
    for _ in range(3):
        ask("/a/", token)
    assert metrics.UNCOUNTED._value.get() == before + 3
    assert [record.levelname for record in caplog.records if record.name == judging.__name__] == ["WARNING"]


def test_without_the_database_warm_keys_are_served_and_others_turned_away(world, monkeypatch):
    world.api("a")
    warm, cold = world.key(), world.key()
    assert ask("/a/", warm).passes

    def broken(*_):
        raise OperationalError("down")

    monkeypatch.setattr(grants, "compile_grant", broken)
    monkeypatch.setattr(routes, "refresh", broken)
    assert ask("/a/", warm).passes
    verdict = ask("/a/", cold)
    assert (verdict.passes, verdict.decision.outcome) == (False, Outcome.UNAVAILABLE)


# --- crossings --------------------------------------------------------------------------------------------------------


def test_a_crossing_pokes_the_relay_of_its_bucket(world, monkeypatch):
    world.api("a")
    keys.save_org_session(OrgSession(organisation=world.organisation, quota_max=4, trigger_limits=[50]))
    token = world.key()
    monkeypatch.setattr("sessions_app.grants.watcher", lambda: lambda *_: Watch(enabled=True))
    poked: list[int] = []
    monkeypatch.setattr(relaying, "poke", poked.append)
    bucket = ask("/a/", token).decision.grant.bucket
    assert poked == []
    ask("/a/", token)
    assert poked == [bucket]


def test_pokes_of_one_bucket_are_one_task_and_a_dead_broker_harms_nobody(monkeypatch):
    class Executor:
        submitted: list[tuple[Any, int]] = []

        def submit(self, *work):
            self.submitted.append(work)

    sent = []

    class App:
        def send_task(self, *args, **options):
            sent.append((args, options))
            raise ConnectionRefusedError("no broker")

    monkeypatch.setattr(relaying, "_executor", Executor())
    monkeypatch.setattr(relaying, "current_app", App())
    failures = metrics.RELAY_POKE_FAILURES._value.get()
    for bucket in (7, 7, 8):
        relaying.poke(bucket)
    assert [bucket for _, bucket in Executor.submitted] == [7, 8]
    for function, bucket in Executor.submitted:
        function(bucket)
    assert sent[0] == (("monitors_app.tasks.relay",), {"args": [7], "queue": "relay"})
    assert metrics.RELAY_POKE_FAILURES._value.get() == failures + 2
    relaying.poke(7)
    assert len(Executor.submitted) == 3
