"""How well a monitor's webhooks arrive, over the last day: for whoever looks at the monitor."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Q

from monitors_app.models import Attempt, Delivery, Monitor

PERIOD = timedelta(hours=24)
# The newest deliveries whose attempts are looked at, of those that ended in the period and of those that are open.
SAMPLE = 500

Status = Delivery.Status


@dataclass(frozen=True, slots=True)
class Health:
    """Webhooks of the last 24 h; `waiting` now. `p95_ms` is how long 19 of 20 attempts took at most, of the newest
    ones; None: no attempt. `last_error` is empty if there was none.
    """

    delivered: int
    failed: int
    waiting: int
    p95_ms: int | None
    last_error: str
    last_error_at: datetime | None


def health_of(monitor: Monitor, now: datetime) -> Health:
    """Five queries on indexes of their own, whatever the monitor has sent in its life."""
    since = now - PERIOD
    own = Delivery.objects.filter(monitor=monitor, channel=Delivery.Channel.WEBHOOK, event__isnull=False).order_by()
    ended, waiting = own.filter(finished_at__gte=since), own.filter(finished_at=None)
    counts = ended.aggregate(
        delivered=Count("status", filter=Q(status=Status.DELIVERED)),
        failed=Count("status", filter=Q(status=Status.FAILED)),
    )
    counts["waiting"] = waiting.filter(status__in=(Status.PENDING, Status.SENDING)).count()
    tries = [ended.order_by("-finished_at"), waiting.filter(attempt_count__gt=0).order_by("-pk")]
    newest = [pk for rows in tries for pk in rows.values_list("pk", flat=True)[:SAMPLE]]
    attempts = Attempt.objects.filter(delivery__in=newest, started_at__gte=since).order_by("-started_at")
    tried = list(attempts.values_list("duration_ms", "error", "started_at"))
    error, error_at = next(((error, at) for _, error, at in tried if error), ("", None))
    return Health(**counts, p95_ms=p95([ms for ms, _, _ in tried]), last_error=error, last_error_at=error_at)


def p95(durations: Sequence[int]) -> int | None:
    """The least of them that 95 % do not exceed."""
    return sorted(durations)[math.ceil(len(durations) * 0.95) - 1] if durations else None
