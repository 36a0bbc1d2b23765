"""Whose turn it is: one worker per delivery, few at a time per target, one first attempt at a time per monitor and
subject (rules 7.9, 9.5).

A claim is an update of rows that are still unclaimed. It ends by itself: a delivery whose worker died is taken again.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, Min, OuterRef, Q, QuerySet

from monitors_app.models import Delivery, Pacing

# Above what lies between a claim and its record: some seconds until the last of a batch is begun, and an attempt's
# timeout of 10 s. So long a dead worker's deliveries wait, and hold their target's places.
LEASE = timedelta(seconds=30)
# A mail server may take its time with each of a conversation's steps.
MAIL_LEASE = timedelta(seconds=60)
# So many deliveries to one target are under way at once, over all workers: a small receiver is not overrun.
MAX_PER_TARGET = 3
# The sweep leaves what became due a moment ago to its wake-up call, and does not wake the same delivery again and
# again.
SWEEP_GRACE = timedelta(seconds=3)
SWEEP_PAUSE = timedelta(seconds=30)
SWEEP_SIZE = 1000

Channel = Delivery.Channel
Status = Delivery.Status
OPEN = (Status.PENDING, Status.SENDING)
WEBHOOK_RELATED = ("event", "monitor")
EMAIL_RELATED = (*WEBHOOK_RELATED, "developer__user", "developer__organisation", "developer__email_preference")


@dataclass(frozen=True, slots=True)
class Batch:
    """Deliveries to one target that are ours until `claimed_until`, oldest first, and how many may be sent at once."""

    deliveries: Sequence[Delivery] = ()
    places: int = 0


# --- webhooks ---------------------------------------------------------------------------------------------------------


def claim_for(target: str, now: datetime, at_most: int | None = None) -> Batch:
    """Claims what is due to this target and whose turn it is: as much as can be sent at once, or `at_most`.

    Empty if nothing is, or if the target is busy: then whoever is at it goes on when it is done.
    """
    with transaction.atomic():
        _wait_for_others_who_claim_for(target)
        places = MAX_PER_TARGET - in_flight(target, now)
        if places <= 0:
            return Batch()
        # What is locked is just being cancelled, or woken by the sweep: it waits for the next look.
        free = due_to(target, now).select_for_update(skip_locked=True, of=("self",))
        deliveries = list(free.select_related(*WEBHOOK_RELATED)[: at_most or places])
        _mark_claimed(deliveries, now + LEASE)
    return Batch(deliveries, places)


def _wait_for_others_who_claim_for(target: str) -> None:
    """Two workers that counted free places at the same moment would both take them. SQLite has one writer anyway."""
    if connection.vendor == "postgresql":
        number = int.from_bytes(hashlib.blake2b(target.encode(), digest_size=8).digest(), signed=True)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])


def in_flight(target: str, now: datetime) -> int:
    """How many deliveries to this target workers hold."""
    return Delivery.objects.filter(target=target, status=Status.SENDING, claimed_until__gte=now).count()


def due_to(target: str, now: datetime) -> QuerySet[Delivery]:
    """Webhooks to this target that are due and in line, oldest first."""
    waiting = Delivery.objects.filter(target=target, channel=Channel.WEBHOOK, status=Status.PENDING, finished_at=None)
    return waiting.filter(_in_line(), next_attempt_at__lte=now).order_by("next_attempt_at", "pk")


def _mark_claimed(deliveries: Collection[Delivery], until: datetime) -> None:
    if deliveries:
        Delivery.objects.filter(pk__in=[each.pk for each in deliveries]).update(
            status=Status.SENDING, claimed_until=until
        )
    for each in deliveries:
        each.status, each.claimed_until = Status.SENDING, until


def _in_line() -> Q:
    """A first attempt waits until each earlier delivery of the same monitor and subject has had its own."""
    earlier = first_attempts(OuterRef("monitor"), OuterRef("subject")).filter(pk__lt=OuterRef("pk"))
    return Q(attempt_count__gt=0) | Q(~Exists(earlier))


def first_attempts(monitor: Any, subject: Any) -> QuerySet[Delivery]:
    """Open deliveries of events that were never attempted, of one monitor about one subject."""
    return Delivery.objects.filter(
        monitor=monitor, subject=subject, attempt_count=0, status__in=OPEN, finished_at=None, event__isnull=False
    )


def held_until(deliveries: Iterable[Delivery], now: datetime) -> dict[int, datetime]:
    """When `event_timeout` will have passed since the last first attempt about the same subject, by the ids of those
    deliveries for which it has not (rule 7.9).
    """
    paced = [each for each in deliveries if each.event_id and not each.attempt_count and _timeout(each)]
    if not paced:
        return {}
    rows = Pacing.objects.filter(
        monitor__in={each.monitor_id for each in paced}, subject__in={e.subject for e in paced}
    )
    last = {(row.monitor_id, row.subject): row.last_first_attempt_at for row in rows}
    began = {each: last[key] for each in paced if (key := (each.monitor_id or 0, each.subject)) in last}
    free_at = {each.pk: at + _timeout(each) for each, at in began.items()}
    return {pk: at for pk, at in free_at.items() if at > now}


def _timeout(delivery: Delivery) -> timedelta:
    return timedelta(seconds=delivery.monitor.event_timeout if delivery.monitor else 0)


# --- e-mails ----------------------------------------------------------------------------------------------------------


def claim_email(delivery_id: int, now: datetime) -> list[Delivery]:
    """The e-mail, ours until `claimed_until`; with it all of its digest that is due, oldest first. Empty if it is not
    due, not the first of its digest, finished, or somebody else's.
    """
    due = Q(status=Status.PENDING, next_attempt_at__lte=now) | Q(status=Status.SENDING, claimed_until__lt=now)
    mine = Delivery.objects.filter(due, _leads_its_digest(), pk=delivery_id, channel=Channel.EMAIL)
    if not mine.update(status=Status.SENDING, claimed_until=now + MAIL_LEASE):
        return []
    leader = Delivery.objects.select_related(*EMAIL_RELATED).get(pk=delivery_id)
    return [leader, *_followers(leader, now)] if leader.in_digest else [leader]


def _followers(leader: Delivery, now: datetime) -> list[Delivery]:
    due = Delivery.objects.filter(developer=leader.developer_id, in_digest=True, pk__gt=leader.pk, finished_at=None)
    due.filter(status=Status.PENDING, next_attempt_at__lte=now).update(
        status=Status.SENDING, claimed_until=leader.claimed_until
    )
    mine = due.filter(status=Status.SENDING, claimed_until=leader.claimed_until)
    return list(mine.select_related(*EMAIL_RELATED).order_by("pk"))


def _leads_its_digest() -> Q:
    """Of a digest, the oldest goes and takes the others along."""
    leaders = Delivery.objects.filter(
        developer=OuterRef("developer"), in_digest=True, status__in=OPEN, finished_at=None, pk__lt=OuterRef("pk")
    ).filter(next_attempt_at__lte=OuterRef("next_attempt_at"))
    return Q(in_digest=False) | Q(~Exists(leaders))


# --- what became of a claim -------------------------------------------------------------------------------------------


def still_ours(delivery: Delivery) -> QuerySet[Delivery]:
    """The claimed row, unless the claim ran out and another worker took it."""
    return Delivery.objects.filter(pk=delivery.pk, status=Status.SENDING, claimed_until=delivery.claimed_until)


def hold(delivery: Delivery, until: datetime) -> None:
    """Gives the claim back; due again at `until`."""
    still_ours(delivery).update(status=Status.PENDING, claimed_until=None, next_attempt_at=until)


def release(deliveries: Sequence[Delivery]) -> None:
    """Gives the claims of one batch back, as if they had never been claimed."""
    if deliveries:
        _ours(deliveries).update(status=Status.PENDING, claimed_until=None)


def cancel(deliveries: Sequence[Delivery], now: datetime) -> None:
    """Ends what was claimed together and is not wanted any more."""
    _ours(deliveries).update(status=Status.CANCELLED, claimed_until=None, next_attempt_at=None, finished_at=now)


def _ours(deliveries: Sequence[Delivery]) -> QuerySet[Delivery]:
    """Of deliveries that were claimed together, those whose claim still holds."""
    held = Delivery.objects.filter(status=Status.SENDING, claimed_until__in={each.claimed_until for each in deliveries})
    return held.filter(pk__in=[each.pk for each in deliveries])


# --- the sweep --------------------------------------------------------------------------------------------------------


def take_due(now: datetime) -> list[tuple[int, str]]:
    """(id, channel) of deliveries that are due but nobody works on, oldest first; the next sweeps leave them alone.

    Of each target one: whoever is woken for it goes on with the others. So a target with a long queue neither floods
    the broker nor hides the others.
    """
    Delivery.objects.filter(status=Status.SENDING, claimed_until__lt=now, finished_at=None).update(
        status=Status.PENDING, claimed_until=None, next_attempt_at=now - SWEEP_GRACE
    )
    unwoken = Q(claimed_until=None) | Q(claimed_until__lt=now)
    due = Delivery.objects.filter(unwoken, status=Status.PENDING, finished_at=None)
    due = due.filter(next_attempt_at__lte=now - SWEEP_GRACE).order_by()
    webhooks = due.filter(_in_line(), channel=Channel.WEBHOOK).values("target")
    firsts = webhooks.annotate(first=Min("pk"), since=Min("next_attempt_at")).order_by("since")
    found = [(pk, Channel.WEBHOOK.value) for pk in firsts.values_list("first", flat=True)[:SWEEP_SIZE]]
    emails = due.filter(_leads_its_digest(), channel=Channel.EMAIL).order_by("next_attempt_at")
    found += [(pk, Channel.EMAIL.value) for pk in emails.values_list("pk", flat=True)[:SWEEP_SIZE]]
    _mark_woken((pk for pk, _ in found), now)
    return found


def _mark_woken(delivery_ids: Iterable[int], now: datetime) -> None:
    Delivery.objects.filter(pk__in=list(delivery_ids), status=Status.PENDING).update(claimed_until=now + SWEEP_PAUSE)
