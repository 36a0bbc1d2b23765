"""What waits: events that no relay has taken, deliveries that no worker has. A stuck queue shows here first."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celery import current_app
from django.db.models import Count, F, Max, Min, Q, QuerySet
from kombu.exceptions import KombuError

from monitors_app import outbox
from monitors_app.models import Delivery

logger = logging.getLogger(__name__)

# An idle gateway takes each within a second or two; a long queue on a busy one stays far below.
STUCK_SECONDS = 60
MOST_TARGETS = 100


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many wait, and for how long the oldest has, in seconds (0: none waits). Deliveries count from when they are
    due; those that wait for a retry or their turn are not late.
    """

    unrelayed: int
    unrelayed_seconds: float
    due: int
    due_seconds: float
    failed: int

    def warnings(self) -> Iterator[str]:
        """What an operator should look into."""
        if self.unrelayed_seconds >= STUCK_SECONDS:
            yield (
                f"{self.unrelayed} threshold events wait for the relay, the oldest for {self.unrelayed_seconds:.0f} s:"
                " does a worker serve the queue relay?"
            )
        if self.due_seconds >= STUCK_SECONDS:
            yield (
                f"{self.due} deliveries are due, the oldest for {self.due_seconds:.0f} s:"
                " do workers serve the queues deliveries, mail and housekeeping, and does beat run?"
            )


def backlog(now: datetime) -> Backlog:
    """What waits now. Raises StoreUnavailable and database errors."""
    unrelayed, oldest = outbox.backlog()
    due = Delivery.objects.filter(finished_at=None, status=Delivery.Status.PENDING, next_attempt_at__lte=now)
    found = due.aggregate(count=Count("pk"), oldest=Min("next_attempt_at"))
    return Backlog(
        unrelayed=unrelayed,
        unrelayed_seconds=max(0.0, now.timestamp() - oldest) if oldest else 0.0,
        due=found["count"],
        due_seconds=(now - found["oldest"]).total_seconds() if found["oldest"] else 0.0,
        failed=Delivery.objects.filter(status=Delivery.Status.FAILED, event__isnull=False).count(),
    )


@dataclass(frozen=True, slots=True)
class Line:
    """What is open for one target: host and port of webhooks, "" for e-mails. `due` of the `waiting` could go now;
    `most_attempts` is how often the most stubborn of them was tried.
    """

    target: str
    waiting: int
    due: int
    oldest_due_seconds: float
    most_attempts: int


@dataclass(frozen=True, slots=True)
class Open:
    """All open deliveries together, and by target: the longest due first, at most MOST_TARGETS."""

    waiting: int
    due: int
    oldest_due_seconds: float
    lines: list[Line]


def open_deliveries(deliveries: QuerySet[Delivery], now: datetime) -> Open:
    """What is open among these deliveries. Two queries."""
    due = Q(status=Delivery.Status.PENDING, next_attempt_at__lte=now)
    counts = {
        "waiting": Count("pk"),
        "due": Count("pk", filter=due),
        "oldest": Min("next_attempt_at", filter=due),
    }
    rows = deliveries.filter(finished_at=None, status__in=(Delivery.Status.PENDING, Delivery.Status.SENDING)).order_by()
    by_target = rows.values("target").annotate(**counts, most_attempts=Max("attempt_count"))
    longest_first = by_target.order_by(F("oldest").asc(nulls_last=True), "target")[:MOST_TARGETS]
    return Open(lines=[Line(**_told(row, now)) for row in longest_first], **_told(rows.aggregate(**counts), now))


def _told(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    oldest = row["oldest"]
    told = {name: value for name, value in row.items() if name != "oldest"}
    return {**told, "oldest_due_seconds": (now - oldest).total_seconds() if oldest else 0.0}


def queue_lengths() -> dict[str, int | None]:
    """How many tasks no worker has taken from the broker, by queue; None for all if the broker cannot be asked."""
    queues = [queue.name for queue in current_app.conf.task_queues]
    broker = current_app.connection_for_read()
    breaking: Any = broker.connection_errors  # of the broker's own client
    try:
        with broker as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
            return {name: _length(connection, name) for name in queues}
    except (KombuError, OSError, *breaking) as error:
        logger.warning("the broker does not say how long its queues are: %s", error)
        return dict.fromkeys(queues)


def _length(connection: Any, queue: str) -> int:
    """A queue that nobody has declared, or an empty one on Redis, is not found, and the channel is closed by that."""
    try:
        with connection.channel() as channel:
            return int(channel.queue_declare(queue, passive=True).message_count)
    except connection.channel_errors:
        return 0
