"""What developers want to hear by e-mail, and when; and the link that says so without a login (rule 7.12, RFC 8058)."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core import signing
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from monitors_app.models import Delivery, EmailPreference
from organisations_app.models import Developer

# The token says who, and nothing else: it never ends, because old e-mails must keep working.
_SALT = "monitors_app.unsubscribe"
Thresholds = EmailPreference.Thresholds


def unsubscribe_url(developer: Developer) -> str:
    token = signing.dumps(developer.pk, salt=_SALT)
    return settings.GATEWAY_PUBLIC_URL + reverse("monitors:unsubscribe", args=[token])


def developer_of(token: str) -> Developer | None:
    """The developer of an unsubscribe link; None if the link is not ours or the developer is gone."""
    try:
        developer_id = signing.loads(token, salt=_SALT)
    except signing.BadSignature:
        return None
    return Developer.objects.select_related("user", "organisation").filter(pk=developer_id).first()


def preference_of(developer: Developer) -> EmailPreference:
    """The stored one, or the default, not saved."""
    return EmailPreference.objects.filter(developer=developer).first() or EmailPreference(developer=developer)


def thresholds_of(developer: Developer) -> str:
    """immediate, digest or off."""
    return preference_of(developer).thresholds


def set_thresholds(developer: Developer, choice: str, digest_at: time | None = None) -> None:
    """Effective at once, also for e-mails that wait; None keeps the time of the digest.

    Forgets that the mail server refused the address: whoever chooses wants to be asked again. Raises ValueError for
    anything but immediate, digest or off.
    """
    if choice not in Thresholds.values:
        raise ValueError(f"thresholds must be one of {', '.join(Thresholds.values)}, not {choice!r}")
    changes: dict[str, Any] = {"thresholds": choice, "refused_address": ""}
    if digest_at is not None:
        changes["digest_at"] = digest_at
    with transaction.atomic():
        developer.email_preference, _ = EmailPreference.objects.update_or_create(developer=developer, defaults=changes)
        waiting = Delivery.objects.filter(developer=developer, in_digest=True, status=Delivery.Status.PENDING)
        waiting.filter(attempt_count=0).update(next_attempt_at=mail_at(developer, timezone.now()))


def refuse_address(developer: Developer, address: str) -> None:
    """The mail server refused this address for good: mailing it again would only harm the sender's name."""
    EmailPreference.objects.update_or_create(developer=developer, defaults={"refused_address": address})


# --- the daily digest -------------------------------------------------------------------------------------------------


def wants_digest(developer: Developer) -> bool:
    """Expects `email_preference` to be selected."""
    preference = getattr(developer, "email_preference", None)
    return preference is not None and preference.thresholds == Thresholds.DIGEST


def mail_at(developer: Developer, now: datetime) -> datetime:
    """When an e-mail of now goes out: at once, or at the developer's next hour in the organisation's zone."""
    if not wants_digest(developer):
        return now
    return next_digest(now, developer.email_preference.digest_at, ZoneInfo(developer.organisation.timezone))


def next_digest(now: datetime, at: time, zone: ZoneInfo) -> datetime:
    """The next moment after `now` at which clocks in this zone show `at`; in a gap of summer time, the hour after."""
    today = now.astimezone(zone).date()
    at_today, at_tomorrow = (
        datetime.combine(today + timedelta(days=days), at, zone).astimezone(UTC) for days in (0, 1)
    )
    return at_today if at_today > now else at_tomorrow
