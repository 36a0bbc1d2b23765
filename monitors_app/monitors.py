"""Monitors: checked and sealed on the way in, masked on the way out, switched off when nobody listens."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from monitors_app import bodies, notices, signing
from monitors_app.models import Delivery, Monitor
from monitors_app.targets import target_path_error
from organisations_app import erasure, organisations, sealing, versions
from organisations_app.audit import Actor
from organisations_app.documents import brief, is_number
from organisations_app.models import Job

ERASE = "erase-monitor"
# Stands for a stored secret wherever one is read; written back, it keeps what is stored (rule 7.8).
MASK = "••••••"
GATEWAY_NAME = "Gateway"
METHODS = tuple(Monitor.Method.values)
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# They belong to the connection or to the signature.
REFUSED_HEADERS = (
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
)
REFUSED_HEADER_PREFIXES = ("webhook-", "proxy-")
MAX_HEADERS = 50
MAX_HEADER_LENGTH = 8_000
MAX_EVENT_TIMEOUT_SECONDS = 10**9
SECRET_OVERLAP_SECONDS = 24 * 3600
MAX_SECRET_OVERLAP_SECONDS = 30 * 24 * 3600


def gateway_monitor() -> Monitor:
    """The gateway's own monitor, in the shape of Tyk's `monitor` section; made on first use, switched off."""
    monitor, _ = Monitor.objects.get_or_create(is_gateway=True, defaults={"name": GATEWAY_NAME, "is_enabled": False})
    return monitor


def save_monitor(
    monitor: Monitor, *, header_map: Mapping[str, Any] | None = None, signing_secret: str | None = None
) -> str | None:
    """Checks and saves; effective with the next request.

    Returns a signing secret if one was generated: it is shown only now. `header_map` and `signing_secret` None, or
    MASK in them, keep what is stored. Switching a monitor on forgets its failures; switching it off cancels what is
    still to be sent. Raises ValidationError with messages by field.
    """
    if errors := monitor_errors(monitor) | secret_errors(monitor, header_map, signing_secret):
        raise ValidationError(errors)
    with transaction.atomic():
        organisations.check_open(monitor)
        if erasure.is_being_erased(ERASE, monitor.pk):
            raise ValidationError(f"{monitor} is being deleted, and cannot be changed any more.")
        _take_over_failures(monitor)
        if header_map is not None:
            monitor.header_map_sealed = _sealed_headers(unmasked(monitor, header_map))
        generated = _settle_secret(monitor, signing_secret)
        monitor.save()
        if not monitor.is_enabled:
            cancel_pending(monitor.pk)
        versions.bump(versions.GATEWAY)
    return generated


def delete_monitor(monitor: Monitor, by: Actor, reason: str = "") -> Job | None:
    """Deletes a monitor with its deliveries. One that has more of them than a request can erase is switched off, and
    erased by a job, which is answered, unless there is one already.

    Raises ValidationError for the gateway's own monitor, which can only be switched off.
    """
    if monitor.is_gateway:
        raise ValidationError("The gateway's own monitor cannot be deleted; switch it off.")
    job = None
    with transaction.atomic():
        locked = Monitor.objects.select_for_update().filter(pk=monitor.pk).first()
        if locked is not None and erasure.owns_much(locked):
            locked.is_enabled = False
            locked.save(update_fields=["is_enabled"])
            job = erasure.erase_later(ERASE, monitor, by, reason)
        else:
            monitor.delete()
        versions.bump(versions.GATEWAY)
    return job


def register_erasure() -> None:
    erasure.register(ERASE, "Monitor deleted", Monitor, _finish_erasure)


def _finish_erasure(job: Job) -> bool:
    """A lot of the job that erases a monitor, which is off: it needs no new version."""
    return erasure.erase_lot(Monitor.objects.filter(pk=job.given["row"]), job)


def switch_off(monitor_id: int, reason: str) -> bool:
    """Disables a monitor whose receiver is gone, cancels what waits for it and tells its owner (rule 7.10).

    False if it was off already.
    """
    with transaction.atomic():
        was_on = Monitor.objects.filter(pk=monitor_id, is_enabled=True).update(
            is_enabled=False, disabled_reason=reason[:300]
        )
        if was_on:
            cancel_pending(monitor_id)
            notices.announce_end(monitor_id)
            versions.bump(versions.GATEWAY)
    return bool(was_on)


def fall_silent(organisation_id: str) -> None:
    """Of an organisation that is closed, in the transaction that closes it: neither its monitors nor its developers are
    sent anything more, beside what is on its way.
    """
    Monitor.objects.filter(organisation=organisation_id).update(is_enabled=False)
    _cancel(Delivery.objects.filter(monitor__organisation=organisation_id))
    _cancel(Delivery.objects.filter(developer__organisation=organisation_id))


def cancel_pending(monitor_id: int) -> None:
    _cancel(Delivery.objects.filter(monitor=monitor_id, channel=Delivery.Channel.WEBHOOK))


def _cancel(deliveries: QuerySet[Delivery]) -> None:
    """Those of them that wait."""
    waiting = deliveries.filter(status=Delivery.Status.PENDING, finished_at=None)
    waiting.update(status=Delivery.Status.CANCELLED, next_attempt_at=None, finished_at=timezone.now())


def _take_over_failures(monitor: Monitor) -> None:
    """What deliveries wrote meanwhile is kept; a monitor that is switched on starts anew."""
    stored = Monitor.objects.select_for_update().filter(pk=monitor.pk).first() if monitor.pk else None
    if stored is None:
        return
    starts_anew = monitor.is_enabled and not stored.is_enabled
    monitor.failures_in_row = 0 if starts_anew else stored.failures_in_row
    monitor.failing_since = None if starts_anew else stored.failing_since
    monitor.disabled_reason = "" if monitor.is_enabled else stored.disabled_reason


def rotate_secret(monitor: Monitor, overlap_seconds: int = SECRET_OVERLAP_SECONDS) -> str:
    """Makes a new signing secret and returns it: it is shown only now.

    While the old one overlaps (0..MAX_SECRET_OVERLAP_SECONDS), webhooks carry both signatures, so that the receiver can
    change over without losing one. The secret before the old one ends now. Raises ValidationError.
    """
    if not 0 <= overlap_seconds <= MAX_SECRET_OVERLAP_SECONDS:
        allowed = f"a number of seconds from 0 to {MAX_SECRET_OVERLAP_SECONDS}"
        raise ValidationError({"overlap_seconds": f"must be {allowed}, not {overlap_seconds}"})
    generated, until = signing.new_secret(), timezone.now() + timedelta(seconds=overlap_seconds)
    with transaction.atomic():
        stored = Monitor.objects.select_for_update().get(pk=monitor.pk)
        stored.previous_secret_sealed = stored.signing_secret_sealed if overlap_seconds else ""
        stored.previous_secret_until = until if stored.previous_secret_sealed else None
        stored.signing_secret_sealed = sealing.seal(generated)
        stored.save(update_fields=["previous_secret_sealed", "previous_secret_until", "signing_secret_sealed"])
    for name in ("previous_secret_sealed", "previous_secret_until", "signing_secret_sealed"):
        setattr(monitor, name, getattr(stored, name))
    return generated


def signing_secrets(monitor: Monitor, now: datetime) -> list[str]:
    """The secrets that a webhook is signed with at this moment, the newest first. Raises SealBroken."""
    sealed = [monitor.signing_secret_sealed]
    if monitor.previous_secret_until and now < monitor.previous_secret_until:
        sealed.append(monitor.previous_secret_sealed)
    return [sealing.unseal(each) for each in sealed if each]


def _settle_secret(monitor: Monitor, written: str | None) -> str | None:
    """A secret that somebody writes replaces all others at once: the receiver has it already."""
    if written and written != MASK:
        monitor.signing_secret_sealed = sealing.seal(written)
        monitor.previous_secret_sealed, monitor.previous_secret_until = "", None
    if monitor.signing_secret_sealed:
        return None
    generated = signing.new_secret()
    monitor.signing_secret_sealed = sealing.seal(generated)
    return generated


# --- headers ----------------------------------------------------------------------------------------------------------


def header_map(monitor: Monitor) -> dict[str, str]:
    """The stored headers in clear: for sending only. Raises SealBroken."""
    return headers_of(monitor.header_map_sealed)


def headers_of(sealed: str) -> dict[str, str]:
    """Headers as `header_map_sealed` and a delivery's `headers_sealed` hold them. Raises SealBroken."""
    return dict(json.loads(sealing.unseal(sealed) or "{}"))


