"""How fast thresholds are told: crossings to the ledger, crossing to first attempt, deliveries to a fast target.

A process of its own with the gateway's settings, and one worker process as `manage.py up` starts it:
`python -m bench.deliveries <url of a fast receiver>`. The database is one to play with: its monitors are deleted.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import django
from django.conf import settings

django.setup()

from celery import current_app  # noqa: E402 - what imports models needs the line above
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.utils import timezone  # noqa: E402

from bench.crowd import Crowd, host  # noqa: E402
from bench.findings import Told, Wait  # noqa: E402
from gateway_project.celery_settings import QUEUES  # noqa: E402
from gateway_project.child import Child  # noqa: E402
from monitors_app import delivery, ledger, outbox, relay  # noqa: E402
from monitors_app.models import Delivery, Monitor, TriggerEvent  # noqa: E402
from monitors_app.monitors import save_monitor  # noqa: E402
from organisations_app import sealing  # noqa: E402
from sessions_app.engine import names  # noqa: E402
from sessions_app.engine.types import Crossing  # noqa: E402

ORGANISATION = "bench"
RELAYED, DELIVERED, TIMED, COUNTED = 5000, 10_000, 60, 200
TARGETS, TOLD, PAUSE_SECONDS = 100, 5, 4.0
HANGING = (0, 1, 30)  # ascending: what still waits for a target that hung meets one that hangs again
TIMEOUT_SECONDS = 300


def main(receiver: str) -> Told:
    call_command("migrate", interactive=False, verbosity=0)
    _forget()
    try:
        monitor = _monitor(receiver)
        relayed = _relayed_per_second()
        Delivery.objects.filter(monitor=monitor).delete()
        statements = _statements_per_delivery(monitor)
        with _worker() as worker:
            first_attempt = _first_attempt_p95_ms()
            delivered, cpu_ms = _delivered_per_second(monitor, worker)
            waits = _waits_beside_hanging_targets()
        return Told(connection.vendor, relayed, first_attempt, delivered, cpu_ms, statements, waits)
    finally:
        _forget()


def _forget() -> None:
    TriggerEvent.objects.filter(organisation_id=ORGANISATION).delete()
    Delivery.objects.filter(subject="test").delete()
    Monitor.objects.all().delete()


def _monitor(target: str) -> Monitor:
    monitor = Monitor(name="Bench deliveries", target_path=target)
    save_monitor(monitor)
    return monitor


def _relayed_per_second() -> float:
    _add_entries(range(RELAYED))
    begin = time.perf_counter()
    taken = relay.relay(_bucket())
    assert taken == RELAYED, taken
    return RELAYED / (time.perf_counter() - begin)


def _first_attempt_p95_ms() -> float:
    """One crossing at a time, announced as the edge does it."""
    for number in range(TIMED):
        _add_entries([RELAYED + number])
        current_app.send_task("monitors_app.tasks.relay", args=[_bucket()], queue="relay")
        time.sleep(0.1)
    events = TriggerEvent.objects.filter(organisation_id=ORGANISATION, deliveries__first_attempt_at__isnull=False)
    _wait_until(lambda: events.count() >= TIMED)
    pairs = events.values_list("occurred_at", "deliveries__first_attempt_at")
    waits = [(first_attempt_at - occurred_at).total_seconds() * 1000 for occurred_at, first_attempt_at in pairs]
    return statistics.quantiles(waits, n=20)[-1]


def _statements_per_delivery(monitor: Monitor) -> float:
    """In this process, of a queue to one target; BEGIN and COMMIT count."""
    ledger.record([_crossing(-number) for number in range(1, COUNTED + 1)])
    waiting = Delivery.objects.filter(monitor=monitor, status="pending").order_by("pk").values_list("pk", flat=True)
    statements = 0
    while (pk := waiting.first()) is not None:
        with CaptureQueriesContext(connection) as captured:
            delivery.deliver(pk)
        statements += len(captured)
    return statements / COUNTED


def _delivered_per_second(monitor: Monitor, worker: Child) -> tuple[float, float | None]:
    """Of a queue to one target, each about another key, as after an outage of the receiver; and the worker's
    milliseconds of processor time for each.
    """
    first = RELAYED + TIMED
    for start in range(first, first + DELIVERED, 1000):
        ledger.record([_crossing(number) for number in range(start, min(start + 1000, first + DELIVERED))])
    waiting = Delivery.objects.filter(monitor=monitor, status="pending")
    count, begin, cpu_seconds = waiting.count(), time.perf_counter(), _cpu_seconds(worker)
    for pk in waiting.order_by("pk").values_list("pk", flat=True)[:3]:
        current_app.send_task("monitors_app.tasks.deliver", args=[pk], queue="deliveries")
    _wait_until(lambda: not waiting.exists())
    seconds, used = time.perf_counter() - begin, _cpu_seconds(worker)
    return count / seconds, None if used is None or cpu_seconds is None else (used - cpu_seconds) / count * 1000


def _cpu_seconds(child: Child) -> float | None:
    """None where there is no /proc."""
    try:
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _waits_beside_hanging_targets() -> list[Wait]:
    """From a crossing to its arrival at each target that answers, beside some that never do."""
    if not sys.platform.startswith("linux"):
        return []
    _forget()
    crowd = Crowd()
    for number in range(TARGETS):
        _monitor(crowd.url(number))
    return [_wait_beside(hanging, crowd) for hanging in HANGING]


def _wait_beside(hanging: int, crowd: Crowd) -> Wait:
    crowd.hanging, healthy = {host(number) for number in range(hanging)}, (TARGETS - hanging) * TOLD
    crowd.arrived_at.clear()
    told_at = {}
    for number in range(TOLD):
        key = 100_000 * (hanging + 1) + number
        told_at[f"key_{key}"] = time.time()
        _add_entries([key])
        current_app.send_task("monitors_app.tasks.relay", args=[_bucket()], queue="relay")
        time.sleep(PAUSE_SECONDS)

    def arrivals() -> list[str]:
        return [message_id for address, message_id in crowd.arrived_at if address not in crowd.hanging]

    _wait_until(lambda: len(arrivals()) >= healthy)
    keys = dict(Delivery.objects.filter(message_id__in=arrivals()).values_list("message_id", "subject"))
    waits = [
        (at - told_at[keys[message_id]]) * 1000
        for (address, message_id), at in crowd.arrived_at.items()
        if address not in crowd.hanging and message_id in keys
    ]
    return Wait(hanging, statistics.median(waits), statistics.quantiles(waits, n=20)[-1])


def _wait_until(done: Callable[[], bool]) -> None:
    """Meanwhile the sweep is asked for every two seconds, as beat does."""
    deadline, swept_at = time.monotonic() + TIMEOUT_SECONDS, time.monotonic()
    while not done():
        now = time.monotonic()
        assert now < deadline, "the worker does not keep up"
        if now - swept_at >= 2:
            current_app.send_task("monitors_app.tasks.sweep_deliveries", queue="housekeeping")
            swept_at = now
        time.sleep(0.2)


@contextmanager
def _worker() -> Iterator[Child]:
    options = f"--pool threads --concurrency 8 --queues {','.join(QUEUES)} --without-gossip --without-mingle"
    command = [sys.executable, "-m", "celery", "--quiet", "--app", "gateway_project", "worker", "--loglevel", "INFO"]
    with tempfile.TemporaryDirectory() as folder:
        child = Child("worker", [*command, *options.split()], Path(folder) / "worker.log", dict(os.environ))
        try:
            _wait_until(lambda: any(" ready." in line for line in child.tail))
            yield child
        finally:
            child.ask_to_stop()
            child.wait(15)
            child.finish()


def _bucket() -> int:
    return names.bucket_of(ORGANISATION)


def _crossing(number: int) -> Crossing:
    context = {"org": ORGANISATION, "key": f"key_{number}", "api": "bench", "hint": "tg_…", "sealed": SEALED}
    now_ms = round(timezone.now().timestamp() * 1000)
    return Crossing(
        kind="key",
        counter=names.key_counter(ORGANISATION, f"key_{number}"),
        period_start_ms=now_ms,
        period_end_ms=now_ms + 3_600_000,
        threshold="80",
        own=True,
        source="bench",
        used=8,
        quota_max=10,
        occurred_at_ms=now_ms,
        context=json.dumps(context).encode(),
    )


def _add_entries(numbers: range | list[int]) -> None:
    """As the counter function writes them."""
    pipeline = outbox._client().pipeline(transaction=False)
    for number in numbers:
        each = _crossing(number)
        fields = {
            "kind": each.kind, "counter": each.counter, "start": each.period_start_ms, "end": each.period_end_ms,
            "threshold": each.threshold, "own": 1, "source": each.source, "used": each.used, "max": each.quota_max,
            "at": each.occurred_at_ms, "ctx": each.context,
        }  # fmt: skip
        pipeline.xadd(names.outbox(_bucket()), fields)
    pipeline.execute()


SEALED = sealing.seal("tg_a-raw-key-of-usual-length_123456")

if __name__ == "__main__":
    assert settings.GATEWAY_WEBHOOK_ALLOWED_NETS, "the receiver is on this machine: allow its network"
    print(json.dumps(asdict(main(sys.argv[1]))))
