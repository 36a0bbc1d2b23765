"""Making keys, one or a hundred thousand: all of them or none, in a handful of statements for each thousand."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pgbulk
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import AutoField, Model, QuerySet
from django.utils import timezone

from organisations_app import versions
from organisations_app.documents import DocumentError, words_of
from organisations_app.models import Application
from organisations_app.provisioning import carried_attributes, provisioned_meta_data
from policies_app.models import Policy
from sessions_app import strangers, tokens, tyk_hashes
from sessions_app.models import Credential, Key, KeyAccess, KeyPolicy

VALUES_PER_STATEMENT = 2_000
COPIED_FROM = 100  # rows
Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that is not saved yet, and what comes with it. `policies` are ids, in order.

    `token` is a custom or imported key; None makes one. An imported key that is known by its digest only has
    `credential` instead: the digest, the mark of the pepper that it was made with, and a hint. `keeps_expiry`: it is no
    new key where it comes from, so that policies do not let it expire.
    """

    key: Key
    access: Sequence[KeyAccess] = ()
    policies: Sequence[str] = ()
    token: str | None = None
    credential: tuple[str, str, str] | None = None
    keeps_expiry: bool = False


RowError = ValidationError | DocumentError


class RowErrors(ValueError):
    """What is wrong with some of the new keys, by their index."""

    def __init__(self, errors: Mapping[int, RowError]) -> None:
        self.errors = dict(errors)
        super().__init__("; ".join(f"{index}: {words_of(error)}" for index, error in self.errors.items()))


@contextmanager
def row_of_its_own() -> Iterator[None]:
    """For who makes one key only: raises what is wrong with it instead of RowErrors."""
    try:
        yield
    except RowErrors as errors:
        raise errors.errors[0] from None


def create_keys(new: Sequence[NewKey], policies: Mapping[str, Policy] | None = None) -> list[str]:
    """Saves new keys and returns the raw ones, in order: the only time that they are known. "" where only a digest is.

    A key of an application carries its and its developer's ids and attributes as metadata; metadata given wins.
    `policies` are those of the keys that exist, by id, if they were read already.
    Raises RowErrors, among others for a token that cannot be a key or is taken; then nothing is saved.

    A new key needs no version of its own: nothing can be cached of it, and a scope that never changed is at 0.
    """
    secrets = [_secret(row) for row in new]
    with transaction.atomic(savepoint=False):
        known = _known(secrets)
        errors = _errors(new, secrets, known, policies)
        if not errors:
            _save(new, secrets, [digest for digest, is_living in known.items() if not is_living])
    if errors:
        raise RowErrors(errors)
    return [secret.raw for secret in secrets]


# --- completing and checking ------------------------------------------------------------------------------------------


def _errors(
    new: Sequence[NewKey],
    secrets: Sequence["_Secret"],
    known: Mapping[str, bool],
    policies: Mapping[str, Policy] | None,
) -> dict[int, RowError]:
    """What is wrong, by index. The keys are completed with what their applications and policies say."""
    _complete(new, _policies(new) if policies is None else policies)
    taken = dict.fromkeys(_taken(secrets, known), ValidationError({"key": "This key exists already."}))
    errors = {index: error for index, row in enumerate(new) if (error := _error(row))}
    return dict(sorted((taken | errors).items()))


def _complete(new: Sequence[NewKey], policies: Mapping[str, Policy]) -> None:
    applications = _applications(new)
    carried = carried_attributes() if applications else []
    for row in new:
        key = row.key
        if key.application_id in applications:
            key.application = applications[key.application_id]
            key.meta_data = provisioned_meta_data(key.application, carried) | key.meta_data
        if key.expires_at is None and not row.keeps_expiry:
            key.expires_at = _expiry([policies[policy] for policy in row.policies if policy in policies])
        for right in row.access:
            right.key = key


def _expiry(policies: Iterable[Policy]) -> datetime | None:
    """Rule 3.8; of several policies the one that lets the key live longest."""
    seconds = max((policy.key_expires_in for policy in policies), default=0)
    return timezone.now() + timedelta(seconds=seconds) if seconds > 0 else None


def _applications(new: Sequence[NewKey]) -> dict[int, Application]:
    wanted = {row.key.application_id for row in new if row.key.application_id is not None}
    return read_all(Application.objects.select_related("developer"), wanted)


def _policies(new: Sequence[NewKey]) -> dict[str, Policy]:
    return read_all(Policy.objects.all(), {policy for row in new for policy in row.policies})


def read_all(rows: QuerySet[Row], ids: Collection[Any]) -> dict[Any, Row]:
    """Those of the rows that exist, by id."""
    return {pk: row for lot in _lots(list(ids)) for pk, row in rows.in_bulk(lot).items()}


