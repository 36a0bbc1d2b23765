"""The ledger: each crossing is recorded exactly once, with everything that will be sent about it (rules 7.3, 7.4).

What is sent is frozen here: target, method, headers and body of each webhook, and the recipient of each e-mail.
"""

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from monitors_app import bodies, preferences
from monitors_app.audience import Audience, audience_of
from monitors_app.models import Delivery, Monitor, TriggerEvent
from monitors_app.targets import target_of
from organisations_app.models import Developer
from sessions_app.engine.types import Crossing

logger = logging.getLogger(__name__)

# Another relay may record the same entries at the same moment; then we look again and find them there.
MAX_TRIES = 5
LONGEST_ALIAS = 200


def record(crossings: Sequence[Crossing]) -> list[Delivery]:
    """Records these crossings, oldest first, in one transaction. Returns the new deliveries; known crossings add none.

    Raises KeyError or ValueError for a crossing that makes no sense, and whatever the database raises; nothing is
    recorded then.
    """
    events = [event_of(crossing) for crossing in crossings]
    for attempt in range(1, MAX_TRIES + 1):
        try:
            return _record_new(events)
        except IntegrityError:
            if attempt == MAX_TRIES:
                raise
    return []


def event_of(crossing: Crossing) -> TriggerEvent:
    """The ledger's row for a crossing, not saved. Raises KeyError or ValueError if its context cannot be read."""
    context = json.loads(crossing.context)
    is_key = crossing.kind == TriggerEvent.Kind.KEY
    if not is_key and crossing.kind != TriggerEvent.Kind.ORGANISATION:
        raise ValueError(f"{crossing.kind!r} is no kind of event")
    return TriggerEvent(
        kind=crossing.kind,
        counter=crossing.counter,
        period_start_ms=crossing.period_start_ms,
        period_end_ms=crossing.period_end_ms or None,
        source=crossing.source,
        threshold=crossing.threshold,
        is_own=crossing.own,
        used=crossing.used,
        quota_max=crossing.quota_max,
        occurred_at=datetime.fromtimestamp(crossing.occurred_at_ms / 1000, UTC),
        organisation_id=str(context["org"]),
        api_id=str(context.get("api", "")),
        **(_key_of(context) if is_key else {}),
    )


def _key_of(context: dict[str, Any]) -> dict[str, str]:
    return {
        "key_id": str(context["key"]),
        "alias": str(context.get("alias", ""))[:LONGEST_ALIAS],
        "key_hint": str(context.get("hint", "")),
        "key_digest": str(context.get("digest", "")),
        "key_sealed": str(context.get("sealed", "")),
    }


def _record_new(events: Sequence[TriggerEvent]) -> list[Delivery]:
    with transaction.atomic():
        new = _unrecorded(events)
        if not new:
            return []
        audience = audience_of(new)
        monitors = [audience.monitors_of(event) for event in new]
        for event, told in zip(new, monitors, strict=True):
            _prepare(event, told)
        TriggerEvent.objects.bulk_create(new)
        deliveries = [_deliveries(event, told, audience) for event, told in zip(new, monitors, strict=True)]
        return Delivery.objects.bulk_create(chain.from_iterable(deliveries))


def _prepare(event: TriggerEvent, monitors: Sequence[Monitor]) -> None:
    """The encrypted key is kept only where a webhook will need it. A row of a try that failed is a new one again."""
    event.pk = None
    if not any(monitor.target_path for monitor in monitors):
        event.key_sealed = ""


def _unrecorded(events: Sequence[TriggerEvent]) -> list[TriggerEvent]:
    """Those that the ledger does not have yet, each once, in the order in which they first came: a counter that was
    lost and restored fires once more, perhaps after later ones.
    """
    counters = {event.counter for event in events}
    starts = {event.period_start_ms for event in events}
    recorded = TriggerEvent.objects.filter(counter__in=counters, period_start_ms__in=starts)
    known = set(recorded.values_list("counter", "period_start_ms", "source", "threshold"))
    new: dict[tuple[str, int, str, str], TriggerEvent] = {}
    for event in events:
        if _identity(event) not in known:
            new.setdefault(_identity(event), event)
    return list(new.values())


def _identity(event: TriggerEvent) -> tuple[str, int, str, str]:
    return event.counter, event.period_start_ms, event.source, event.threshold


def _deliveries(event: TriggerEvent, monitors: Sequence[Monitor], audience: Audience) -> list[Delivery]:
    """E-mails go out only when a monitor wants the event: switching monitors off silences everything."""
    now = timezone.now()
    webhooks = [webhook_delivery(monitor, event, now) for monitor in monitors if monitor.target_path]
    developers = audience.developers_of(event) if monitors else []
    return webhooks + [email_delivery(developer, event, now) for developer in developers]


def webhook_delivery(monitor: Monitor, event: TriggerEvent, now: datetime) -> Delivery:
    return Delivery(
        event=event,
        channel=Delivery.Channel.WEBHOOK,
        monitor=monitor,
        recipient=monitor.target_path,
        target=target_of(monitor.target_path),
        subject=event.key_id or event.organisation_id,
        method=monitor.method,
        headers_sealed=monitor.header_map_sealed,
        body=_body(monitor, event),
        next_attempt_at=now,
    )


def email_delivery(developer: Developer, event: TriggerEvent, now: datetime) -> Delivery:
    return Delivery(
        event=event,
        channel=Delivery.Channel.EMAIL,
        developer=developer,
        recipient=developer.user.email,
        subject=event.key_id or event.organisation_id,
        in_digest=preferences.wants_digest(developer),
        next_attempt_at=preferences.mail_at(developer, now),
    )


def _body(monitor: Monitor, event: TriggerEvent) -> str:
    """A template that was fine when it was saved but is not any more must not lose the event: the default body goes
    out.
    """
    try:
        return bodies.body_of(monitor, event)
    except bodies.TemplateError as error:
        logger.error(
            "monitor template cannot be used, sending the default body",
            extra={"monitor": monitor.pk, "problem": str(error)},
        )
        return bodies.render(bodies.parse(bodies.DEFAULT_TEMPLATE), bodies.values_of(event))
