"""Keys and organisation sessions: making, changing, rotating and revoking them. Each change is one transaction and
holds from
the next request on (rule 1.5)."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max, Q
from django.utils import timezone

from organisations_app import versions
from organisations_app.provisioning import provisioned_meta_data
from policies_app.models import Policy
from sessions_app import strangers, tokens
from sessions_app.models import Credential, Key, KeyAccess, KeyPolicy, OrgSession


@transaction.atomic
def create_key(
    key: Key, *, access: Iterable[KeyAccess] = (), policies: Sequence[str] = (), token: str | None = None
) -> str:
    """Saves a new key with one credential and returns the raw key: the only time that it is known.

    A key of an application carries its and its developer's ids and attributes as metadata; metadata given wins.
    `token` is a custom or imported key; None makes one. Raises ValidationError for a token that cannot be a key or is
    taken.
    """
    raw = token if token is not None else tokens.new_token()
    if message := tokens.token_error(raw):
        raise ValidationError({"key": message})
    if key.expires_at is None:
        key.expires_at = _policy_expiry(policies)
    if key.application is not None:
        key.meta_data = provisioned_meta_data(key.application) | key.meta_data
    save_key(key, access=list(access), policies=list(policies))
    issue_credential(key, raw)
    return raw


def _policy_expiry(policies: Sequence[str]) -> datetime | None:
    """Rule 3.8; of several policies the one that lets the key live longest."""
    seconds = Policy.objects.filter(pk__in=policies, key_expires_in__gt=0).aggregate(longest=Max("key_expires_in"))[
        "longest"
    ]
    return timezone.now() + timedelta(seconds=seconds) if seconds else None


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
        unique = list(dict.fromkeys(policies))
        KeyPolicy.objects.bulk_create(
            KeyPolicy(key=key, policy_id=policy, position=place) for place, policy in enumerate(unique)
        )
    mark_changed(key)


def replace_access(key: Key, access: list[KeyAccess]) -> None:
    for right in access:
        right.key = key
        right.clean()
    key.access.all().delete()
    KeyAccess.objects.bulk_create(access)


def mark_changed(key: Key) -> None:
    """Makes a change of this key, its rights, policies or credentials effective."""
    versions.bump(versions.key_scope(key.organisation_id, key.pk))


@transaction.atomic
def issue_credential(key: Key, token: str) -> Credential:
    """Lets `token` open this key. Raises ValidationError if it opens another one that is still alive."""
    digest = tokens.digest(token)
    find_credential(token)
    Credential.objects.filter(digest=digest).filter(
        Q(key__revoked_at__isnull=False) | Q(expires_at__lte=timezone.now())
    ).delete()
    if Credential.objects.filter(digest=digest).exists():
        raise ValidationError({"key": "This key exists already."})
    mark_changed(key)
    versions.bump(strangers.credentials_scope(digest))
    return Credential.objects.create(key=key, digest=digest, pepper=tokens.pepper_mark(), hint=tokens.hint(token))


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
    issue_credential(key, token)
    return token


@transaction.atomic
def revoke_key(key: Key) -> None:
    """From the next request on nobody knows this key (`unknown_key`); its history stays."""
    if key.revoked_at is None:
        key.revoked_at = timezone.now()
        key.save(update_fields=["revoked_at", "updated_at"])
    mark_changed(key)


@transaction.atomic
def delete_key(key: Key) -> None:
    mark_changed(key)
    key.delete()


def find_credential(token: str) -> Credential | None:
    """The credential with this raw key, also one that has ended. One made under an older pepper moves to the current
    one.
    """
    if not tokens.may_exist(token):
        return None
    digest, older = tokens.digest(token), tokens.older_digests(token)
    stored = Credential.objects.select_related("key").filter(digest=digest)
    known = stored.first()
    if known is None and older:
        Credential.objects.filter(digest__in=older).update(digest=digest, pepper=tokens.pepper_mark())
        known = stored.first()
    return known


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
