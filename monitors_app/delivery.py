"""Delivering: claim, send, record. The network is never touched inside a transaction (rules 7.9, 7.10, 9.5)."""

import logging
import random
import time
from datetime import datetime, timedelta
from functools import partial

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from monitors_app import attempts, bodies, claims, emails, transports, webhooks
from monitors_app.audience import listens
from monitors_app.models import Attempt, Delivery, Monitor
from monitors_app.transports import Answer, Email, TransportError, Webhook
from monitors_app.wakeups import wake
from organisations_app.sealing import SealBroken

logger = logging.getLogger(__name__)

Status = Delivery.Status
# How long a worker stays with one target before it looks at what else waits.
STINT_SECONDS = 2.0
TEST_PAUSE = timedelta(seconds=5)
HIDDEN = "[hidden]"


class TestThrottled(Exception):
    """A monitor was tested a moment ago; the message says how long to wait."""

    __test__ = False


def deliver(delivery_id: int) -> None:
    """One attempt of one delivery, if it is due and nobody else is at it; then, for a short stint, of what waits for
    the same target.

    Deliveries to a busy target are not queued with the others': whoever is at it goes on with them.
    """
    ends = time.monotonic() + STINT_SECONDS
    channel = Delivery.objects.filter(pk=delivery_id).values_list("channel", flat=True).first()
    delivery = claims.claim(delivery_id, channel, timezone.now()) if channel else None
    while delivery:
        _handle(delivery)
        if time.monotonic() >= ends:
            _pass_on(delivery.target)
            return
        delivery = claims.claim_next(delivery.target, timezone.now())


def _handle(delivery: Delivery) -> None:
    now = timezone.now()
    if not _still_wanted(delivery):
        claims.still_ours(delivery).update(
            status=Status.CANCELLED, claimed_until=None, next_attempt_at=None, finished_at=now
        )
        _erase_key(delivery)
    elif until := claims.held_until(delivery, now):
        claims.release(delivery, until)
        wake(delivery.pk, delivery.channel, (until - now).total_seconds())
    else:
        _attempt(delivery)


def _pass_on(target: str) -> None:
    """Everybody gets a turn: the rest of a long queue lines up behind the others' deliveries."""
    if waiting := claims.waiting_for(target, timezone.now()):
        wake(random.choice(waiting), Delivery.Channel.WEBHOOK)


def sweep() -> int:
    """Wakes deliveries that are due and whose wake-up call was lost, or whose worker died. Returns how many."""
    found = claims.take_due(timezone.now())
    for delivery_id, channel in found:
        wake(delivery_id, channel)
    return len(found)


def redeliverable() -> QuerySet[Delivery]:
    """Finished deliveries that can be sent again: of an event, and with a body that is still kept."""
    finished = Delivery.objects.filter(event__isnull=False).exclude(status__in=claims.OPEN)
    return finished.exclude(channel=Delivery.Channel.WEBHOOK, body="")


def redeliver(delivery: Delivery) -> bool:
    """Starts a finished delivery anew, with the same `webhook-id` and the whole retry schedule.

    False if it is not redeliverable.
    """
    finished = redeliverable().filter(pk=delivery.pk)
    asked = finished.update(
        status=Status.PENDING, round_attempts=0, next_attempt_at=timezone.now(), claimed_until=None, finished_at=None
    )
    if asked:
        transaction.on_commit(partial(wake, delivery.pk, delivery.channel))
    return bool(asked)


def _still_wanted(delivery: Delivery) -> bool:
    if delivery.is_notice:
        return delivery.monitor is not None and not delivery.monitor.is_enabled
    if delivery.channel == Delivery.Channel.WEBHOOK:
        return delivery.monitor is not None and delivery.monitor.is_enabled
    return delivery.developer is not None and listens(delivery.developer)


def _attempt(delivery: Delivery) -> None:
    together = claims.claim_digest(delivery, timezone.now()) if delivery.in_digest else [delivery]
    result = send(*together)
    outcome: attempts.Outcome | None = None
    for each in together:
        outcome = attempts.record(each, result, outcome)
        if outcome is None:
            logger.warning("another worker took over a delivery while it was sent", extra={"delivery": each.pk})
            return
        _erase_key(each)
    if outcome and outcome.wait_seconds is not None:
        wake(delivery.pk, delivery.channel, outcome.wait_seconds)


