"""Drafts: session objects as somebody wants them, checked but not saved yet; and making or changing keys accordingly.

Both administration APIs and the import end here, so that a session object is written in one way only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction

from organisations_app.documents import refusal
from organisations_app.models import Organisation
from organisations_app.organisations import organisation_named
from organisations_app.tenancy import living
from policies_app.drafts import RightDraft, fill_limits, right_drafts
from policies_app.limits import Limits
from policies_app.models import Policy
from sessions_app import keys, new_keys
from sessions_app.models import Key, KeyAccess, OrgSession
from sessions_app.new_keys import NewKey


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


@dataclass(frozen=True, slots=True)
class WantedKey:
    """A key as somebody wants it. `token` is a custom one; None: it is made here."""

    session: SessionDraft
    application_id: int | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """By id, of what wanted keys refer to: their organisations with sessions, and those policies that exist."""

    organisations: Mapping[str, Organisation]
    policies: Mapping[str, Policy]


def create_keys(wanted: Sequence[WantedKey], known: Known | None = None) -> list[tuple[NewKey, str]]:
    """New keys with what was saved with them, and their raw secrets. `known` is what was read already; without it,
    organisations that do not exist are made.

    To be called in a transaction, for the sake of these. Raises RowErrors; then no key is saved.
    """
    known = known or Known(_organisations(wanted), read_policies(wanted))
    new = [_new_key(each, known.organisations[each.session.organisation_id]) for each in wanted]
    return list(zip(new, new_keys.create_keys(new, known.policies), strict=True))


def create_key(draft: SessionDraft, token: str | None = None, *, application_id: int | None = None) -> tuple[Key, str]:
    """As create_keys, of one. Raises DocumentError or ValidationError."""
    with new_keys.row_of_its_own():
        [(new, raw)] = create_keys([WantedKey(draft, application_id, token)])
    return new.key, raw


def _new_key(wanted: WantedKey, organisation: Organisation) -> NewKey:
    draft = wanted.session
    key = Key(organisation=organisation, application_id=wanted.application_id)
    fill_key(key, draft)
    return NewKey(key, key_access(draft.rights), tuple(dict.fromkeys(draft.policies)), wanted.token)


def _organisations(wanted: Iterable[WantedKey]) -> dict[str, Organisation]:
    """With their sessions; those that do not exist are made."""
    ids = {each.session.organisation_id for each in wanted}
    found = new_keys.read_all(Organisation.objects.living().select_related("session"), ids)
    return {each: found.get(each) or organisation_named(each) for each in ids}


def read_policies(wanted: Iterable[WantedKey]) -> dict[str, Policy]:
    """Those that the drafts name, by id, as far as they exist and are not being deleted."""
    named = {policy for each in wanted for policy in each.session.policies}
    return new_keys.read_all(living(Policy.objects.all()), named)


@transaction.atomic
def change_key(key: Key, draft: SessionDraft) -> None:
    """Makes a key as the draft says, in its organisation.

    Raises DocumentError or ValidationError; then nothing is changed.
    """
    if draft.organisation_id != key.organisation_id:
        raise refusal("/org_id", f"must stay {key.organisation_id}: a key cannot move to another organisation", "fixed")
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


def key_draft(key: Key, access: Iterable[KeyAccess], policies: Iterable[str]) -> SessionDraft:
    """What is stored, as the draft that would make it. `policies` are the ids of those applied, in order."""
    return SessionDraft(
        alias=key.alias,
        rights=right_drafts(access),
        policies=tuple(policies),
        expires_at=key.expires_at,
        **_common(key),
    )


def org_session_draft(session: OrgSession) -> SessionDraft:
    """What is stored, as the draft that would make it."""
    return SessionDraft(**_common(session))


def _common(session: Key | OrgSession) -> dict[str, Any]:
    return {
        "organisation_id": session.organisation_id,
        "limits": session.limits(),
        "trigger_limits": tuple(session.trigger_limits),
        "is_inactive": session.is_inactive,
        "meta_data": session.meta_data,
        "tags": tuple(session.tags),
        "extra": session.extra,
    }


def fill_key(key: Key, draft: SessionDraft) -> None:
    fill_limits(key, draft.limits)
    key.alias, key.is_inactive, key.expires_at = draft.alias, draft.is_inactive, draft.expires_at
    key.trigger_limits, key.tags = list(draft.trigger_limits), list(draft.tags)
    key.meta_data, key.extra = dict(draft.meta_data), dict(draft.extra)


def key_access(rights: Sequence[RightDraft]) -> list[KeyAccess]:
    return [KeyAccess(**right.values()) for right in rights]
