"""What waits: events that no relay has taken, deliveries that no worker has. A stuck queue shows here first."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Min

from monitors_app import outbox
from monitors_app.models import Delivery

# An idle gateway takes each within a second or two; a long queue on a busy one stays far below.
STUCK_SECONDS = 60


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
    due = Delivery.objects.filter(status=Delivery.Status.PENDING, next_attempt_at__lte=now)
    found = due.aggregate(count=Count("pk"), oldest=Min("next_attempt_at"))
    return Backlog(
        unrelayed=unrelayed,
        unrelayed_seconds=max(0.0, now.timestamp() - oldest) if oldest else 0.0,
        due=found["count"],
        due_seconds=(now - found["oldest"]).total_seconds() if found["oldest"] else 0.0,
        failed=Delivery.objects.filter(status=Delivery.Status.FAILED, event__isnull=False).count(),
    )
