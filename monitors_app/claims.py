"""Whose turn it is: one worker per delivery, one first attempt at a time per monitor and subject (rules 7.9, 9.5).

A claim is a conditional UPDATE whose row count says who won. It ends by itself: a delivery whose worker died is taken
again.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from monitors_app.models import Delivery, Pacing

# Far above an attempt's timeout: no living worker loses its claim.
LEASE = timedelta(seconds=60)
# The sweep leaves what became due a moment ago to its wake-up call, and does not wake the same delivery again and
# again.
SWEEP_GRACE = timedelta(seconds=3)
SWEEP_PAUSE = timedelta(seconds=30)
SWEEP_SIZE = 1000

RELATED = ("event", "monitor", "developer__user", "developer__organisation", "developer__email_preference")

Status = Delivery.Status
OPEN = (Status.PENDING, Status.SENDING)


def claim(delivery_id: int, now: datetime) -> Delivery | None:
    """The delivery, ours until `claimed_until`; None if it is not due, not its turn, finished, or somebody else's."""
    due = Q(status=Status.PENDING, next_attempt_at__lte=now) | Q(status=Status.SENDING, claimed_until__lt=now)
    mine = Delivery.objects.filter(due, _its_turn(), pk=delivery_id)
    if not mine.update(status=Status.SENDING, claimed_until=now + LEASE):
        return None
    return Delivery.objects.select_related(*RELATED).get(pk=delivery_id)


def _its_turn() -> Q:
    """A first attempt waits until each earlier delivery of the same monitor and subject has had its own."""
    earlier = first_attempts(OuterRef("monitor"), OuterRef("subject")).filter(pk__lt=OuterRef("pk"))
    return Q(attempt_count__gt=0) | Q(~Exists(earlier))


def first_attempts(monitor: Any, subject: Any) -> QuerySet[Delivery]:
    """Open deliveries of events that were never attempted, of one monitor about one subject."""
    return Delivery.objects.filter(
        monitor=monitor, subject=subject, attempt_count=0, status__in=OPEN, event__isnull=False
    )


def next_in_line(delivery: Delivery) -> Delivery | None:
    """The delivery whose first attempt comes after this one's."""
    if delivery.monitor_id is None:
        return None
    return first_attempts(delivery.monitor_id, delivery.subject).filter(pk__gt=delivery.pk).order_by("pk").first()


def held_until(delivery: Delivery, now: datetime) -> datetime | None:
    """When `event_timeout` has passed since the last first attempt about this subject; None if it has (rule 7.9)."""
    if (
        delivery.monitor is None
        or delivery.event_id is None
        or delivery.attempt_count
        or delivery.monitor.event_timeout <= 0
    ):
        return None
    last = Pacing.objects.filter(monitor=delivery.monitor, subject=delivery.subject).first()
    free_at = last.last_first_attempt_at + timedelta(seconds=delivery.monitor.event_timeout) if last else now
    return free_at if free_at > now else None


def still_ours(delivery: Delivery) -> QuerySet[Delivery]:
    """The claimed row, unless the claim ran out and another worker took it."""
    return Delivery.objects.filter(pk=delivery.pk, status=Status.SENDING, claimed_until=delivery.claimed_until)


def release(delivery: Delivery, until: datetime) -> None:
    """Gives the claim back; due again at `until`."""
    still_ours(delivery).update(status=Status.PENDING, claimed_until=None, next_attempt_at=until)


def take_due(now: datetime) -> list[tuple[int, str]]:
    """(id, channel) of deliveries that are due but nobody works on, oldest first; the next sweeps leave them alone."""
    Delivery.objects.filter(status=Status.SENDING, claimed_until__lt=now).update(
        status=Status.PENDING, claimed_until=None, next_attempt_at=now - SWEEP_GRACE
    )
    unwoken = Q(claimed_until=None) | Q(claimed_until__lt=now)
    due = Delivery.objects.filter(unwoken, _its_turn(), status=Status.PENDING, next_attempt_at__lte=now - SWEEP_GRACE)
    found = list(due.order_by("next_attempt_at").values_list("pk", "channel")[:SWEEP_SIZE])
    _mark_woken((pk for pk, _ in found), now)
    return found


def _mark_woken(delivery_ids: Iterable[int], now: datetime) -> None:
    Delivery.objects.filter(pk__in=list(delivery_ids), status=Status.PENDING).update(claimed_until=now + SWEEP_PAUSE)
