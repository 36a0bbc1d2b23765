"""Keys as `/api/v1` shows them: session members with Tyk's names, computed, with live usage."""

from collections.abc import Mapping, Sequence
from typing import Any

from policies_app.models import Policy
from sessions_app import tokens
from sessions_app.documents import Usage, computed_documents, live_usage, new_holders
from sessions_app.models import Credential, Key
from sessions_app.new_keys import NewKey
from sessions_app.shapes import KeyShape, QuotaShape
from sessions_app.terms import Holder, holders_of

KEY_MEMBERS = frozenset(KeyShape().fields)


def key_documents(page: Sequence[Key]) -> list[dict[str, Any]]:
    """Keys as this API shows them: session members, computed and live."""
    holders = holders_of(page)
    return _documents(holders, live_usage(holders), newest_credentials(page))


def new_key_documents(made: Sequence[tuple[NewKey, str]], policies: Mapping[str, Policy]) -> list[dict[str, Any]]:
    """As key_documents, of keys that were made just now. `policies` are theirs, as far as they exist."""
    holders = new_holders([new for new, _ in made], policies)
    secrets = {new.key.pk: Credential(digest=tokens.digest(raw), hint=tokens.hint(raw)) for new, raw in made}
    return _documents(holders, live_usage(holders, are_new=True), secrets)


def _documents(
    holders: Mapping[str, Holder], live: Usage | None, secrets: Mapping[str, Credential]
) -> list[dict[str, Any]]:
    computed = computed_documents(holders, live)
    return [
        {
            "id": key_id,
            "key_hash": secrets[key_id].digest if key_id in secrets else "",
            "key_hint": secrets[key_id].hint if key_id in secrets else "",
            "application_id": holder.key.application_id,
            "unknown_policies": list(holder.unknown_policies),
            **{name: value for name, value in computed[key_id].items() if name in KEY_MEMBERS},
            **quotas_of(key_id, live, "usage"),
            "revoked_at": holder.key.revoked_at,
        }
        for key_id, holder in holders.items()
    ]


def quotas_of(key_id: str, live: Mapping[str, Sequence[Any]] | None, name: str = "quotas") -> dict[str, Any]:
    """Live quotas under `name`; left out while the store does not answer."""
    return {} if live is None else {name: [QuotaShape(quota).data for quota in live[key_id]]}


def newest_credentials(page: Sequence[Key]) -> dict[str, Credential]:
    return {
        credential.key_id: credential
        for credential in Credential.objects.filter(key__in=page).order_by("created_at", "id")
    }
