"""Keys and organisation sessions: making, changing, rotating and revoking them. Each change is one transaction and
holds from
the next request on (rule 1.5)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from organisations_app import versions
from sessions_app import tokens
from sessions_app.models import CounterShare, Credential, Key, KeyAccess, KeyPolicy, OrgSession
from sessions_app.new_keys import NewKey, applied_policies, create_keys, row_of_its_own


def create_key(
    key: Key, *, access: Iterable[KeyAccess] = (), policies: Sequence[str] = (), token: str | None = None
) -> str:
    """As create_keys, of one. Raises ValidationError."""
    with row_of_its_own():
        [raw] = create_keys([NewKey(key, tuple(access), policies, token)])
    return raw


@transaction.atomic
def save_key(key: Key, *, access: Iterable[KeyAccess] | None = None, policies: Sequence[str] | None = None) -> None:
    """Saves a key; `access` and `policies` (ids in order), if given, replace what it had. Usage is not touched (rule
    2.9).
    """
    key.clean()
    key.save()
    if access is not None:
        replace_access(key, list(access))
    if policies is not None:
        key.key_policies.all().delete()
        KeyPolicy.objects.bulk_create(applied_policies(key, policies))
    mark_changed(key)


def replace_access(key: Key, access: list[KeyAccess]) -> None:
    for right in access:
        right.key = key
        right.clean()
    key.access.all().delete()
    KeyAccess.objects.bulk_create(access)


@transaction.atomic
def save_fields(several: Sequence[Key], *names: str) -> None:
    """Saves these fields alone, of all in two statements."""
    now = timezone.now()
    for key in several:
        key.updated_at = now
    Key.objects.bulk_update(several, [*names, "updated_at"])
    mark_changed(*several)


@transaction.atomic
def replace_policies(wanted: Mapping[Key, Sequence[str]]) -> None:
    """Makes these the policies (ids in order) of each key, in four statements."""
    KeyPolicy.objects.filter(key__in=list(wanted)).delete()
    KeyPolicy.objects.bulk_create([row for key, ids in wanted.items() for row in applied_policies(key, ids)])
    save_fields(list(wanted))


def mark_changed(*several: Key) -> None:
    """Makes changes of these keys, their rights, policies or credentials effective."""
    versions.bump(*(versions.key_scope(key.organisation_id, key.pk) for key in several))


@transaction.atomic
def rotate_key(key: Key, overlap_seconds: int = 0) -> str:
    """Gives the key a new secret and returns it; older ones work for `overlap_seconds` more. Counters stay."""
    if overlap_seconds < 0:
        raise ValidationError({"overlap_seconds": "must be 0 or more seconds"})
    if key.revoked_at is not None:
        raise ValidationError({"key": "A revoked key cannot be rotated; make a new one."})
    end = timezone.now() + timedelta(seconds=overlap_seconds)
    key.credentials.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=end)).update(expires_at=end)
    token = tokens.new_token()
    key.credentials.create(digest=tokens.digest(token), pepper=tokens.pepper_mark(), hint=tokens.hint(token))
    mark_changed(key)
    return token


def revoke_key(key: Key) -> None:
    """As revoke_keys, of one."""
    revoke_keys([key])


@transaction.atomic
def revoke_keys(several: Sequence[Key]) -> None:
    """From the next request on nobody knows these keys (`unknown_key`); their history stays."""
    living = [key for key in several if key.revoked_at is None]
    for key in living:
        key.revoked_at = timezone.now()
    save_fields(living, "revoked_at")
    mark_changed(*(key for key in several if key not in living))


@transaction.atomic
def delete_key(key: Key) -> None:
    mark_changed(key)
    CounterShare.objects.filter(key=key).delete()
    key.delete()


def find_credential(token: str, organisation_id: str = "") -> Credential | None:
    """The credential with this raw key, also one that has ended.

    With an organisation, `token` may be a custom id of Tyk's, which stands for a longer token there.
    """
    found = _find(token, organisation_id)
    return found[0] if found else None


def recognise(token: str, organisation_id: str = "") -> Credential | None:
    """As find_credential, of a token that a caller sent: one that was stored under an older pepper, or by the hash that
    it came with from Tyk, moves to the current digest, so that the older pepper is needed no longer.
    """
    found = _find(token, organisation_id)
    if found is None:
        return None
    credential, raw = found
    if credential.digest != tokens.digest(raw):
        credential.digest, credential.pepper, credential.hint = (
            tokens.digest(raw),
            tokens.pepper_mark(),
            tokens.hint(raw),
        )
        credential.save(update_fields=["digest", "pepper", "hint"])
    return credential


def _find(token: str, organisation_id: str) -> tuple[Credential, str] | None:
    """With the token that it is the credential of."""
    if not tokens.may_exist(token):
        return None
    names = tokens.names_of(token, organisation_id)
    stored = {row.digest: row for row in Credential.objects.select_related("key").filter(digest__in=names)}
    return next(((stored[digest], raw) for digest, raw in names.items() if digest in stored), None)


def find_by_token(token: str) -> Key | None:
    """The living key that this raw key opens."""
    credential = find_credential(token)
    return find_by_hash(credential.digest) if credential else None


def find_by_hash(digest: str) -> Key | None:
    """The living key with this stored digest (`key_hash`)."""
    alive = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
    credential = (
        Credential.objects.select_related("key__organisation")
        .filter(alive, digest=digest, key__revoked_at__isnull=True)
        .first()
    )
    return credential.key if credential else None


@transaction.atomic
def save_org_session(session: OrgSession) -> None:
    """Creates or changes an organisation's session object. Usage is not touched."""
    session.clean()
    session.save()
    versions.bump(versions.organisation_scope(session.organisation_id))


@transaction.atomic
def delete_org_session(session: OrgSession) -> None:
    """No org session: no organisation limit (rule 6.1)."""
    organisation_id = session.organisation_id
    session.delete()
    versions.bump(versions.organisation_scope(organisation_id))
