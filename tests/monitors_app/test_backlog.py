"""A queue that is stuck is seen: in numbers, in `/readyz`, and in `/metrics`."""

import socketserver
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from celery import current_app
from django.utils import timezone
from kombu import Connection
from prometheus_client import generate_latest

from monitors_app import ledger, metrics
from monitors_app.backlog import backlog, open_deliveries, queue_lengths
from monitors_app.models import Delivery
from sessions_app.engine import names
from tests.factories import MonitorFactory

pytestmark = [pytest.mark.django_db, pytest.mark.services]


@pytest.fixture
def now():
    return timezone.now()


def wait_in_the_outbox(store, now, seconds):
    at = round((now - timedelta(seconds=seconds)).timestamp() * 1000)
    store.xadd(names.outbox(5), {"any": "thing"}, id=f"{at}-0")


def test_nothing_waits_on_an_idle_gateway(store, now):
    found = backlog(now)
    assert (found.unrelayed, found.unrelayed_seconds, found.due, found.due_seconds) == (0, 0, 0, 0)
    assert list(found.warnings()) == []


def test_the_oldest_entry_outside_the_ledger_is_found(store, now):
    for seconds in (90, 30):
        wait_in_the_outbox(store, now, seconds)
    found = backlog(now)
    assert found.unrelayed == 2 and found.unrelayed_seconds == pytest.approx(90, abs=0.01)
    assert "2 threshold events wait for the relay, the oldest for 90 s" in next(found.warnings())


def test_deliveries_that_are_due_count_and_retries_do_not(store, now, crossing):
    MonitorFactory.create(target_path="http://hooks.example/")
    ledger.record([crossing(threshold=label) for label in ("50", "80", "90")])
    late, retried, _ = Delivery.objects.order_by("pk")
    Delivery.objects.filter(pk=late.pk).update(next_attempt_at=now - timedelta(seconds=70))
    Delivery.objects.filter(pk=retried.pk).update(next_attempt_at=now + timedelta(seconds=70))
    found = backlog(now + timedelta(seconds=1))
    assert found.due == 2 and found.due_seconds == pytest.approx(71)
    assert "2 deliveries are due, the oldest for 71 s" in next(found.warnings())


def test_operators_see_it(store, now, client, monkeypatch):
    monkeypatch.setattr(metrics, "_measured_at", float("-inf"))
    wait_in_the_outbox(store, now, 100)
    answer = client.get("/readyz")
    assert answer.status_code == 200, "requests are unaffected"
    assert any("threshold events wait for the ledger" in warning for warning in answer.json()["warnings"])
    metrics.measure()
    text = generate_latest().decode()
    assert "tollgate_outbox_events 1.0" in text and "tollgate_deliveries_oldest_due_seconds 0.0" in text
    assert metrics.UNRELAYED_AGE._value.get() == pytest.approx(100, abs=10)


def test_a_store_that_is_down_is_said_and_no_crash(settings, caplog, monkeypatch):
    monkeypatch.setattr(metrics, "_measured_at", float("-inf"))
    settings.GATEWAY_STORE_URL = "redis://127.0.0.1:1/0"
    metrics.measure()
    assert "the backlog cannot be measured" in caplog.text


def test_what_is_open_is_told_by_target_the_longest_due_first(store, now, crossing):
    for name in ("slow", "quick", "quiet"):
        MonitorFactory.create(name=name, target_path=f"http://{name}.example/")
    ledger.record([crossing(threshold="50"), crossing(threshold="80")])
    quiet = Delivery.objects.filter(monitor__name="quiet")
    quiet.update(next_attempt_at=now + timedelta(hours=1), attempt_count=4)
    Delivery.objects.filter(monitor__name="slow").update(next_attempt_at=now - timedelta(seconds=50))
    Delivery.objects.filter(monitor__name="quick").update(next_attempt_at=now - timedelta(seconds=5))
    Delivery.objects.filter(monitor__name="quick").first().delete()
    found = open_deliveries(Delivery.objects.all(), now)
    assert (found.waiting, found.due, found.oldest_due_seconds) == (5, 3, 50)
    assert [(line.target, line.waiting, line.due, line.oldest_due_seconds) for line in found.lines] == [
        ("slow.example:80", 2, 2, 50),
        ("quick.example:80", 1, 1, 5),
        ("quiet.example:80", 2, 0, 0),
    ]
    assert found.lines[-1].most_attempts == 4


def test_a_queue_without_workers_grows_and_is_seen(rest, store, broker):
    before = rest.get("/deliveries/backlog")["queues"]["relay"]
    for _ in range(3):
        current_app.send_task("monitors_app.tasks.relay", args=[1], queue="relay")
    assert rest.get("/deliveries/backlog")["queues"]["relay"] == before + 3


def test_the_backlog_is_told_over_the_api(rest, store, now):
    wait_in_the_outbox(store, now, 90)
    told = rest.get("/deliveries/backlog")
    assert told["events"]["waiting"] == 1 and told["events"]["oldest_seconds"] >= 90
    assert "1 threshold events wait for the relay" in told["warnings"][0]


def test_a_store_and_a_broker_that_are_down_hide_nothing_else(rest, settings, crossing, monkeypatch):
    MonitorFactory.create(target_path="http://hooks.example/")
    ledger.record([crossing()])
    settings.GATEWAY_STORE_URL = "redis://127.0.0.1:1/0"
    down = Connection("redis://127.0.0.1:1/0", connect_timeout=0.2)
    monkeypatch.setattr(current_app, "connection_for_read", lambda: down)
    told = rest.get("/deliveries/backlog")
    assert (told["waiting"], told["events"], set(told["queues"].values())) == (1, None, {None})
    assert [warning.split()[1] for warning in told["warnings"]] == ["counter", "broker"]


class Restarting(socketserver.StreamRequestHandler):
    """A Redis that takes connections, and is gone when it is asked for a queue."""

    REPLIES = {b"PING": b"+PONG\r\n", b"HELLO": b"%1\r\n+proto\r\n:3\r\n"}

    def handle(self) -> None:
        while line := self.rfile.readline():
            words = []
            for _ in range(int(line[1:])):
                self.rfile.readline()
                words.append(self.rfile.readline().strip().upper())
            if words[0] in (b"EXISTS", b"LLEN", b"MULTI"):
                return
            self.wfile.write(self.REPLIES.get(words[0], b"+OK\r\n"))


@pytest.fixture
def restarting_broker() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Restarting) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
        server.shutdown()
        thread.join()


def test_a_broker_that_breaks_off_is_one_that_does_not_answer(restarting_broker, monkeypatch):
    """Its client has errors of its own for that."""
    monkeypatch.setattr(current_app, "connection_for_read", lambda: Connection(restarting_broker))
    assert set(queue_lengths().values()) == {None}
