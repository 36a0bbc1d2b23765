"""Keys as Tyk names them, found again among those that are here."""

from collections.abc import Sequence

from sessions_app.drafts import SessionDraft, key_draft
from sessions_app.models import Credential, Key
from sessions_app.terms import rights_and_policies
from tyk_migration.names import Identity


def stored_keys(identities: Sequence[Identity]) -> list[Key | None]:
    """The key that each name is about, if it is here already: two queries."""
    digests = [identity.digests for identity in identities]
    stored = Credential.objects.filter(digest__in={name for names in digests for name in names})
    by_digest = dict(stored.values_list("digest", "key_id"))
    ids = [
        next((by_digest[name] for name in names if name in by_digest), None) or identity.own_id
        for identity, names in zip(identities, digests, strict=True)
    ]
    keys = Key.objects.in_bulk(ids)
    return [keys.get(each) for each in ids]


def key_drafts(keys: Sequence[Key]) -> dict[str, SessionDraft]:
    """What is stored, by key id: two queries."""
    access, applied = rights_and_policies(keys)
    return {key.pk: key_draft(key, access[key.pk], applied[key.pk]) for key in keys}
