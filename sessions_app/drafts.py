"""Drafts: session objects as somebody wants them, checked but not saved yet; and making or changing keys accordingly.

Both administration APIs and the import end here, so that a session object is written in one way only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction

from organisations_app.documents import refusal
from organisations_app.organisations import organisation_named
from policies_app.drafts import RightDraft, fill_limits
from policies_app.limits import Limits
from policies_app.models import Policy
from sessions_app import keys
from sessions_app.models import Key, KeyAccess, OrgSession


@dataclass(frozen=True, slots=True)
class SessionDraft:
    """The session object of a key or organisation. `policies` are ids, in order; `expires_at` None never expires."""

    organisation_id: str
    alias: str = ""
    limits: Limits = field(default_factory=Limits)
    trigger_limits: tuple[float, ...] = ()
    rights: tuple[RightDraft, ...] = ()
    policies: tuple[str, ...] = ()
    is_inactive: bool = False
    expires_at: datetime | None = None
    meta_data: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_access(self) -> bool:
        """A key that opens nothing is refused (rule 3.6: there are no master keys)."""
        return bool(self.rights or self.policies)


@transaction.atomic
def create_key(draft: SessionDraft, token: str | None = None, *, application_id: int | None = None) -> tuple[Key, str]:
    """A new key and its raw secret: `token`, or one made here.

    Raises DocumentError or ValidationError; then nothing is saved.
    """
    check_policies(draft.policies)
    key = Key(organisation=organisation_named(draft.organisation_id), application_id=application_id)
    fill_key(key, draft)
    raw = keys.create_key(key, access=key_access(draft.rights), policies=list(draft.policies), token=token)
    return key, raw


@transaction.atomic
def change_key(key: Key, draft: SessionDraft) -> None:
    """Makes a key as the draft says, in its organisation.

    Raises DocumentError or ValidationError; then nothing is changed.
    """
    if draft.organisation_id != key.organisation_id:
        raise refusal("/org_id", f"must stay {key.organisation_id}: a key cannot move to another organisation", "fixed")
    if list(draft.policies) != list(key.key_policies.values_list("policy_id", flat=True)):
        check_policies(draft.policies)
    fill_key(key, draft)
    keys.save_key(key, access=key_access(draft.rights), policies=list(draft.policies))


@transaction.atomic
def save_org_session(draft: SessionDraft) -> OrgSession:
    """Makes or changes an organisation's session object. Usage is not touched. Raises ValidationError."""
    organisation = organisation_named(draft.organisation_id)
    session = OrgSession.objects.filter(organisation=organisation).first() or OrgSession(organisation=organisation)
    fill_limits(session, draft.limits)
    session.trigger_limits, session.tags = list(draft.trigger_limits), list(draft.tags)
    session.meta_data, session.extra = dict(draft.meta_data), dict(draft.extra)
    session.is_inactive = draft.is_inactive
    keys.save_org_session(session)
    return session


def fill_key(key: Key, draft: SessionDraft) -> None:
    fill_limits(key, draft.limits)
    key.alias, key.is_inactive, key.expires_at = draft.alias, draft.is_inactive, draft.expires_at
    key.trigger_limits, key.tags = list(draft.trigger_limits), list(draft.tags)
    key.meta_data, key.extra = dict(draft.meta_data), dict(draft.extra)


def key_access(rights: Sequence[RightDraft]) -> list[KeyAccess]:
    return [KeyAccess(**right.values()) for right in rights]


def check_policies(policy_ids: Sequence[str]) -> None:
    """An unknown policy among several is skipped, but unknown ones alone give no access (rule 3.6).

    Raises DocumentError.
    """
    if policy_ids and not Policy.objects.filter(pk__in=policy_ids).exists():
        raise refusal("/apply_policies", f"names no policy that exists: {', '.join(policy_ids[:5])}", "unknown_policy")
