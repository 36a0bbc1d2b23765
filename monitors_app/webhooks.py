"""From a stored delivery to the request that leaves: key, Standard Webhooks headers, signature (rules 7.6, 7.8)."""

import html
import json
import logging
from datetime import datetime
from urllib.parse import quote, quote_plus

from django.conf import settings

from monitors_app import bodies, signing
from monitors_app.models import Delivery, Monitor, TriggerEvent
from monitors_app.monitors import headers_of, signing_secrets
from monitors_app.transports import Webhook
from organisations_app import sealing

logger = logging.getLogger(__name__)

MIN_SECRET_LENGTH = 4


def webhook_of(delivery: Delivery, now: datetime) -> Webhook:
    """The request of this attempt; body and `webhook-id` are equal over all attempts. Raises SealBroken."""
    body = bodies.with_key(delivery.body, key_shown(delivery))
    timestamp = int(now.timestamp())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"Tollgate/{settings.GATEWAY_VERSION}",
        "Accept-Encoding": "identity",
    }
    headers = _merged(headers, headers_of(delivery.headers_sealed))
    headers |= {"webhook-id": delivery.message_id, "webhook-timestamp": str(timestamp)}
    if delivery.monitor and (secrets := signing_secrets(delivery.monitor, now)):
        signatures = (signing.signature(secret, delivery.message_id, timestamp, body) for secret in secrets)
        headers["webhook-signature"] = " ".join(signatures)
    return Webhook(delivery.method, delivery.recipient, headers, body)


def _merged(defaults: dict[str, str], configured: dict[str, str]) -> dict[str, str]:
    """A configured header replaces the default of the same name, however it is written."""
    taken = {name.lower() for name in configured}
    return {name: value for name, value in defaults.items() if name.lower() not in taken} | configured


def key_shown(delivery: Delivery) -> str:
    """The key as this monitor wants it. A raw key that is erased, or cannot be unsealed any more, is masked."""
    event, monitor = delivery.event, delivery.monitor
    if event is None or event.kind != TriggerEvent.Kind.KEY:
        return ""
    match monitor.key_format if monitor else Monitor.KeyFormat.MASKED:
        case Monitor.KeyFormat.HASH:
            return event.key_digest
        case Monitor.KeyFormat.ID:
            return event.key_id
        case Monitor.KeyFormat.RAW:
            return _raw_key(event) or event.key_hint
        case _:
            return event.key_hint


def sends_masked_key(delivery: Delivery) -> bool:
    """Whether the monitor wants the raw key, but it is erased: what is sent now has it masked (rule 7.6)."""
    event, monitor = delivery.event, delivery.monitor
    wants_raw = monitor is not None and monitor.key_format == Monitor.KeyFormat.RAW
    return wants_raw and event is not None and event.kind == TriggerEvent.Kind.KEY and not event.key_sealed


def _raw_key(event: TriggerEvent) -> str:
    try:
        return sealing.unseal(event.key_sealed)
    except sealing.SealBroken:
        logger.error("the key of an event cannot be read, sending it masked", extra={"event_id": event.pk})
        return ""


def secrets_of(delivery: Delivery) -> list[str]:
    """What a receiver may echo but nobody may store: the raw key in its usual spellings, and the headers' values."""
    key = _raw_key(delivery.event) if delivery.event else ""
    try:
        values = list(headers_of(delivery.headers_sealed).values())
    except sealing.SealBroken:
        values = []
    as_json = (json.dumps(key)[1:-1], json.dumps(key, ensure_ascii=False)[1:-1])
    spellings = (key, *as_json, html.escape(key), quote(key, safe=""), quote_plus(key))
    found = {text for text in (*spellings, *values) if len(text) >= MIN_SECRET_LENGTH or (text and text == key)}
    return sorted(found, key=len, reverse=True)
