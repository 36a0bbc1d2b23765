"""After a change of the whole gateway the requests in the air share one compile of each grant."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from policies_app import catalogue
from sessions_app import grants
from sessions_app.edge import compiling
from sessions_app.edge.judging import judge, judge_async
from sessions_app.edge.loading import Request
from sessions_app.engine.types import Grant, Outcome, Refusal

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_SECONDS = 10


class Compiles:
    """Stands in front of `grants.compile_grant`: counts, and lets compiles go on when the test says so."""

    def __init__(self, monkeypatch) -> None:
        self._monkeypatch = monkeypatch
        self.began: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.failures: list[Exception] = []
        self._real = grants.compile_grant
        monkeypatch.setattr(grants, "compile_grant", self._compile)

    def hold_until(self, count: int) -> None:
        """No compile goes on before so many requests wait for one."""
        self.gate.clear()
        waiting, real = [], compiling._flights.tickets

        def tickets(*args: Any, **options: Any) -> Iterator[Any]:
            for ticket in real(*args, **options):
                waiting.append(ticket)
                if len(waiting) == count:
                    self.gate.set()
                yield ticket

        self._monkeypatch.setattr(compiling._flights, "tickets", tickets)

    def _compile(self, token: str, api_id: str) -> Grant | Refusal:
        self.began.append(token)
        assert self.gate.wait(PATIENCE_SECONDS)
        if self.failures:
            raise self.failures.pop()
        return self._real(token, api_id)


@pytest.fixture
def compiles(monkeypatch, settings) -> Compiles:
    settings.GATEWAY_STORE_TIMEOUT_MS = 1000 * PATIENCE_SECONDS
    return Compiles(monkeypatch)


def requests_of(token: str, count: int) -> list[Request]:
    return [Request("/orders/", {b"authorization": token.encode()}) for _ in range(count)]


def judged_together(requests: list[Request]) -> list[Outcome]:
    async def all_of_them() -> list[Outcome]:
        return [verdict.decision.outcome for verdict in await asyncio.gather(*map(judge_async, requests))]

    return asyncio.run(all_of_them())


def judged_in_threads(requests: list[Request]) -> list[Outcome]:
    def one(request: Request) -> Outcome:
        try:
            return judge(request).decision.outcome
        finally:
            connection.close()

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(one, requests))


@pytest.mark.parametrize("judged", [judged_together, judged_in_threads])
def test_a_gateway_wide_change_compiles_each_grant_once(world, compiles, judged):
    api = world.api("orders")
    tokens = [world.key("orders") for _ in range(3)]
    requests = [request for token in tokens for request in requests_of(token, 8)]
    judged_together(requests)
    catalogue.save_api(api)
    compiles.began.clear()
    compiles.hold_until(len(requests))
    assert judged(requests) == [Outcome.PASSED] * 24
    assert sorted(compiles.began) == sorted(tokens)


def test_threads_and_event_loops_share_a_compile(world, compiles):
    api = world.api("orders")
    token = world.key("orders")
    judged_together(requests_of(token, 1))
    catalogue.save_api(api)
    compiles.began.clear()
    compiles.hold_until(6)
    with ThreadPoolExecutor(2) as pool:
        threaded = pool.submit(judged_in_threads, requests_of(token, 3))
        looped = pool.submit(judged_together, requests_of(token, 3))
        assert threaded.result() + looped.result() == [Outcome.PASSED] * 6
    assert compiles.began == [token]


def test_whoever_needs_a_grant_of_their_own_takes_none_that_began_before(world, compiles):
    world.api("orders")
    token = world.key("orders")
    compiles.gate.clear()

    async def three() -> None:
        asking = [
            asyncio.ensure_future(compiling.compiled_async(token, "orders", late=late)) for late in (True, True, False)
        ]
        await asyncio.sleep(0)
        compiles.gate.set()
        await asyncio.gather(*asking)

    asyncio.run(three())
    assert len(compiles.began) == 2


def test_a_failing_compile_does_not_poison_those_who_waited(world, compiles):
    world.api("orders")
    token = world.key("orders")
    compiles.failures.append(ValueError("once"))
    compiles.gate.clear()

    async def six() -> list[Grant | Refusal | BaseException]:
        asking = [asyncio.ensure_future(compiling.compiled_async(token, "orders")) for _ in range(6)]
        await asyncio.sleep(0)
        compiles.gate.set()
        return await asyncio.gather(*asking, return_exceptions=True)

    first, *others = asyncio.run(six())
    assert isinstance(first, ValueError)
    assert all(isinstance(found, Grant) for found in others)
    assert len(compiles.began) == 2


def test_a_refusal_made_before_somebody_asked_is_not_theirs(world, compiles):
    """Rule 1.5: the key was made while the first one was still told that there is none."""
    world.api("orders")
    refusing = threading.Event()
    answer: list[Grant | Refusal] = [Refusal.UNKNOWN_KEY]
    real: Callable[[str, str], Grant | Refusal] = compiles._real

    def compile_slowly(token: str, api_id: str) -> Grant | Refusal:
        if answer:
            refusing.set()
            assert compiles.gate.wait(PATIENCE_SECONDS)
            return answer.pop()
        return real(token, api_id)

    compiles._real = compile_slowly
    token = world.key("orders")

    async def two() -> list[Grant | Refusal]:
        early = asyncio.ensure_future(compiling.compiled_async(token, "orders"))
        await asyncio.to_thread(refusing.wait, PATIENCE_SECONDS)
        late = asyncio.ensure_future(compiling.compiled_async(token, "orders"))
        await asyncio.sleep(0)
        compiles.gate.set()
        return [await early, await late]

    compiles.gate.set()
    early, late = asyncio.run(two())
    assert early is Refusal.UNKNOWN_KEY
    assert isinstance(late, Grant)


def test_who_goes_away_takes_nobody_along(world, compiles):
    world.api("orders")
    token = world.key("orders")
    compiles.gate.clear()

    async def leader_leaves() -> Grant | Refusal:
        leader, other = (asyncio.ensure_future(compiling.compiled_async(token, "orders")) for _ in range(2))
        await asyncio.sleep(0)
        leader.cancel()
        await asyncio.gather(leader, return_exceptions=True)
        compiles.gate.set()
        return await asyncio.wait_for(other, PATIENCE_SECONDS)

    assert isinstance(asyncio.run(leader_leaves()), Grant)
    assert compiles.began == [token]
