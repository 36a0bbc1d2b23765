"""Looks inside one process and the store: price of a store call, work of a warm decision, bytes of a counter.

A process of its own, with the gateway's settings: `python -m bench.probe <seeded, as JSON> <seconds>`.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import django
import redis
from django.conf import settings
from django.db.backends.signals import connection_created

django.setup()

from django.test import Client  # noqa: E402 - what imports models needs the line above

from bench.findings import Findings, Work  # noqa: E402
from bench.names import DJANGO_PATH, FORWARD_AUTH_PATH, MEASURED_API  # noqa: E402
from bench.scenarios import Seeded  # noqa: E402
from gateway_project.asgi import application  # noqa: E402
from sessions_app import grants  # noqa: E402
from sessions_app.edge.loading import Loader, Request  # noqa: E402
from sessions_app.engine import check, counters  # noqa: E402
from sessions_app.engine.types import Grant, Outcome, QuotaLimit  # noqa: E402
from sessions_app.engine.wire import Call, pack  # noqa: E402
from sessions_app.routes import refresh  # noqa: E402
from sessions_app.store import async_store, sync_store  # noqa: E402
from sessions_app.usage import snapshots  # noqa: E402

CALLS = 3000
WARM_REQUESTS = 200
IN_FLIGHT = 64
INCREMENT = Call(pack([b"INCR", b"bench"]), "bench")


def main(seeded: Seeded, seconds: float) -> Findings:
    sql = _SqlCount()
    one, four = (counters.consume(_warm_grant(key)) for key in (seeded.one_limit_key, seeded.four_limits_key))
    calls = {"increment": INCREMENT, "one": one, "four": four}
    return Findings(
        call_us={name: _median_us(call) for name, call in calls.items()},
        calls_per_second={name: asyncio.run(_throughput(call, seconds)) for name, call in calls.items()},
        middleware=_work(sql, _ask_middleware(seeded)),
        decide=asyncio.run(_work_async(sql, seeded)),
        counter_bytes=_counter_bytes(_warm_grant(seeded.typical_key)),
    )


# --- the price of a store call ----------------------------------------------------------------------------------------


def _warm_grant(key: str) -> Grant:
    """The grant of a key whose first request has passed: the store knows its versions and counters."""
    request, table = Request(DJANGO_PATH, {}), refresh()
    route = request.route_in(table)
    assert route is not None, f"{DJANGO_PATH} leads nowhere"
    decision = check.check(sync_store(), Loader(request, table, route, key))
    grant = grants.cached(key, MEASURED_API)
    assert decision.outcome is Outcome.PASSED, decision
    assert grant is not None, "the grant is not in the cache"
    return grant


def _median_us(call: Call) -> float:
    store = sync_store()
    times = []
    for _ in range(CALLS):
        begin = time.perf_counter()
        store.call(call)
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e6


async def _throughput(call: Call, seconds: float) -> float:
    """Calls per second with many in flight on the data plane's connection."""
    store, begin = async_store(), time.perf_counter()

    async def caller() -> int:
        done = 0
        while time.perf_counter() - begin < seconds:
            await store.call(call)
            done += 1
        return done

    total = sum(await asyncio.gather(*(caller() for _ in range(IN_FLIGHT))))
    return total / (time.perf_counter() - begin)


# --- the work of a warm decision --------------------------------------------------------------------------------------


class _SqlCount:
    """Counts every statement on every connection of this process, in whichever thread, from its creation on."""

    def __init__(self) -> None:
        self.statements = 0
        connection_created.connect(self._follow)

    def _follow(self, connection: Any, **kwargs: Any) -> None:
        connection.execute_wrappers.append(self._count)

    def _count(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        self.statements += 1
        return execute(*arguments)


class _Meter:
    """Statements and reads of the store between `begin` and `end`. A read is what one round trip costs the server."""

    def __init__(self, sql: _SqlCount) -> None:
        assert sql.statements, "nothing is counted: even a cold decision shows no SQL"
        self._sql = sql
        self._store = redis.Redis.from_url(settings.GATEWAY_STORE_URL)
        self._reads, self._statements = self._reads_so_far(), sql.statements

    def end(self, requests: int) -> Work:
        reads = self._reads_so_far() - self._reads - 1  # the question itself is one
        return Work(reads / requests, (self._sql.statements - self._statements) / requests)

    def _reads_so_far(self) -> int:
        return int(self._store.info("stats")["total_reads_processed"])


def _ask_middleware(seeded: Seeded) -> Callable[[], None]:
    client, headers = Client(), {"Authorization": seeded.four_limits_key}

    def ask() -> None:
        answer = client.get(DJANGO_PATH, headers=headers)
        assert answer.status_code == 200, answer
        assert "RateLimit" in answer.headers, "the middleware did not judge it"

    return ask


def _work(sql: _SqlCount, ask: Callable[[], None]) -> Work:
    ask()
    meter = _Meter(sql)
    for _ in range(WARM_REQUESTS):
        ask()
    return meter.end(WARM_REQUESTS)


async def _work_async(sql: _SqlCount, seeded: Seeded) -> Work:
    await _ask_decide(seeded)
    meter = _Meter(sql)
    for _ in range(WARM_REQUESTS):
        await _ask_decide(seeded)
    return meter.end(WARM_REQUESTS)


async def _ask_decide(seeded: Seeded) -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await application(_scope(seeded), receive, send)
    assert sent[0]["status"] == 200, sent


def _scope(seeded: Seeded) -> dict[str, Any]:
    headers = seeded.decide_headers(seeded.four_limits_key)
    return {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": FORWARD_AUTH_PATH,
        "raw_path": FORWARD_AUTH_PATH.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 8000),
    }


# --- bytes ------------------------------------------------------------------------------------------------------------


def _counter_bytes(grant: Grant) -> dict[str, int]:
    """Of counters in the state they are fullest in: nearly used up, all thresholds fired. By kind of subject."""
    for limit in grant.limits:
        if isinstance(limit, QuotaLimit):
            check.assign(sync_store(), snapshots, limit, limit.max - 10)
    sync_store().call(counters.consume(grant))
    store = redis.Redis.from_url(settings.GATEWAY_STORE_URL)
    names = {limit.name.partition("-")[0]: limit.counter for limit in grant.limits}
    return {subject: int(store.memory_usage(name, samples=0) or 0) for subject, name in names.items()}


if __name__ == "__main__":
    print(json.dumps(asdict(main(Seeded(**json.loads(sys.argv[1])), float(sys.argv[2])))))
