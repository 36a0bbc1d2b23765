"""What an attempt came to: delivered, tried again later, given up, or the monitor switched off (rule 7.10)."""

from collections.abc import Iterable, Sequence
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


Sent = tuple[Delivery, Result]


def record(answered: Sequence[Sent], outcome: Outcome | None = None) -> list[Outcome | None]:
    """Writes these attempts and their consequences in one transaction; returns what was decided for each.

    `outcome` is what was decided for all of one digest, so that they stay together. None stands for a delivery whose
    claim was lost: another worker decides.
    """
    with transaction.atomic():
        off = _switched_off(answered)
        decided = [outcome or outcome_of(each, result, each.monitor_id in off) for each, result in answered]
        outcomes = [_settle(*sent, each) for sent, each in zip(answered, decided, strict=True)]
        ours = [sent for sent, settled in zip(answered, outcomes, strict=True) if settled]
        write_attempts(ours)
        _remember_paces(ours)
        _count_for_monitors([sent for sent in ours if sent[0].channel == Delivery.Channel.WEBHOOK])
        for delivery, result in ours:
            if delivery.developer is not None and result.permanent and result.status_code:
                refuse_address(delivery.developer, delivery.recipient)
    return outcomes


def _settle(delivery: Delivery, result: Result, outcome: Outcome) -> Outcome | None:
    return outcome if claims.still_ours(delivery).update(**_changes(delivery, result, outcome)) else None


def write_attempts(answered: Sequence[Sent]) -> list[Attempt]:
    return Attempt.objects.bulk_create(
        Attempt(
            delivery=delivery,
            number=delivery.attempt_count + 1,
            started_at=result.started_at,
            duration_ms=result.duration_ms,
            status_code=result.status_code,
            error=result.error[:500],
            response_body=result.response_body,
        )
        for delivery, result in answered
    )


def erase_keys(deliveries: Iterable[Delivery]) -> None:
    """Erases the encrypted keys of these deliveries' events when nothing is left to deliver of them.

    After the commit: the last of several to finish sees it.
    """
    events = {each.event.pk for each in deliveries if each.event and each.event.key_sealed}
    if events:
        unfinished = Delivery.objects.filter(event=OuterRef("pk"), status__in=claims.OPEN)
        TriggerEvent.objects.filter(~Exists(unfinished), pk__in=events).exclude(key_sealed="").update(key_sealed="")


def outcome_of(delivery: Delivery, result: Result, was_switched_off: bool = False) -> Outcome:
    if not result.error:
        return Outcome(Status.DELIVERED)
    if was_switched_off:
        return Outcome(Status.CANCELLED)
    tried = delivery.round_attempts + 1
    wait = None if result.permanent else retries.wait_seconds(tried, result.retry_after, result.ended_at)
    return Outcome(Status.FAILED) if wait is None else Outcome(Status.PENDING, wait)


def _switched_off(answered: Sequence[Sent]) -> set[int]:
    """Monitors that were, while we sent for them in vain."""
    webhooks = [sent for sent in answered if sent[0].channel == Delivery.Channel.WEBHOOK]
    failed = {delivery.monitor.pk for delivery, result in webhooks if result.error and delivery.monitor}
    on = Monitor.objects.filter(pk__in=failed, is_enabled=True).values_list("pk", flat=True) if failed else ()
    return failed.difference(on)


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


def _remember_paces(answered: Sequence[Sent]) -> None:
    """The end of the attempt counts: the receiver saw it then at the latest, so the next one cannot come too early."""
    paces = [
        Pacing(monitor=delivery.monitor, subject=delivery.subject, last_first_attempt_at=result.ended_at)
        for delivery, result in answered
        if delivery.monitor and delivery.monitor.event_timeout > 0 and _begins_pace(delivery)
    ]
    if paces:
        Pacing.objects.bulk_create(
            paces, update_conflicts=True, unique_fields=["monitor", "subject"], update_fields=["last_first_attempt_at"]
        )


def _begins_pace(delivery: Delivery) -> bool:
    return delivery.channel == Delivery.Channel.WEBHOOK and delivery.attempt_count == 0


def _count_for_monitors(answered: Sequence[Sent]) -> None:
    """In the order of their ids: two workers must not wait for each other."""
    monitors = {delivery.monitor.pk: delivery.monitor for delivery, _ in answered if delivery.monitor}
    for pk in sorted(monitors):
        _count(monitors[pk], [result for delivery, result in answered if delivery.monitor_id == pk])


def _count(monitor: Monitor, results: Sequence[Result]) -> None:
    """Failures in a row, and what they lead to. One success among answers of the same moment ends the row."""
    row, failures = Monitor.objects.filter(pk=monitor.pk), [result for result in results if result.error]
    if any(result.status_code == GONE for result in failures):
        switch_off(monitor.pk, "The receiver answered 410 Gone: it wants no more webhooks.")
    if len(failures) < len(results):
        # As it was when we claimed: a failure that came meanwhile is forgotten by the next success.
        if monitor.failures_in_row:
            row.update(failures_in_row=0, failing_since=None)
        return
    last = failures[-1]
    row.update(
        failures_in_row=F("failures_in_row") + len(failures),
        failing_since=Coalesce("failing_since", Value(failures[0].started_at)),
    )
    since = last.ended_at - MAX_FAILING
    if row.filter(failures_in_row__gte=MAX_FAILURES_IN_ROW, failing_since__lte=since).exists():
        switch_off(monitor.pk, f"Every attempt failed for {MAX_FAILING.days} days, the last one with: {last.error}")
