"""Whose turn it is: one worker per delivery, few at a time per target, one first attempt at a time per monitor and
subject (rules 7.9, 9.5).

A claim is a conditional UPDATE whose row count says who won. It ends by itself: a delivery whose worker died is taken
again.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery, Window
from django.db.models.functions import Coalesce, RowNumber
from django.db.models.lookups import LessThan

from monitors_app.models import Delivery, Pacing

# Far above an attempt's timeout: no living worker loses its claim.
LEASE = timedelta(seconds=60)
# A target that hangs holds this many of all workers' threads, and no more. Two workers that look at the same moment may
# exceed it by one, for one attempt: cheaper than a lock.
MAX_PER_TARGET = 3
MAX_LOOKS = 5
# The sweep leaves what became due a moment ago to its wake-up call, and does not wake the same delivery again and
# again.
SWEEP_GRACE = timedelta(seconds=3)
SWEEP_PAUSE = timedelta(seconds=30)
SWEEP_SIZE = 1000

RELATED = {
    Delivery.Channel.WEBHOOK.value: ("event", "monitor"),
    Delivery.Channel.EMAIL.value: (
        *("event", "monitor"),
        *("developer__user", "developer__organisation", "developer__email_preference"),
    ),
}

Status = Delivery.Status
OPEN = (Status.PENDING, Status.SENDING)


def claim(delivery_id: int, channel: str, now: datetime) -> Delivery | None:
    """The delivery, ours until `claimed_until`; None if it is not due, not its turn, finished, somebody else's, or its
    target is busy.
    """
    due = Q(status=Status.PENDING, next_attempt_at__lte=now) | Q(status=Status.SENDING, claimed_until__lt=now)
    allowed = _in_line() & _target_has_room(now) if channel == Delivery.Channel.WEBHOOK else _leads_its_digest()
    mine = Delivery.objects.filter(due, allowed, pk=delivery_id, channel=channel)
    if not mine.update(status=Status.SENDING, claimed_until=now + LEASE):
        return None
    return Delivery.objects.select_related(*RELATED[channel]).get(pk=delivery_id)


def claim_next(target: str, now: datetime) -> Delivery | None:
    """The oldest delivery to this target that is due, claimed; None if there is none that we can get."""
    for _ in range(MAX_LOOKS):  # others may take all that we saw; then there may be more
        waiting = waiting_for(target, now)
        for delivery_id in waiting:
            if delivery := claim(delivery_id, Delivery.Channel.WEBHOOK, now):
                return delivery
        if not waiting:
            break
    return None


def waiting_for(target: str, now: datetime) -> list[int]:
    """Deliveries to this target that are due, oldest first: as many as could run at once, for others take them too."""
    due = Delivery.objects.filter(_in_line(), target=target, status=Status.PENDING, next_attempt_at__lte=now)
    return list(due.order_by("next_attempt_at", "pk").values_list("pk", flat=True)[:MAX_PER_TARGET]) if target else []


def claim_digest(leader: Delivery, now: datetime) -> list[Delivery]:
    """All e-mails of a developer's digest that are due, the claimed leader first; the others are claimed with it."""
    due = Delivery.objects.filter(developer=leader.developer_id, in_digest=True, pk__gt=leader.pk)
    due.filter(status=Status.PENDING, next_attempt_at__lte=now).update(
        status=Status.SENDING, claimed_until=leader.claimed_until
    )
    mine = due.filter(status=Status.SENDING, claimed_until=leader.claimed_until)
    return [leader, *mine.select_related(*RELATED[leader.channel]).order_by("pk")]


def _in_line() -> Q:
    """A first attempt waits until each earlier delivery of the same monitor and subject has had its own."""
    earlier = first_attempts(OuterRef("monitor"), OuterRef("subject")).filter(pk__lt=OuterRef("pk"))
    return Q(attempt_count__gt=0) | Q(~Exists(earlier))


def _leads_its_digest() -> Q:
    """Of a digest, the oldest goes and takes the others along."""
    leaders = Delivery.objects.filter(
        developer=OuterRef("developer"), in_digest=True, status__in=OPEN, pk__lt=OuterRef("pk")
    ).filter(next_attempt_at__lte=OuterRef("next_attempt_at"))
    return Q(in_digest=False) | Q(~Exists(leaders))


def _target_has_room(now: datetime) -> Q:
    running = Delivery.objects.filter(target=OuterRef("target"), status=Status.SENDING, claimed_until__gte=now)
    count = running.order_by().values("target").annotate(running=Count("pk")).values("running")
    return Q(target="") | Q(LessThan(Coalesce(Subquery(count), 0), MAX_PER_TARGET))


def first_attempts(monitor: Any, subject: Any) -> QuerySet[Delivery]:
    """Open deliveries of events that were never attempted, of one monitor about one subject."""
    return Delivery.objects.filter(
        monitor=monitor, subject=subject, attempt_count=0, status__in=OPEN, event__isnull=False
    )


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
    """(id, channel) of deliveries that are due but nobody works on, oldest first; the next sweeps leave them alone.

    Of each target only as many as may run at once: whoever sends them goes on with the others. So a target with a
    long queue neither floods the broker nor hides the others.
    """
    Delivery.objects.filter(status=Status.SENDING, claimed_until__lt=now).update(
        status=Status.PENDING, claimed_until=None, next_attempt_at=now - SWEEP_GRACE
    )
    unwoken = Q(claimed_until=None) | Q(claimed_until__lt=now)
    due = Delivery.objects.filter(unwoken, _in_line(), _leads_its_digest(), status=Status.PENDING)
    due = due.filter(next_attempt_at__lte=now - SWEEP_GRACE)
    place = Window(RowNumber(), partition_by="target", order_by=("next_attempt_at", "pk"))
    fair = due.annotate(place=place).filter(Q(target="") | Q(place__lte=MAX_PER_TARGET))
    found = list(fair.order_by("place", "next_attempt_at").values_list("pk", "channel")[:SWEEP_SIZE])
    _mark_woken((pk for pk, _ in found), now)
    return found


def _mark_woken(delivery_ids: Iterable[int], now: datetime) -> None:
    Delivery.objects.filter(pk__in=list(delivery_ids), status=Status.PENDING).update(claimed_until=now + SWEEP_PAUSE)
