"""Session documents of keys, put together from the database and the counter store, for every face that answers JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from organisations_app.models import Organisation
from policies_app.drafts import api_names
from policies_app.models import Policy
from sessions_app import usage
from sessions_app.engine.types import StoreUnavailable
from sessions_app.models import Key
from sessions_app.new_keys import NewKey
from sessions_app.terms import Holder, holders_with, read_holders, rights_and_policies
from sessions_app.tyk import computed_key, stored_key
from sessions_app.usage import QuotaUsage

Usage = Mapping[str, Sequence[QuotaUsage]]


def stored_documents(keys: Sequence[Key]) -> dict[str, dict[str, Any]]:
    """What was written, by key id: three queries whatever the number of keys."""
    rights, policies = rights_and_policies(keys)
    names = api_names({right.api_id for several in rights.values() for right in several})
    return {key.pk: stored_key(key, rights[key.pk], policies[key.pk], names) for key in keys}


def new_documents(new: Sequence[NewKey]) -> dict[str, dict[str, Any]]:
    """As stored_documents, of keys that were saved just now: their rights and policies are known."""
    names = api_names({right.api_id for each in new for right in each.access})
    return {each.key.pk: stored_key(each.key, each.access, each.policies, names) for each in new}


def new_holders(new: Sequence[NewKey], policies: Mapping[str, Policy]) -> dict[str, Holder]:
    """Of keys that were saved just now. `policies` are theirs, as far as they exist."""
    access = {each.key.pk: each.access for each in new}
    return holders_with([each.key for each in new], access, {each.key.pk: each.policies for each in new}, policies)


def computed_documents(holders: Mapping[str, Holder], live: Usage | None) -> dict[str, dict[str, Any]]:
    """What counts, by key id: policies applied, with `live` usage (None: unknown). One query."""
    names = api_names({api_id for holder in holders.values() for api_id in _named_apis(holder)})
    return {
        key_id: computed_key(
            holder,
            stored_key(holder.key, holder.access, holder.terms.policies, names),
            holder.policy_access,
            names,
            None if live is None else live.get(key_id, []),
        )
        for key_id, holder in holders.items()
    }


def computed_document(key: Key) -> dict[str, Any]:
    """Of one key, with live usage."""
    holders = read_holders([(key.organisation_id, key.pk)])
    return computed_documents(holders, live_usage(holders))[key.pk]


def live_usage(holders: Mapping[str, Holder], *, are_new: bool = False) -> Usage | None:
    """Each key's quotas by key id; None when the store does not answer: what is configured can be read all the same.

    Keys that are new can have used shared counters only.
    """
    try:
        return usage.key_quotas([holder.key for holder in holders.values()], holders, are_new=are_new)
    except StoreUnavailable:
        return None


def _named_apis(holder: Holder) -> set[str]:
    return {right.api_id for right in (*holder.access, *holder.policy_access)}


def live_organisation_usage(organisation: Organisation) -> QuotaUsage | None:
    """The organisation's quota; None when it has none or the store does not answer."""
    try:
        return usage.organisation_quotas([organisation.pk]).get(organisation.pk)
    except StoreUnavailable:
        return None