def _lots(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """As many as one statement may name."""
    return (values[begin : begin + VALUES_PER_STATEMENT] for begin in range(0, len(values), VALUES_PER_STATEMENT))


def _error(row: NewKey) -> RowError | None:
    try:
        if row.token is not None and (message := tokens.token_error(row.token)):
            raise ValidationError({"key": message})
        row.key.clean()
        for right in row.access:
            right.clean()
        if len({right.api_id for right in row.access}) < len(row.access):
            raise ValidationError({"access_rights": "names an API twice"})
    except ValidationError as error:
        return error
    return None


# --- secrets ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Secret:
    """How a key will be opened. `names` are digests, of the newest pepper first, under which it may be known already.

    `raw` is "" where only the digest is known. `scopes` are the versions by which the memory of strangers (rule 1.6)
    learns that the secret opens a key. One that was made here has neither names nor scopes: nobody can have tried it.
    """

    raw: str
    digest: str
    pepper: str
    hint: str
    names: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()


def _secret(row: NewKey) -> _Secret:
    if row.credential is not None:
        return _Secret("", *row.credential, names=row.credential[:1], scopes=strangers.ALL_SCOPES)
    if row.token is None:
        return _of_token(tokens.new_token())
    names = (tokens.digest(row.token), *tokens.older_digests(row.token))
    scopes = tuple(strangers.credentials_scope(tokens.digest(sent)) for sent in _forms(row.token, row.key))
    return replace(_of_token(row.token), names=names, scopes=scopes)


def _of_token(raw: str) -> _Secret:
    return _Secret(raw, tokens.digest(raw), tokens.pepper_mark(), tokens.hint(raw))


def _forms(token: str, key: Key) -> list[str]:
    """What callers may send for it: also a bare custom id of Tyk's."""
    return [token, *tyk_hashes.custom_ids_of(token, key.organisation_id)]


def _known(secrets: Sequence[_Secret]) -> dict[str, bool]:
    """Digests among the secrets' names that are stored already, and whether these open a key.

    The versions are moved first: whoever issues the same secret at the same time waits there until we are done.
    """
    if scopes := {scope for secret in secrets for scope in secret.scopes}:
        versions.bump(*scopes)
    known = {}
    for lot in _lots(list({name for secret in secrets for name in secret.names})):
        stored = Credential.objects.filter(digest__in=lot).values_list("digest", "expires_at", "key__revoked_at")
        for digest, expires_at, revoked_at in stored:
            known[digest] = revoked_at is None and (expires_at is None or expires_at > timezone.now())
    return known


def _taken(secrets: Sequence[_Secret], known: Mapping[str, bool]) -> list[int]:
    """Indices of those that open a key already, or stand twice in here."""
    seen = {digest for digest, is_living in known.items() if is_living}
    taken = []
    for index, secret in enumerate(secrets):
        if not seen.isdisjoint(secret.names):
            taken.append(index)
        seen.add(secret.digest)  # not its other names: short hashes of different tokens may be equal
    return taken


# --- saving -----------------------------------------------------------------------------------------------------------


def _save(new: Sequence[NewKey], secrets: Sequence[_Secret], ended: Sequence[str]) -> None:
    """Credentials that have `ended`, by digest, make room."""
    for lot in _lots(ended):
        Credential.objects.filter(digest__in=lot).delete()
    _insert(Key, [row.key for row in new])
    _insert(KeyAccess, [right for row in new for right in row.access])
    _insert(KeyPolicy, [applied for row in new for applied in applied_policies(row.key, row.policies)])
    pairs = zip(new, secrets, strict=True)
    _insert(
        Credential, [Credential(key=row.key, digest=by.digest, pepper=by.pepper, hint=by.hint) for row, by in pairs]
    )


def _insert(model: type[Row], rows: Sequence[Row]) -> None:
    if connection.vendor == "postgresql" and len(rows) >= COPIED_FROM:
        _copy(model, rows)
    elif rows:
        model._default_manager.bulk_create(rows, VALUES_PER_STATEMENT)


def _copy(model: type[Row], rows: Sequence[Row]) -> None:
    """By COPY, which takes a third of the time. Rows whose id the database makes do not learn it."""
    made = [field.name for field in model._meta.concrete_fields if isinstance(field, AutoField)]
    with connection.wrap_database_errors:
        pgbulk.copy(model._default_manager.all(), rows, exclude=made)
    for row in rows:
        row._state.adding, row._state.db = False, connection.alias


def applied_policies(key: Key, policies: Sequence[str]) -> list[KeyPolicy]:
    """Rows not saved yet; a policy that is named twice counts once."""
    unique = dict.fromkeys(policies)
    return [KeyPolicy(key=key, policy_id=policy, position=place) for place, policy in enumerate(unique)]
