"""Counts what a warm decision asks of others: statements of the database, round trips to the store."""

from collections.abc import Callable
from typing import Any

import redis
from django.conf import settings
from django.db.backends.signals import connection_created
from django.test import Client

from bench.findings import Work
from bench.names import DJANGO_PATH, FORWARD_AUTH_PATH
from bench.scenarios import Seeded
from gateway_project.asgi import application

WARM_REQUESTS = 200


class SqlCount:
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
    """Statements, and reads of the store's server, from now to `end`. A round trip is one read."""

    def __init__(self, sql: SqlCount) -> None:
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


def work_of_middleware(sql: SqlCount, seeded: Seeded) -> Work:
    ask = _ask_middleware(seeded)
    ask()
    meter = _Meter(sql)
    for _ in range(WARM_REQUESTS):
        ask()
    return meter.end(WARM_REQUESTS)


async def work_of_decide(sql: SqlCount, seeded: Seeded) -> Work:
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
