"""What an attempt came to: delivered, tried again later, given up, or the monitor switched off (rule 7.10)."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Value
from django.db.models.functions import Coalesce

from monitors_app import claims, retries
from monitors_app.models import Attempt, Delivery, Monitor, Pacing, TriggerEvent
from monitors_app.monitors import switch_off
from monitors_app.preferences import refuse_address

Status = Delivery.Status
MAX_FAILURES_IN_ROW = 10
MAX_FAILING = timedelta(days=5)
GONE = 410


@dataclass(frozen=True, slots=True)
class Result:
    """One finished attempt. `error` is empty if the letter was taken; `permanent` says that trying again is useless."""

    started_at: datetime
    duration_ms: int
    status_code: int | None = None
    error: str = ""
    permanent: bool = False
    retry_after: str = ""
    response_body: str = ""

    @property
    def ended_at(self) -> datetime:
        return self.started_at + timedelta(milliseconds=self.duration_ms)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was decided. `wait_seconds` is set if it is tried again."""

    status: str
    wait_seconds: float | None = None


def record(delivery: Delivery, result: Result, outcome: Outcome | None = None) -> Outcome | None:
    """Writes the attempt and its consequences in one transaction.

    `outcome` is what was decided for the others of the same digest, so that they stay together. None if the claim was
    lost: then another worker decides.
    """
    is_webhook = delivery.channel == Delivery.Channel.WEBHOOK
    with transaction.atomic():
        outcome = outcome or _outcome(delivery, result)
        if not claims.still_ours(delivery).update(**_changes(delivery, result, outcome)):
            return None
        write_attempt(delivery, result)
        if is_webhook and delivery.attempt_count == 0 and delivery.monitor is not None:
            _remember_pace(delivery.monitor, delivery.subject, result)
        if is_webhook and delivery.monitor is not None:
            _count_for_monitor(delivery.monitor, result)
        elif delivery.developer is not None and result.permanent and result.status_code:
            refuse_address(delivery.developer, delivery.recipient)
    return outcome


def write_attempt(delivery: Delivery, result: Result) -> Attempt:
    return Attempt.objects.create(
        delivery=delivery,
        number=delivery.attempt_count + 1,
        started_at=result.started_at,
        duration_ms=result.duration_ms,
        status_code=result.status_code,
        error=result.error[:500],
        response_body=result.response_body,
    )


def erase_key(event_id: int) -> None:
    """Erases an event's encrypted key when nothing is left to deliver.

    After the commit: the last of several to finish sees it.
    """
    unfinished = Delivery.objects.filter(event=OuterRef("pk"), status__in=claims.OPEN)
    TriggerEvent.objects.filter(~Exists(unfinished), pk=event_id).exclude(key_sealed="").update(key_sealed="")


def _outcome(delivery: Delivery, result: Result) -> Outcome:
    if not result.error:
        return Outcome(Status.DELIVERED)
    if _was_switched_off(delivery):
        return Outcome(Status.CANCELLED)
    tried = delivery.round_attempts + 1
    wait = None if result.permanent else retries.wait_seconds(tried, result.retry_after, result.ended_at)
    return Outcome(Status.FAILED) if wait is None else Outcome(Status.PENDING, wait)


def _was_switched_off(delivery: Delivery) -> bool:
    """While we were sending."""
    if delivery.channel != Delivery.Channel.WEBHOOK or not delivery.monitor_id:
        return False
    return not Monitor.objects.filter(pk=delivery.monitor_id, is_enabled=True).exists()


def _changes(delivery: Delivery, result: Result, outcome: Outcome) -> dict[str, object]:
    finished = outcome.wait_seconds is None
    return {
        "status": outcome.status,
        "claimed_until": None,
        "attempt_count": delivery.attempt_count + 1,
        "round_attempts": delivery.round_attempts + 1,
        "first_attempt_at": delivery.first_attempt_at or result.started_at,
        "next_attempt_at": None if finished else result.ended_at + timedelta(seconds=outcome.wait_seconds or 0),
        "finished_at": result.ended_at if finished else None,
    }


def _remember_pace(monitor: Monitor, subject: str, result: Result) -> None:
    """The end of the attempt counts: the receiver saw it then at the latest, so the next one cannot come too early."""
    if monitor.event_timeout > 0:
        pace = Pacing(monitor=monitor, subject=subject, last_first_attempt_at=result.ended_at)
        Pacing.objects.bulk_create(
            [pace], update_conflicts=True, unique_fields=["monitor", "subject"], update_fields=["last_first_attempt_at"]
        )


def _count_for_monitor(monitor: Monitor, result: Result) -> None:
    """Failures in a row, and what they lead to."""
    row = Monitor.objects.filter(pk=monitor.pk)
    if not result.error:
        # As it was when we claimed: a failure that came meanwhile is forgotten by the next success.
        if monitor.failures_in_row:
            row.update(failures_in_row=0, failing_since=None)
        return
    row.update(
        failures_in_row=F("failures_in_row") + 1, failing_since=Coalesce("failing_since", Value(result.started_at))
    )
    if result.status_code == GONE:
        switch_off(monitor.pk, "The receiver answered 410 Gone: it wants no more webhooks.")
        return
    since = result.ended_at - MAX_FAILING
    if row.filter(failures_in_row__gte=MAX_FAILURES_IN_ROW, failing_since__lte=since).exists():
        switch_off(monitor.pk, f"Every attempt failed for {MAX_FAILING.days} days, the last one with: {result.error}")
