"""Looks inside one process and the store: price of a store call, work of a warm decision, bytes of counters, the relay.

A process of its own, with the gateway's settings: `python -m bench.probe <seeded, as JSON> <seconds>`.
"""

import asyncio
import json
import statistics
import sys
import time
from dataclasses import asdict

import django
import redis
from django.conf import settings

django.setup()

from bench import economy  # noqa: E402 - what imports models needs the line above
from bench.findings import Findings  # noqa: E402
from bench.names import DJANGO_PATH  # noqa: E402
from bench.scenarios import Seeded  # noqa: E402
from monitors_app.models import Delivery  # noqa: E402
from monitors_app.relay import relay  # noqa: E402
from sessions_app.edge.judging import judge  # noqa: E402
from sessions_app.edge.loading import Request  # noqa: E402
from sessions_app.engine import check, counters, names  # noqa: E402
from sessions_app.engine.types import Grant, QuotaLimit  # noqa: E402
from sessions_app.engine.wire import Call, pack  # noqa: E402
from sessions_app.store import async_store, sync_store  # noqa: E402
from sessions_app.usage import snapshots  # noqa: E402

CALLS = 3000
IN_FLIGHT = 64
CROSSINGS = 250
INCREMENT = Call(pack([b"INCR", b"bench"]), "bench")


def main(seeded: Seeded, seconds: float) -> Findings:
    sql = economy.SqlCount()
    one, four = (counters.consume(_warm_grant(key)) for key in (seeded.one_limit_key, seeded.four_limits_key))
    calls = {"increment": INCREMENT, "one": one, "four": four}
    typical = _warm_grant(seeded.typical_key)
    return Findings(
        call_us={name: _median_us(call) for name, call in calls.items()},
        calls_per_second={name: asyncio.run(_throughput(call, seconds)) for name, call in calls.items()},
        middleware=economy.work_of_middleware(sql, seeded),
        decide=asyncio.run(economy.work_of_decide(sql, seeded)),
        counter_bytes=_counter_bytes(typical),
        relayed_per_second=_relayed_per_second(typical),
    )


# --- the price of a store call ----------------------------------------------------------------------------------------


def _warm_grant(key: str) -> Grant:
    """The grant of a key whose first request has passed: the store knows its versions and counters."""
    decision = judge(Request(DJANGO_PATH, {b"authorization": key.encode()})).decision
    assert decision.grant is not None, decision
    return decision.grant


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


# --- bytes, and the relay ---------------------------------------------------------------------------------------------


def _counter_bytes(grant: Grant) -> dict[str, int]:
    """Of counters at their fullest, nearly used up and with all thresholds fired, by kind of subject."""
    _cross(grant)
    store = redis.Redis.from_url(settings.GATEWAY_STORE_URL)
    counted = {limit.name.partition("-")[0]: limit.counter for limit in grant.limits}
    return {subject: int(store.memory_usage(name, samples=0) or 0) for subject, name in counted.items()}


def _relayed_per_second(grant: Grant) -> float:
    """Threshold events taken from the outbox to the ledger, each with its delivery, by one worker."""
    for _ in range(CROSSINGS):
        _cross(grant)
    waiting = redis.Redis.from_url(settings.GATEWAY_STORE_URL).xlen(names.outbox(grant.bucket))
    begin, known = time.perf_counter(), Delivery.objects.count()
    relay(grant.bucket)
    seconds = time.perf_counter() - begin
    assert Delivery.objects.count() - known == waiting, "not every event became a delivery"
    return waiting / seconds


def _cross(grant: Grant) -> None:
    """Crosses all thresholds of all quotas with one request."""
    store = sync_store()
    quotas = [limit for limit in grant.limits if isinstance(limit, QuotaLimit)]
    for limit in quotas:
        check.reset(store, snapshots, limit)
        check.assign(store, snapshots, limit, limit.max - 10)
    reading = counters.parse_reading(store.call(counters.consume(grant)), grant)
    assert reading.crossed == sum(len(limit.thresholds) for limit in quotas) > 0, reading


if __name__ == "__main__":
    print(json.dumps(asdict(main(Seeded(**json.loads(sys.argv[1])), float(sys.argv[2])))))
