"""Delivering: claim, send, record. The network is never touched inside a transaction (rules 7.9, 7.10, 9.5)."""

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from monitors_app import attempts, bodies, claims, rounds, sending
from monitors_app.attempts import Outcome, Sent
from monitors_app.audience import listens
from monitors_app.models import Attempt, Delivery, Monitor
from monitors_app.transports import TransportError
from monitors_app.wakeups import wake

logger = logging.getLogger(__name__)

Channel = Delivery.Channel
Status = Delivery.Status
# How long a worker stays with one target before it looks at what else waits.
STINT_SECONDS = 1.0
# How many deliveries are claimed at a time for a target that answers. What a killed worker had claimed waits for the
# end of the claim, and what it had sent is sent again.
BATCH = 20
# How long answers are collected before they are recorded together.
LINGER_SECONDS = 0.1
# How long a worker's thread waits for a target that is silent.
PATIENCE_SECONDS = 0.3
TEST_PAUSE = timedelta(seconds=5)


class TestThrottled(Exception):
    """A monitor was tested a moment ago; the message says how long to wait."""

    __test__ = False


def deliver(delivery_id: int) -> None:
    """Delivers what is due to this delivery's target, for a short stint, if nobody else is at it; of e-mails, this one.

    Deliveries to a busy target are not queued with the others': whoever is at it goes on with them.
    """
    found = Delivery.objects.filter(pk=delivery_id).values_list("channel", "target").first()
    channel, target = found or ("", "")
    if channel == Channel.WEBHOOK:
        _work_for(target)
    elif channel == Channel.EMAIL:
        _mail(claims.claim_email(delivery_id, timezone.now()))


def _mail(together: Sequence[Delivery]) -> None:
    if wanted := _wanted(together):
        result = sending.send(*wanted)
        outcome = attempts.outcome_of(wanted[0], result)
        _record([(each, result) for each in wanted], outcome)


def _work_for(target: str) -> None:
    """Begins with as many as can be sent at once, and takes more at a time while the target answers."""
    ends, at_most = time.monotonic() + STINT_SECONDS, None
    while True:
        batch = claims.claim_for(target, timezone.now(), at_most)
        if not batch.deliveries:
            return
        is_quick = _send(_due(_wanted(batch.deliveries)), batch.places)
        at_most = BATCH if is_quick else None
        if time.monotonic() >= ends:
            _pass_on(target)
            return


def _pass_on(target: str) -> None:
    """Everybody gets a turn: the rest of a long queue lines up behind the others' deliveries."""
    if waiting := claims.due_to(target, timezone.now()).values_list("pk", flat=True).first():
        wake(waiting, Channel.WEBHOOK)


def _wanted(claimed: Sequence[Delivery]) -> list[Delivery]:
    """Without those that nobody wants any more: they are cancelled."""
    unwanted = [each for each in claimed if not _is_wanted(each)]
    if unwanted:
        claims.cancel(unwanted, timezone.now())
        attempts.erase_keys(unwanted)
    return [each for each in claimed if each not in unwanted]


def _is_wanted(delivery: Delivery) -> bool:
    if delivery.is_notice:
        return delivery.monitor is not None and not delivery.monitor.is_enabled
    if delivery.channel == Channel.WEBHOOK:
        return delivery.monitor is not None and delivery.monitor.is_enabled
    return delivery.developer is not None and listens(delivery.developer)


def _due(claimed: Sequence[Delivery]) -> list[Delivery]:
    """Without those that `event_timeout` still holds: they wait."""
    now = timezone.now()
    held = claims.held_until(claimed, now)
    for each in claimed:
        if until := held.get(each.pk):
            claims.hold(each, until)
            wake(each.pk, each.channel, (until - now).total_seconds())
    return [each for each in claimed if each.pk not in held]


def _send(claimed: Sequence[Delivery], places: int) -> bool:
    """Sends webhooks and records the answers as they come; False if the target keeps us waiting and was left.

    Until it answers, others use our database connection. Inside somebody's transaction there are no others.
    """
    under_way = rounds.Round(claimed, places, sending.post, _take_late)
    try:
        is_over = _record_as_they_come(under_way)
    finally:
        not_begun = under_way.rest()  # whatever happened: nothing is sent that nobody would record
    # Given back before the last answers are recorded: a 410 among them cancels what waits.
    claims.release(not_begun)
    _record(under_way.take())
    return is_over


def _record_as_they_come(under_way: rounds.Round) -> bool:
    """Until the round is over, or the target was silent for too long and could be left (False)."""
    silent_since, may_leave = time.monotonic(), not connection.in_atomic_block
    while not under_way.wait(LINGER_SECONDS):
        if answered := under_way.take():
            silent_since = time.monotonic()
            _record(answered)
        elif may_leave:
            connection.close()
            if time.monotonic() - silent_since >= PATIENCE_SECONDS:
                claims.release(under_way.rest())
                if under_way.leave():
                    return False
    return True


def _take_late(sent: Sent) -> None:
    """A place is free again, and perhaps nobody is at this target any more."""
    _record([sent])
    _pass_on(sent[0].target)


def _record(answered: Sequence[Sent], outcome: Outcome | None = None) -> None:
    """`outcome` is what was decided for all of a digest together; its first wakes the others."""
    outcomes = attempts.record(answered, outcome) if answered else []
    for (delivery, _), decided in zip(answered, outcomes, strict=True):
        if decided is None:
            logger.warning("another worker took over a delivery while it was sent", extra={"delivery": delivery.pk})
        elif decided.wait_seconds is not None and (outcome is None or delivery is answered[0][0]):
            wake(delivery.pk, delivery.channel, decided.wait_seconds)
    attempts.erase_keys([delivery for delivery, _ in answered])


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


# --- tests of a monitor -----------------------------------------------------------------------------------------------


def send_test(monitor: Monitor) -> Attempt:
    """Sends a marked test event at once, once, also for a monitor that is off (rule 7.13).

    Raises TestThrottled within 5 s of the last test, and TransportError if the monitor has no target or its template
    is unusable.
    """
    now = timezone.now()
    delivery = _new_test(monitor, now)
    return _finish_test(delivery, sending.send(delivery))


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
        return attempts.write_attempts([(delivery, result)])[0]
