"""Custody of keys and organisation sessions: what people and programs do with them, each act with its audit entry.

The one way for both administration APIs; act and entry are one transaction.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from organisations_app import audit
from organisations_app.audit import Act, Actor, Subject
from policies_app.models import Policy
from sessions_app import drafts, keys
from sessions_app.documents import new_documents, stored_documents
from sessions_app.drafts import Known, SessionDraft, WantedKey
from sessions_app.models import Key, OrgSession
from sessions_app.new_keys import NewKey, row_of_its_own
from sessions_app.tyk import org_session_to_tyk


def create_keys(wanted: Sequence[WantedKey], by: Actor, known: Known | None = None) -> list[tuple[NewKey, str]]:
    """As drafts.create_keys. What it raises undoes the surrounding transaction, too: a savepoint would cost as much as
    writing a key's policies.
    """
    with transaction.atomic(savepoint=False):
        made = drafts.create_keys(wanted, known)
        documents = new_documents([new for new, _ in made])
        audit.record_all(by, [Act("create", subject_of(new.key), after=documents[new.key.pk]) for new, _ in made])
    return made


def create_key(
    draft: SessionDraft, by: Actor, token: str | None = None, *, application_id: int | None = None
) -> tuple[Key, str]:
    """As drafts.create_key."""
    with row_of_its_own():
        [(new, raw)] = create_keys([WantedKey(draft, application_id, token)], by)
    return new.key, raw


@transaction.atomic
def change_key(key: Key, draft: SessionDraft, by: Actor) -> None:
    """As drafts.change_key; the entry has the members that differ."""
    with _audited(key, "change", by):
        drafts.change_key(key, draft)


@transaction.atomic
def put_key(draft: SessionDraft, token: str, by: Actor) -> tuple[Key, bool]:
    """The key that `token` opens, as the draft says; made if there is none. Answers the key and whether it existed.

    In another organisation it is another key: counters and history stay with the old one, which ends.
    """
    existing = keys.find_by_token(token)
    if existing is not None and existing.organisation_id == draft.organisation_id:
        change_key(existing, draft, by)
        return existing, True
    if existing is not None:
        delete_key(existing, by)
    return create_key(draft, by, token)[0], False


@transaction.atomic
def rotate_key(key: Key, overlap_seconds: int, by: Actor, reason: str = "") -> str:
    """As keys.rotate_key."""
    before = [credential.hint for credential in key.credentials.all()]
    token = keys.rotate_key(key, overlap_seconds)
    after = {"overlap_seconds": overlap_seconds, "credentials": [each.hint for each in key.credentials.all()]}
    audit.record(by, "rotate", subject_of(key), reason, before={"credentials": before}, after=after)
    return token


@transaction.atomic
def revoke_key(key: Key, by: Actor, reason: str = "") -> None:
    """As keys.revoke_key. Repeating it changes nothing and leaves no second entry."""
    was_revoked = key.revoked_at is not None
    keys.revoke_key(key)
    if not was_revoked and key.revoked_at is not None:
        audit.record(by, "revoke", subject_of(key), reason, after={"revoked_at": key.revoked_at.isoformat()})


@transaction.atomic
def set_inactive(key: Key, inactive: bool, by: Actor, reason: str = "") -> None:
    """Blocks or unblocks a key. One that is so already is left alone, without an entry."""
    if key.is_inactive != inactive:
        with _audited(key, "block" if inactive else "unblock", by, reason):
            key.is_inactive = inactive
            keys.save_key(key)


@transaction.atomic
def extend_key(key: Key, by_time: timedelta, by: Actor, reason: str = "") -> datetime:
    """Lets a key that expires, or has expired, work longer: from its end, or from now if that is past. Returns the new
    end. Raises ValidationError.
    """
    if key.revoked_at is not None:
        raise ValidationError("A revoked key cannot be extended; make a new one.")
    if key.expires_at is None:
        raise ValidationError("The key never expires: there is nothing to extend.")
    with _audited(key, "extend", by, reason):
        key.expires_at = max(timezone.now(), key.expires_at) + by_time
        keys.save_key(key)
    return key.expires_at


@transaction.atomic
def assign_policy(key: Key, policy_id: str, by: Actor, reason: str = "", *, alone: bool = False) -> None:
    """Applies a policy after those that the key has, or `alone` instead of them. Raises ValidationError."""
    if not Policy.objects.filter(pk=policy_id).exists():
        raise ValidationError(f"There is no policy {policy_id}.")
    applied = list(key.key_policies.order_by("position", "id").values_list("policy_id", flat=True))
    wanted = [policy_id] if alone else list(dict.fromkeys([*applied, policy_id]))
    if wanted != applied:
        with _audited(key, "assign-policy", by, reason):
            keys.save_key(key, policies=wanted)


@contextmanager
def _audited(key: Key, action: str, by: Actor, reason: str = "") -> Iterator[None]:
    """Leaves an entry with the members that differ afterwards."""
    before = stored_documents([key])[key.pk]
    yield
    was, became = audit.difference(before, stored_documents([key])[key.pk])
    audit.record(by, action, subject_of(key), reason, before=was, after=became)


@transaction.atomic
def delete_key(key: Key, by: Actor, reason: str = "") -> None:
    """As keys.delete_key."""
    audit.record(by, "delete", subject_of(key), reason, before=stored_documents([key])[key.pk])
    keys.delete_key(key)


@transaction.atomic
def save_org_session(draft: SessionDraft, by: Actor) -> OrgSession:
    """As drafts.save_org_session."""
    stored = OrgSession.objects.filter(organisation=draft.organisation_id).first()
    before = org_session_to_tyk(stored) if stored else {}
    session = drafts.save_org_session(draft)
    was, became = audit.difference(before, org_session_to_tyk(session))
    audit.record(by, "change" if stored else "create", session_subject_of(session), before=was, after=became)
    return session


@transaction.atomic
def delete_org_session(session: OrgSession, by: Actor) -> None:
    """As keys.delete_org_session."""
    audit.record(by, "delete", session_subject_of(session), before=org_session_to_tyk(session))
    keys.delete_org_session(session)


def subject_of(key: Key) -> Subject:
    """As the audit names a key."""
    return Subject("key", key.pk, key.organisation_id)


def session_subject_of(session: OrgSession) -> Subject:
    return Subject("session", session.organisation_id, session.organisation_id)