def masked_header_map(monitor: Monitor) -> dict[str, str]:
    """The stored headers for every reader: names, and MASK for each value.

    Headers that cannot be read any more are left out.
    """
    try:
        return dict.fromkeys(header_map(monitor), MASK)
    except sealing.SealBroken:
        return {}


def unmasked(monitor: Monitor, written: Mapping[str, Any]) -> dict[str, Any]:
    """The written headers with each MASK replaced by what is stored under that name; unknown ones keep the mask."""
    if MASK not in written.values():
        return dict(written)
    stored = {name.lower(): value for name, value in _readable_headers(monitor).items()}
    return {name: stored.get(name.lower(), value) if value == MASK else value for name, value in written.items()}


def _readable_headers(monitor: Monitor) -> dict[str, str]:
    try:
        return header_map(monitor)
    except sealing.SealBroken:
        return {}


def _sealed_headers(headers: Mapping[str, Any]) -> str:
    return sealing.seal(json.dumps(dict(headers))) if headers else ""


# --- validation -------------------------------------------------------------------------------------------------------


def monitor_errors(monitor: Monitor) -> dict[str, str]:
    """What is wrong with a monitor's fields, by field name; each message says what is allowed (rules 7.2, 7.7 to
    7.9).
    """
    return {
        name: message for name, check in CHECKS.items() if (message := check(getattr(monitor, name)))
    } | _template_errors(monitor)


