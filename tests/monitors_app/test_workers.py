"""Real worker processes: killed in the middle of their work, and held up by a receiver that hangs."""

import contextlib
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.db.models import Count
from django.utils import timezone

from monitors_app import claims, ledger, outbox
from monitors_app.models import Attempt, Delivery, Monitor, TriggerEvent
from monitors_app.monitors import save_monitor
from sessions_app.engine import names
from tests.monitors_app.worker_processes import WorkerProcess, look_again, publish
from tests.needs import need
from tests.whole_gateway import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.services]
BUCKET = 17


@pytest.fixture
def start(store, tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts a worker and waits until it is ready."""
    started: list[WorkerProcess] = []

    def start_worker(threads: int = 8) -> WorkerProcess:
        worker = WorkerProcess(tmp_path / f"worker-{len(started)}.log", threads)
        started.append(worker)
        wait_for(lambda: worker.is_ready, 60)
        return worker

    yield start_worker
    for worker in started:
        worker.stop()


def status_of(delivery: Delivery) -> str:
    look_again()
    return Delivery.objects.get(pk=delivery.pk).status


def let_the_lease_run_out() -> None:
    past = timezone.now() - timedelta(seconds=10)
    assert Delivery.objects.filter(status="sending").update(claimed_until=past) == 1


def entries(store, crossing, count: int, **changes: Any) -> None:
    """Appends crossings of as many keys to a stream, as the counter function does."""
    pipeline = store.pipeline()
    for number in range(count):
        each = crossing({"key": f"key_{number}"}, counter=f"counter-{number}", **changes)
        fields = {
            "kind": each.kind, "counter": each.counter, "start": each.period_start_ms, "end": each.period_end_ms,
            "threshold": each.threshold, "own": int(each.own), "source": each.source, "used": each.used,
            "max": each.quota_max, "at": each.occurred_at_ms, "ctx": each.context,
        }  # fmt: skip
        pipeline.xadd(names.outbox(BUCKET), fields)
    pipeline.execute()


# --- kill -9 ----------------------------------------------------------------------------------------------------------


def test_killed_between_send_and_record_it_is_delivered_again_with_the_same_id(start, monitor, receiver, crossing):
    worker = start()

    def kill_and_answer(arrival):
        worker.kill()
        return 200

    receiver.answers = [kill_and_answer]
    (webhook,) = ledger.record([crossing()])
    publish("deliver", webhook.pk, queue="deliveries")
    wait_for(lambda: worker.process.poll() is not None, 20)
    assert (status_of(webhook), Attempt.objects.count()) == ("sending", 0), "sent, but nobody has written it down"
    let_the_lease_run_out()
    start()
    publish("sweep_deliveries", queue="housekeeping")
    wait_for(lambda: status_of(webhook) == "delivered", 20)
    assert [arrival.headers["webhook-id"] for arrival in receiver.arrivals] == [webhook.message_id] * 2
    assert receiver.arrivals[0].body == receiver.arrivals[1].body
    assert (TriggerEvent.objects.count(), Delivery.objects.count(), Attempt.objects.count()) == (1, 1, 1)
    assert TriggerEvent.objects.get().key_sealed == ""


def test_killed_between_claim_and_send_it_is_delivered_once(start, receiver, crossing):
    with full_house() as port:
        save_monitor(Monitor(name="Unreachable", target_path=f"http://127.0.0.1:{port}/hook"))
        (webhook,) = ledger.record([crossing()])
        worker = start()
        publish("deliver", webhook.pk, queue="deliveries")
        wait_for(lambda: status_of(webhook) == "sending", 20)
        worker.kill()
    let_the_lease_run_out()
    Delivery.objects.update(recipient=receiver.url)
    start()
    publish("sweep_deliveries", queue="housekeeping")
    wait_for(lambda: status_of(webhook) == "delivered", 20)
    assert [arrival.headers["webhook-id"] for arrival in receiver.arrivals] == [webhook.message_id]
    assert (TriggerEvent.objects.count(), Attempt.objects.count()) == (1, 1)


@contextlib.contextmanager
def full_house() -> Iterator[int]:
    """A port where connecting neither works nor fails: all places of its queue are taken."""
    need(sys.platform == "linux", "Linux, whose full queues let connections wait")
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, contextlib.ExitStack() as guests:
        address = server.getsockname()
        for _ in range(4):
            guest = guests.enter_context(socket.socket())
            guest.setblocking(False)
            guest.connect_ex(address)
        yield address[1]


def test_a_relay_killed_at_any_moment_loses_and_doubles_nothing(start, store, monitor, crossing):
    total = 3000
    entries(store, crossing, total)
    for _ in range(2):
        worker = start()
        before = TriggerEvent.objects.count()
        publish("relay", BUCKET, queue="relay")

        def has_moved(before=before):
            look_again()
            return TriggerEvent.objects.count() > before

        wait_for(has_moved, 20)
        worker.kill()
        store.delete(f"{names.outbox(BUCKET)}:turn")  # it runs out by itself, but not within this test
        look_again()
    start()
    publish("relay_all", queue="relay")
    wait_for(lambda: outbox.length(BUCKET) == 0, 60)
    look_again()
    recorded = list(TriggerEvent.objects.order_by("pk").values_list("key_id", flat=True))
    assert recorded == [f"key_{number}" for number in range(total)]
    webhooks = Delivery.objects.filter(channel="webhook").values_list("event", flat=True)
    assert Counter(webhooks) == Counter(TriggerEvent.objects.values_list("pk", flat=True))


# --- one target that hangs --------------------------------------------------------------------------------------------

TARGETS, EVENTS = 100, 10


class Crowd:
    """A hundred receivers, some of which take every webhook and never answer."""

    def __init__(self) -> None:
        self.silent: set[str] = set()
        self.answered: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.over = threading.Event()
        crowd, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                host = str(self.connection.getsockname()[0])
                if host in crowd.silent:
                    with lock:
                        crowd.asked[host] += 1
                    crowd.over.wait(60)
                    return
                with lock:
                    crowd.answered[host] += 1
                with contextlib.suppress(OSError):
                    self.send_response(204)
                    self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

        self.server = Server(("0.0.0.0", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}).start()

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    need(sys.platform == "linux", "Linux, where all of 127.0.0.0/8 is this machine")
    crowd = Crowd()
    yield crowd
    crowd.close()


@pytest.mark.parametrize("hanging", [1, 30])
def test_targets_that_hang_among_a_hundred_delay_no_other(hanging, start, store, crowd, crossing, capsys):
    crowd.silent = {f"127.0.0.{number}" for number in range(1, hanging + 1)}
    for number in range(1, TARGETS + 1):
        save_monitor(Monitor(name=f"{number}", target_path=f"http://127.0.0.{number}:{crowd.port}/"))
    start()
    entries(store, crossing, EVENTS)
    begin = time.monotonic()
    publish("relay", BUCKET, queue="relay")
    healthy = (TARGETS - hanging) * EVENTS
    wait_for(lambda: crowd.answered.total() >= healthy, 120)
    seconds = time.monotonic() - begin
    with capsys.disabled():
        print(f"\n{healthy} deliveries to {TARGETS - hanging} targets beside {hanging} that hang: {seconds:.1f} s")
    assert set(crowd.answered.values()) == {EVENTS} and crowd.silent.isdisjoint(crowd.answered)
    asked = crowd.asked.copy()
    look_again()
    tries = Attempt.objects.filter(status_code=None).values("delivery__target").annotate(count=Count("pk"))
    ended = {row["delivery__target"].partition(":")[0]: row["count"] for row in tries}
    for host in crowd.silent:
        assert asked[host] <= ended.get(host, 0) + claims.MAX_PER_TARGET, "it holds few places"
