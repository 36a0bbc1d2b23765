"""Custody of keys and organisation sessions: what people and programs do with them, each act with its audit entry.

The one way for both administration APIs; act and entry are one transaction.
"""

from django.db import transaction

from organisations_app import audit
from organisations_app.audit import Actor, Subject
from sessions_app import drafts, keys
from sessions_app.documents import stored_documents
from sessions_app.drafts import SessionDraft
from sessions_app.models import Key, OrgSession
from sessions_app.tyk import org_session_to_tyk


@transaction.atomic
def create_key(
    draft: SessionDraft, by: Actor, token: str | None = None, *, application_id: int | None = None
) -> tuple[Key, str]:
    """As drafts.create_key."""
    key, raw = drafts.create_key(draft, token, application_id=application_id)
    audit.record(by, "create", subject_of(key), after=stored_documents([key])[key.pk])
    return key, raw


@transaction.atomic
def change_key(key: Key, draft: SessionDraft, by: Actor) -> None:
    """As drafts.change_key; the entry has the members that differ."""
    before = stored_documents([key])[key.pk]
    drafts.change_key(key, draft)
    was, became = audit.difference(before, stored_documents([key])[key.pk])
    audit.record(by, "change", subject_of(key), before=was, after=became)


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