def _erase_key(delivery: Delivery) -> None:
    if delivery.event_id:
        attempts.erase_key(delivery.event_id)


def send(delivery: Delivery, *others: Delivery) -> attempts.Result:
    """Sends a claimed delivery over its channel, with the others of its digest. Never raises for what a receiver does.

    A receiver may keep us waiting for seconds: until it answers, others use our database connection.
    """
    started_at, clock = timezone.now(), time.monotonic()
    error: TransportError | None = None
    try:
        letter = _letter(started_at, delivery, *others)
        if not connection.in_atomic_block:
            connection.close()
        answer = transports.send(letter)
    except TransportError as failure:
        error, answer = failure, failure.answer
    return attempts.Result(
        started_at=started_at,
        duration_ms=round((time.monotonic() - clock) * 1000),
        status_code=answer.status_code,
        error=error.message if error else "",
        permanent=error.permanent if error else False,
        retry_after=answer.retry_after,
        response_body=_storable(delivery, answer),
    )


def _letter(now: datetime, delivery: Delivery, *others: Delivery) -> Webhook | Email:
    try:
        if delivery.channel == Delivery.Channel.WEBHOOK:
            return webhooks.webhook_of(delivery, now)
        if delivery.is_notice:
            return emails.notice_of(delivery)
        return emails.digest_of([delivery, *others]) if others else emails.email_of(delivery)
    except SealBroken as error:
        raise TransportError(f"The monitor's secrets cannot be read: {error}") from None


def _storable(delivery: Delivery, answer: Answer) -> str:
    return transports.without_secrets(answer, webhooks.secrets_of(delivery), HIDDEN) if answer.body else ""


# --- tests of a monitor -----------------------------------------------------------------------------------------------


def send_test(monitor: Monitor) -> Attempt:
    """Sends a marked test event at once, once, also for a monitor that is off (rule 7.13).

    Raises TestThrottled within 5 s of the last test, and TransportError if the monitor has no target or its template
    is unusable.
    """
    now = timezone.now()
    delivery = _new_test(monitor, now)
    return _finish_test(delivery, send(delivery))


def _new_test(monitor: Monitor, now: datetime) -> Delivery:
    if not monitor.target_path:
        raise TransportError("The monitor has no target URL; set one to test it.", permanent=True)
    try:
        body = bodies.body_of_test(monitor, now)
    except bodies.TemplateError as error:
        raise TransportError(f"The template {error}", permanent=True) from None
    with transaction.atomic():
        _refuse_if_just_tested(monitor, now)
        return Delivery.objects.create(
            channel=Delivery.Channel.WEBHOOK,
            monitor=monitor,
            recipient=monitor.target_path,
            subject="test",
            status=Status.SENDING,
            method=monitor.method,
            headers_sealed=monitor.header_map_sealed,
            body=body,
        )


def _refuse_if_just_tested(monitor: Monitor, now: datetime) -> None:
    """The lock makes a second click wait until the first one's test can be seen."""
    Monitor.objects.select_for_update().get(pk=monitor.pk)
    tests = Delivery.objects.filter(monitor=monitor, event=None, channel=Delivery.Channel.WEBHOOK)
    recent = tests.filter(created_at__gt=now - TEST_PAUSE).first()
    if recent:
        seconds = max(1, round((recent.created_at + TEST_PAUSE - now).total_seconds()))
        raise TestThrottled(f"This monitor was tested a moment ago; try again in {seconds} s.")


def _finish_test(delivery: Delivery, result: attempts.Result) -> Attempt:
    with transaction.atomic():
        Delivery.objects.filter(pk=delivery.pk).update(
            status=Status.FAILED if result.error else Status.DELIVERED,
            attempt_count=1,
            round_attempts=1,
            first_attempt_at=result.started_at,
            finished_at=result.ended_at,
        )
        return attempts.write_attempt(delivery, result)
