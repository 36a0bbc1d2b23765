"""What developers want to hear by e-mail, and the link that says so without a login (rule 7.12, RFC 8058)."""

from django.conf import settings
from django.core import signing
from django.urls import reverse

from monitors_app.models import EmailPreference
from organisations_app.models import Developer

# The token says who, and nothing else: it never ends, because old e-mails must keep working.
_SALT = "monitors_app.unsubscribe"


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


def thresholds_of(developer: Developer) -> str:
    """immediate or off."""
    preference = EmailPreference.objects.filter(developer=developer).first()
    return preference.thresholds if preference else EmailPreference.Thresholds.IMMEDIATE


def set_thresholds(developer: Developer, choice: str) -> None:
    """Effective at once, also for e-mails that wait for a retry.

    Raises ValueError for anything but immediate or off.
    """
    if choice not in EmailPreference.Thresholds.values:
        raise ValueError(f"thresholds must be one of {', '.join(EmailPreference.Thresholds.values)}, not {choice!r}")
    EmailPreference.objects.update_or_create(developer=developer, defaults={"thresholds": choice})
