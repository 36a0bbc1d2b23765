"""Keys as Tyk names them, found again among those that are here."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from organisations_app.secret_texts import ALPHANUMERIC
from sessions_app.drafts import SessionDraft, key_draft
from sessions_app.models import Credential, Key, KeyAccess, KeyPolicy
from tyk_migration.names import Identity


def stored_keys(identities: Sequence[Identity]) -> list[Key | None]:
    """The key that each name is about, if it is here already: two queries."""
    digests = [identity.digests for identity in identities]
    stored = Credential.objects.filter(digest__in={name for names in digests for name in names})
    by_digest = dict(stored.values_list("digest", "key_id"))
    ids = [
        next((by_digest[name] for name in names if name in by_digest), None) or key_id(identity)
        for identity, names in zip(identities, digests, strict=True)
    ]
    keys = Key.objects.in_bulk(ids)
    return [keys.get(each) for each in ids]


def key_id(identity: Identity) -> str:
    """The id of a key that comes from elsewhere: always the same for the same name, and says nothing about it."""
    if identity.key_id:
        return identity.key_id
    number = int(hashlib.sha256(b"key id" + identity.digests[0].encode()).hexdigest(), 16)
    letters = []
    for _ in range(16):
        number, digit = divmod(number, len(ALPHANUMERIC))
        letters.append(ALPHANUMERIC[digit])
    return "key_" + "".join(letters)


def key_drafts(keys: Sequence[Key]) -> dict[str, SessionDraft]:
    """What is stored, by key id: two queries."""
    access, applied = rights_and_policies(keys)
    return {key.pk: key_draft(key, access[key.pk], applied[key.pk]) for key in keys}


def rights_and_policies(keys: Sequence[Key]) -> tuple[Mapping[str, list[KeyAccess]], Mapping[str, list[str]]]:
    """Access rights, and ids of applied policies in order, by key id."""
    access: defaultdict[str, list[KeyAccess]] = defaultdict(list)
    for right in KeyAccess.objects.filter(key__in=keys):
        access[right.key_id].append(right)
    applied: defaultdict[str, list[str]] = defaultdict(list)
    for key_pk, policy_id in KeyPolicy.objects.filter(key__in=keys).values_list("key_id", "policy_id"):
        applied[key_pk].append(policy_id)
    return access, applied
