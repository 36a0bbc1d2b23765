"""What tests of monitors share: a receiver of webhooks, a broker that can be looked into, and crossings."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from typing import Any

import pytest
from celery import current_app

from monitors_app.models import Monitor
from monitors_app.monitors import save_monitor
from organisations_app import sealing
from sessions_app.engine.types import Crossing

RAW_KEY = 'tg_canary"quoted\\and-long-enough-to-be-found'
NOW_MS = 1_790_000_000_000


@dataclass
class Arrival:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """Answers with `answers` one after the other, then 200. Each: status, (status, headers, body) or function."""

    url: str = ""
    arrivals: list[Arrival] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)

    def answer(self, arrival: Arrival) -> tuple[int, dict[str, str], bytes]:
        self.arrivals.append(arrival)
        planned = self.answers.pop(0) if self.answers else 200
        planned = planned(arrival) if callable(planned) else planned
        return (planned, {}, b"") if isinstance(planned, int) else planned


@pytest.fixture
def receiver(settings) -> Iterator[Receiver]:
    settings.GATEWAY_WEBHOOK_ALLOWED_NETS = (ip_network("127.0.0.0/8"),)
    book = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, extra, answer = book.answer(Arrival(self.command, self.path, headers, body, time.time()))
            try:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(answer)), **extra}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)
            except OSError:
                pass

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    book.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield book
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def monitor(db, receiver) -> Monitor:
    """A monitor of everything that sends to the receiver."""
    monitor = Monitor(name="Everything", target_path=receiver.url)
    save_monitor(monitor)
    return monitor


@dataclass(frozen=True)
class Message:
    task: str
    args: list[Any]
    eta: datetime | None

    @property
    def wait_seconds(self) -> float:
        return (self.eta - datetime.now(UTC)).total_seconds() if self.eta else 0


class Broker:
    """The in-memory broker of the tests' settings: takes what was published."""

    QUEUES = ("relay", "deliveries", "mail", "housekeeping", "celery")

    def take(self, queue: str) -> list[Message]:
        messages = []
        with current_app.connection_for_read() as connection:
            channel: Any = connection.default_channel
            while found := channel.basic_get(queue, no_ack=True):
                eta = found.headers.get("eta")
                args = json.loads(found.body)[0]
                messages.append(Message(found.headers["task"], args, datetime.fromisoformat(eta) if eta else None))
        return messages

    def clear(self) -> None:
        for queue in self.QUEUES:
            self.take(queue)


@pytest.fixture
def broker() -> Iterator[Broker]:
    with current_app.connection_for_write() as connection:
        for name in Broker.QUEUES:
            current_app.amqp.queues[name](connection.default_channel).declare()
    broker = Broker()
    broker.clear()
    yield broker
    broker.clear()


@pytest.fixture
def crossing() -> Callable[..., Crossing]:
    """A crossing of 80 % by a key of Acme's; `context` and other fields can be changed."""

    def make(context: dict[str, Any] | None = None, **changes: Any) -> Crossing:
        known = {
            "org": "acme",
            "key": "key_member",
            "api": "echo",
            "alias": "My key",
            "hint": "tg_…ound",
            "digest": "d" * 64,
            "sealed": sealing.seal(RAW_KEY),
        }
        fields: dict[str, Any] = {
            "kind": "key",
            "counter": "tg:{b17}:c:k:key_member",
            "period_start_ms": NOW_MS,
            "period_end_ms": NOW_MS + 60_000,
            "threshold": "80",
            "own": True,
            "source": "key:key_member",
            "used": 8,
            "quota_max": 10,
            "occurred_at_ms": NOW_MS + 1_000,
            "context": json.dumps(known | (context or {})).encode(),
        }
        return Crossing(**(fields | changes))

    return make
