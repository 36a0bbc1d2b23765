"""Delivering: claim, send, record. The network is never touched inside a transaction (rules 7.9, 7.10, 9.5)."""

import logging
import time
from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.utils import timezone

from monitors_app import attempts, bodies, claims, emails, transports, webhooks
from monitors_app.audience import listens
from monitors_app.models import Attempt, Delivery, Monitor
from monitors_app.transports import Answer, Email, TransportError, Webhook
from monitors_app.wakeups import wake, wake_notice
from organisations_app.sealing import SealBroken

logger = logging.getLogger(__name__)

Status = Delivery.Status
TEST_PAUSE = timedelta(seconds=5)
HIDDEN = "[hidden]"


class TestThrottled(Exception):
    """A monitor was tested a moment ago; the message says how long to wait."""

    __test__ = False


def deliver(delivery_id: int) -> None:
    """One attempt of one delivery, if it is due and nobody else is at it."""
    now = timezone.now()
    delivery = claims.claim(delivery_id, now)
    if delivery is None:
        return
    if not _still_wanted(delivery):
        claims.still_ours(delivery).update(
            status=Status.CANCELLED, claimed_until=None, next_attempt_at=None, finished_at=now
        )
        _go_on(delivery)
    elif until := claims.held_until(delivery, now):
        claims.release(delivery, until)
        wake(delivery.pk, delivery.channel, (until - now).total_seconds())
    else:
        _attempt(delivery)


def sweep() -> int:
    """Wakes deliveries that are due and whose wake-up call was lost, or whose worker died. Returns how many."""
    found = claims.take_due(timezone.now())
    for delivery_id, channel in found:
        wake(delivery_id, channel)
    return len(found)


def redeliver(delivery: Delivery) -> bool:
    """Starts a finished delivery anew, with the same `webhook-id` and the whole retry schedule.

    False if it is still open.
    """
    finished = Delivery.objects.filter(pk=delivery.pk, event__isnull=False).exclude(status__in=claims.OPEN)
    asked = finished.update(
        status=Status.PENDING, round_attempts=0, next_attempt_at=timezone.now(), claimed_until=None, finished_at=None
    )
    if asked:
        transaction.on_commit(partial(wake, delivery.pk, delivery.channel))
    return bool(asked)


def _still_wanted(delivery: Delivery) -> bool:
    if delivery.channel == Delivery.Channel.WEBHOOK:
        return delivery.monitor is not None and delivery.monitor.is_enabled
    return delivery.developer is not None and listens(delivery.developer)


def _attempt(delivery: Delivery) -> None:
    result = send(delivery)
    outcome = attempts.record(delivery, result)
    if outcome is None:
        logger.warning("another worker took over a delivery while it was sent", extra={"delivery": delivery.pk})
        return
    if outcome.wait_seconds is not None:
        wake(delivery.pk, delivery.channel, outcome.wait_seconds)
    if outcome.switched_off and delivery.monitor_id:
        wake_notice(delivery.monitor_id)
    _go_on(delivery)


def _go_on(delivery: Delivery) -> None:
    """What waited for this attempt to be over: erasing the key, and the next delivery about the same subject."""
    if delivery.event_id:
        attempts.erase_key(delivery.event_id)
    following = claims.next_in_line(delivery) if delivery.attempt_count == 0 else None
    if following and delivery.monitor:
        wake(following.pk, following.channel, delivery.monitor.event_timeout)


def send(delivery: Delivery) -> attempts.Result:
    """Sends a claimed delivery over its channel. Never raises for what a receiver does."""
    started_at, clock = timezone.now(), time.monotonic()
    error: TransportError | None = None
    try:
        answer = transports.send(_letter(delivery, started_at))
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


def _letter(delivery: Delivery, now: datetime) -> Webhook | Email:
    try:
        return (
            webhooks.webhook_of(delivery, now)
            if delivery.channel == Delivery.Channel.WEBHOOK
            else emails.email_of(delivery)
        )
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
    recent = Delivery.objects.filter(monitor=monitor, event=None, created_at__gt=now - TEST_PAUSE).first()
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
