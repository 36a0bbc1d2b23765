"""Admin tokens: made, recognised, and never wider than who makes them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from organisations_app import audit
from organisations_app.audit import Actor
from organisations_app.models import AdminToken
from organisations_app.secret_texts import is_intact, keyed_digest, new_secret_text
from organisations_app.tenancy import organisations_for

PREFIX = "tgat_"
WRITABLE = (
    "organisations",
    "developers",
    "applications",
    "attributes",
    "apis",
    "policies",
    "keys",
    "monitors",
    "deliveries",
    "tokens",
)
READ_ONLY = ("events", "usage", "audit")
SCOPES = tuple(
    f"{resource}:{right}"
    for resource in WRITABLE + READ_ONLY
    for right in ("read", "write")
    if resource in WRITABLE or right == "read"
)
DEFAULT_LIFETIME = timedelta(days=365)
USE_IS_RECORDED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Reach:
    """What somebody may do: `organisation_id` None is every organisation, `expires_at` None never ends."""

    scopes: frozenset[str]
    organisation_id: str | None = None
    expires_at: datetime | None = None


EVERYTHING = Reach(frozenset(SCOPES))


# What a member of staff must be allowed to view or change for each resource.
MODELS = {
    "organisations": "organisations_app.{}_organisation",
    "developers": "organisations_app.{}_developer",
    "applications": "organisations_app.{}_application",
    "attributes": "organisations_app.{}_attributedefinition",
    "apis": "policies_app.{}_api",
    "policies": "policies_app.{}_policy",
    "keys": "sessions_app.{}_key",
    "monitors": "monitors_app.{}_monitor",
    "deliveries": "monitors_app.{}_delivery",
    "tokens": "organisations_app.{}_admintoken",
    "events": "monitors_app.{}_triggerevent",
    "usage": "sessions_app.{}_key",
    "audit": "organisations_app.{}_auditentry",
}
VERBS = {"read": "view", "write": "change"}


def reach_of_staff(user: Any, organisation_id: str | None = None) -> Reach:
    """What a member of staff may hand on, in this organisation if it is one of theirs."""
    scopes = frozenset(scope for scope in SCOPES if user.has_perm(_permission(scope)))
    organisations = organisations_for(user)
    if organisations is None:
        return Reach(scopes)
    mine = organisation_id if organisation_id in organisations else min(organisations, default="")
    return Reach(scopes, mine)


def _permission(scope: str) -> str:
    resource, _, right = scope.partition(":")
    return MODELS[resource].format(VERBS[right])


@transaction.atomic
def create_token(token: AdminToken, by: Actor, reach: Reach) -> str:
    """Saves a new token and returns its text: the only time that it is known. `reach` is its maker's.

    Raises ValidationError with messages by field for one that reaches further.
    """
    if errors := reach_errors(token, reach):
        raise ValidationError(errors)
    text = new_secret_text(PREFIX)
    token.scopes = sorted(set(token.scopes))
    token.digest, token.hint = _digests(text)[0], f"{PREFIX}…{text[-4:]}"
    token.created_by = by.name
    token.save()
    return text


def reach_errors(token: AdminToken, reach: Reach) -> dict[str, str]:
    """What is wrong with a new token's scopes, organisation and end, by field."""
    errors = {}
    if message := _scopes_error(token.scopes, reach.scopes):
        errors["scopes"] = message
    if reach.organisation_id is not None and token.organisation_id != reach.organisation_id:
        errors["organisation"] = f"must be {reach.organisation_id}: a token reaches no further than who makes it"
    if token.expires_at is not None and token.expires_at <= timezone.now():
        errors["expires_at"] = "must be in the future"
    elif reach.expires_at is not None and (token.expires_at is None or token.expires_at > reach.expires_at):
        errors["expires_at"] = f"must not be later than {reach.expires_at.isoformat()}, when your own token ends"
    return errors


def _scopes_error(scopes: Iterable[str], allowed: frozenset[str]) -> str:
    wanted = list(scopes)
    if not wanted:
        return f"must name at least one of {', '.join(SCOPES)}"
    if unknown := [scope for scope in wanted if scope not in SCOPES]:
        return f"{', '.join(unknown[:5])}: no such scope; known are {', '.join(SCOPES)}"
    if wider := [scope for scope in wanted if scope not in allowed]:
        return f"{', '.join(wider)}: your own token does not have this"
    return ""


def delete_token(token: AdminToken) -> None:
    """From the next request on it is not known."""
    token.delete()


def find_token(text: str) -> AdminToken | None:
    """The living token with this text; records its use, to the minute (so that not every request writes)."""
    if not is_intact(PREFIX, text):
        return None
    now = timezone.now()
    alive = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
    token = AdminToken.objects.filter(alive, digest__in=_digests(text)).first()
    if token is not None and (token.last_used_at is None or token.last_used_at <= now - USE_IS_RECORDED_EVERY):
        AdminToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


def subject_of(token: AdminToken) -> audit.Subject:
    return audit.Subject("token", str(token.pk), token.organisation_id or "")


def _digests(text: str) -> list[str]:
    """With the current pepper first, then with those that were replaced."""
    peppers = [settings.GATEWAY_KEY_PEPPER, *settings.GATEWAY_KEY_PEPPER_FALLBACKS]
    return [keyed_digest(pepper, text) for pepper in peppers]
