"""Custody of keys and organisation sessions: what people and programs do with them, each act with its audit entry.

The one way for both administration APIs; act and entry are one transaction.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

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
from sessions_app.terms import applied_to
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
    with _audited([key], "change", by):
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


def revoke_key(key: Key, by: Actor, reason: str = "") -> None:
    """As revoke_keys, of one."""
    revoke_keys([key], by, reason)


@transaction.atomic
def revoke_keys(several: Sequence[Key], by: Actor, reason: str = "") -> None:
    """As keys.revoke_keys. Repeating it changes nothing and leaves no second entry."""
    living = [key for key in several if key.revoked_at is None]
    keys.revoke_keys(several)
    ends = {key: key.revoked_at.isoformat() for key in living if key.revoked_at}
    audit.record_all(by, [Act("revoke", subject_of(key), reason, after={"revoked_at": ends[key]}) for key in living])


@transaction.atomic
def set_inactive(several: Sequence[Key], inactive: bool, by: Actor, reason: str = "") -> None:
    """Blocks or unblocks keys. Those that are so already are left alone, without an entry."""
    changed = [key for key in several if key.is_inactive != inactive]
    with _audited(changed, "block" if inactive else "unblock", by, reason):
        for key in changed:
            key.is_inactive = inactive
        keys.save_fields(changed, "is_inactive")


def check_extendable(key: Key) -> None:
    """Raises ValidationError."""
    if key.revoked_at is not None:
        raise ValidationError("A revoked key cannot be extended; make a new one.")
    if key.expires_at is None:
        raise ValidationError("The key never expires: there is nothing to extend.")


@transaction.atomic
def extend_keys(several: Sequence[Key], by_time: timedelta, by: Actor, reason: str = "") -> None:
    """Lets keys that expire, or have expired, work longer: from their end, or from now if that is past. To be checked
    before.
    """
    now = timezone.now()
    with _audited(several, "extend", by, reason):
        for key in several:
            key.expires_at = max(now, key.expires_at or now) + by_time
        keys.save_fields(several, "expires_at")


@transaction.atomic
def assign_policy(several: Sequence[Key], policy_id: str, by: Actor, reason: str = "", *, alone: bool = False) -> None:
    """Applies a policy after those that the keys have, or `alone` instead of them. Raises ValidationError."""
    if not Policy.objects.filter(pk=policy_id).exists():
        raise ValidationError(f"There is no policy {policy_id}.")
    applied = applied_to([key.pk for key in several])
    wanted = {key: [policy_id] if alone else list(dict.fromkeys([*applied[key.pk], policy_id])) for key in several}
    changed = {key: ids for key, ids in wanted.items() if ids != applied[key.pk]}
    with _audited(list(changed), "assign-policy", by, reason):
        keys.replace_policies(changed)


@contextmanager
def _audited(several: Sequence[Key], action: str, by: Actor, reason: str = "") -> Iterator[None]:
    """Leaves an entry for each with the members that differ afterwards."""
    before = stored_documents(several)
    yield
    after = stored_documents(several)
    differences = {key: audit.difference(before[key.pk], after[key.pk]) for key in several}
    acts = [Act(action, subject_of(key), reason, was, became) for key, (was, became) in differences.items()]
    audit.record_all(by, acts)


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