def secret_errors(monitor: Monitor, written_headers: Any, signing_secret: Any) -> dict[str, str]:
    """What is wrong with the two secrets as they were written, masks included."""
    errors = {}
    if written_headers is not None and (message := header_map_error(written_headers, monitor)):
        errors["header_map"] = message
    if signing_secret and signing_secret != MASK and (message := signing.secret_error(signing_secret)):
        errors["signing_secret"] = message
    return errors


def header_map_error(headers: Any, monitor: Monitor) -> str:
    if not isinstance(headers, Mapping):
        return f"must be an object of header names and texts, not {brief(headers)}"
    if len(headers) > MAX_HEADERS:
        return f"must have at most {MAX_HEADERS} headers, not {len(headers)}"
    if len({str(name).lower() for name in headers}) < len(headers):
        return "names a header twice; upper and lower case do not count"
    for name, value in unmasked(monitor, headers).items():
        if message := _header_error(name, value):
            return message
    return ""


def _header_error(name: Any, value: Any) -> str:
    if not isinstance(name, str) or not HEADER_NAME.fullmatch(name) or len(name) > 200:
        return f"{brief(name)} is no header name; use letters, digits and hyphens"
    if name.lower() in REFUSED_HEADERS or name.lower().startswith(REFUSED_HEADER_PREFIXES):
        return f"{name} cannot be set; the gateway sets it itself"
    if not isinstance(value, str) or len(value) > MAX_HEADER_LENGTH:
        return f"{name} must be a text of at most {MAX_HEADER_LENGTH} characters"
    if any(sign != "\t" and not sign.isprintable() for sign in value):
        return f"{name} has a line break or another control character in its value"
    return f"{name} has no stored value that the mask could keep; write the value" if value == MASK else ""


def _template_errors(monitor: Monitor) -> dict[str, str]:
    for name in ("template", "template_path"):
        if not isinstance(getattr(monitor, name), str):
            return {name: f"must be a text, not {brief(getattr(monitor, name))}"}
    if len(monitor.template_path) > 300:
        return {"template_path": "must have at most 300 characters"}
    errors = {}
    for name, fields in (("template", (monitor.template, "")), ("template_path", ("", monitor.template_path))):
        try:
            bodies.template_of(*fields)
        except bodies.TemplateError as error:
            errors[name] = str(error)
    return errors


def _number(low: float, high: float, what: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        return "" if is_number(value) and low <= value <= high else f"must be {what}, not {brief(value)}"

    return check


def _choice(*allowed: str) -> Callable[[Any], str]:
    return lambda value: "" if value in allowed else f"must be one of {', '.join(allowed)}, not {brief(value)}"


def _switch(value: Any) -> str:
    return "" if isinstance(value, bool) else f"must be true or false, not {brief(value)}"


def _name(value: Any) -> str:
    return (
        ""
        if isinstance(value, str) and value.strip() and len(value) <= 200
        else "must be a text of 1 to 200 characters"
    )


CHECKS: dict[str, Callable[[Any], str]] = {
    "name": _name,
    "is_enabled": _switch,
    "method": _choice(*METHODS),
    "target_path": target_path_error,
    "event_timeout": _number(0, MAX_EVENT_TIMEOUT_SECONDS, "a number of seconds from 0"),
    "global_trigger_limit": _number(0, 100, "0 for none, or a percentage above 0 and at most 100"),
    "monitor_user_keys": _switch,
    "monitor_org_keys": _switch,
    "key_format": _choice(*Monitor.KeyFormat.values),
}
