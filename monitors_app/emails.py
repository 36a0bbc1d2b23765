"""E-mails about thresholds, and the notice of a monitor's end: in text and HTML, keys masked (rules 7.10, 7.12)."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from django.conf import settings
from django.template.loader import render_to_string

from monitors_app.bodies import usage_percent
from monitors_app.models import Delivery, TriggerEvent
from monitors_app.preferences import unsubscribe_url
from monitors_app.transports import Email, TransportError
from organisations_app.models import Developer, Organisation

LONGEST_NAME = 80
LONGEST_DIGEST = 100


def email_of(delivery: Delivery) -> Email:
    """The e-mail of a delivery; expects `event` and `developer` with user and organisation. Equal over all attempts."""
    event, developer = delivery.event, delivery.developer
    if event is None or developer is None:
        raise TransportError("The event or the developer is gone.", permanent=True)
    facts = facts_of(event, developer.organisation)
    return _written(delivery, developer, "threshold", str(facts["headline"]), facts)


def digest_of(deliveries: Sequence[Delivery]) -> Email:
    """One e-mail for all deliveries of a developer's digest, oldest first; the first gives it its message id."""
    first, developer = deliveries[0], deliveries[0].developer
    events = [delivery.event for delivery in deliveries if delivery.event]
    if developer is None or not events:
        raise TransportError("The events or the developer are gone.", permanent=True)
    organisation = developer.organisation
    headline = f"{len(events)} quota thresholds reached: {one_line(organisation.name)}"
    facts = {
        "headline": headline,
        "organisation": organisation,
        "events": [facts_of(event, organisation) for event in events[:LONGEST_DIGEST]],
        "left_out": max(0, len(events) - LONGEST_DIGEST),
    }
    return _written(first, developer, "digest", headline, facts)


def _written(
    delivery: Delivery, developer: Developer, template: str, headline: str, facts: Mapping[str, object]
) -> Email:
    unsubscribe = unsubscribe_url(developer)
    context = {**facts, "unsubscribe_url": unsubscribe, "portal_url": f"{settings.GATEWAY_PUBLIC_URL}/portal/"}
    return Email(
        to=delivery.recipient,
        subject=headline,
        text=render_to_string(f"monitors/email/{template}.txt", context).strip() + "\n",
        html=render_to_string(f"monitors/email/{template}.html", context),
        headers={
            **_headers(delivery),
            "List-Unsubscribe": f"<{unsubscribe}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
    )


def _headers(delivery: Delivery) -> dict[str, str]:
    """One id over all attempts, and a plea to automatic replies to stay quiet (RFC 3834)."""
    return {
        "Message-ID": f"<{delivery.message_id}@{urlsplit(settings.GATEWAY_PUBLIC_URL).hostname}>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
    }


def facts_of(event: TriggerEvent, organisation: Organisation) -> dict[str, object]:
    """What the templates say about an event. Times are the organisation's, with their offset and zone."""
    percent = usage_percent(event.used, event.quota_max)
    is_key = event.kind == TriggerEvent.Kind.KEY
    name = one_line((event.alias or event.key_hint or event.key_id) if is_key else organisation.name)
    used_up = event.used >= event.quota_max
    return {
        "headline": f"Quota used up: {name}" if used_up else f"{percent} % of quota used: {name}",
        "name": name,
        "is_key": is_key,
        "key_hint": event.key_hint,
        "organisation": organisation,
        "threshold": event.threshold,
        "percent": percent,
        "bar_percent": max(2, min(100, round(float(percent)))),
        "used_up": used_up,
        "used": event.used,
        "quota_max": event.quota_max,
        "remaining": max(0, event.quota_max - event.used),
        "renews": in_zone(event.period_end_ms, organisation.timezone) if event.period_end_ms else "",
        "occurred": in_zone(round(event.occurred_at.timestamp() * 1000), organisation.timezone),
    }


def in_zone(unix_ms: int, zone: str) -> str:
    """`2026-03-04 14:05 +01:00 (Europe/Berlin)`: understood in every language."""
    local = datetime.fromtimestamp(unix_ms / 1000, UTC).astimezone(ZoneInfo(zone))
    offset = local.strftime("%z")
    return f"{local:%Y-%m-%d %H:%M} {offset[:3]}:{offset[3:5]} ({zone})"


def one_line(text: str) -> str:
    """Names come from people: no line break gets into a subject, and none is endless."""
    flat = " ".join(text.split())
    return flat if len(flat) <= LONGEST_NAME else flat[: LONGEST_NAME - 1] + "…"


def notice_of(delivery: Delivery) -> Email:
    """Says that a monitor was switched off, and why."""
    monitor = delivery.monitor
    if monitor is None:
        raise TransportError("The monitor is gone.", permanent=True)
    headline = f"Monitor switched off: {one_line(monitor.name)}"
    context = {"headline": headline, "monitor": monitor, "admin_url": f"{settings.GATEWAY_PUBLIC_URL}/admin/"}
    return Email(
        to=delivery.recipient,
        subject=headline,
        text=render_to_string("monitors/email/switched_off.txt", context).strip() + "\n",
        html=render_to_string("monitors/email/switched_off.html", context),
        headers=_headers(delivery),
    )
