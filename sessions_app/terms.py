"""What the database says of a key, read for compiling: the key, its policies, access rights and organisation as pure
terms.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from django.db.models import QuerySet

from organisations_app import versions
from policies_app.limits import KeyTerms, Limits, PolicyTerms, merged_meta_data
from policies_app.models import AccessRightFields, Policy, PolicyAccess
from sessions_app.engine.types import Versions
from sessions_app.models import Key, KeyAccess, KeyPolicy, OrgSession

HOLDER = "organisation__session"
Right = TypeVar("Right", KeyAccess, PolicyAccess)


@dataclass(frozen=True, slots=True)
class Holder:
    """A key with everything that its grants are made of. `policies` are the known ones, in order, and `policy_names`
    their names by id.

    `access` are the rights of its own and `policy_access` those of its policies, as the database has them.
    """

    key: Key
    terms: KeyTerms
    policies: tuple[PolicyTerms, ...]
    session: OrgSession | None
    versions: Versions
    access: tuple[KeyAccess, ...] = ()
    policy_access: tuple[PolicyAccess, ...] = ()
    policy_names: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_blocked(self) -> bool:
        """The key or one of its policies is inactive (rule 3.6)."""
        return self.key.is_inactive or any(policy.is_inactive for policy in self.policies)

    @property
    def meta_data(self) -> dict[str, object]:
        """Of the computed session (rule 3.7)."""
        return merged_meta_data(self.terms, self.policies)

    @property
    def unknown_policies(self) -> tuple[str, ...]:
        """Ids of policies that are applied to the key but do not exist: skipped and reported (rule 3.6)."""
        known = {policy.id for policy in self.policies}
        return tuple(policy for policy in self.terms.policies if policy not in known)

    def api_ids(self) -> tuple[str, ...]:
        """APIs that a policy or the key itself names."""
        named = [*self.terms.rights, *(api_id for policy in self.policies for api_id in policy.rights)]
        return tuple(dict.fromkeys(named))


def read_holders(identities: Iterable[tuple[str, str]], api_id: str | None = None) -> dict[str, Holder]:
    """Holders by key id, of `(organisation id, key id)` pairs, in six queries whatever their number.

    With `api_id` only the access rights to that API are read. Versions are read first: a change that comes in between
    makes the holder look older than it is, never newer.
    """
    pairs = list(identities)
    numbers = _version_numbers(pairs)
    keys = Key.objects.select_related(HOLDER).in_bulk([key_id for _, key_id in pairs])
    return _holders(list(keys.values()), numbers, api_id)


def holders_of(keys: Sequence[Key]) -> dict[str, Holder]:
    """As read_holders, of keys that were read with `select_related(HOLDER)`. For looking: no grant is made of these,
    because nobody asked for the versions before the keys were read.
    """
    return _holders(keys, {}, None)


def holders_with(
    keys: Sequence[Key],
    access: Mapping[str, Sequence[KeyAccess]],
    applied: Mapping[str, Sequence[str]],
    policies: Mapping[str, Policy],
) -> dict[str, Holder]:
    """As holders_of, when more was read already: by key id the keys' own rights and their policies' ids, and those
    policies that exist.
    """
    return _joined(keys, access, applied, policies, {}, None)


def _holders(keys: Sequence[Key], numbers: Mapping[str, int], api_id: str | None) -> dict[str, Holder]:
    key_ids = [key.pk for key in keys]
    applied = applied_to(key_ids)
    access = _by_owner(KeyAccess.objects.filter(key__in=key_ids), "key_id", api_id)
    named = {policy for ids in applied.values() for policy in ids}
    return _joined(keys, access, applied, Policy.objects.in_bulk(named) if named else {}, numbers, api_id)


def _joined(
    keys: Sequence[Key],
    access: Mapping[str, Sequence[KeyAccess]],
    applied: Mapping[str, Sequence[str]],
    policies: Mapping[str, Policy],
    numbers: Mapping[str, int],
    api_id: str | None,
) -> dict[str, Holder]:
    """With what their policies grant."""
    granted = _granted_by(policies, api_id)
    terms = _terms_of(policies, granted)
    return {
        key.pk: Holder(
            key=key,
            terms=_key_terms(key, _rights(access.get(key.pk, ())), applied.get(key.pk, ())),
            policies=tuple(terms[policy] for policy in applied.get(key.pk, ()) if policy in policies),
            session=getattr(key.organisation, "session", None),
            versions=_versions(numbers, key),
            access=tuple(access.get(key.pk, ())),
            policy_access=tuple(right for policy in applied.get(key.pk, ()) for right in granted.get(policy, ())),
            policy_names={policy: policies[policy].name for policy in applied.get(key.pk, ()) if policy in policies},
        )
        for key in keys
    }


def policy_terms(policy_ids: Collection[str]) -> dict[str, PolicyTerms]:
    """The terms of those policies that exist, by id: two queries."""
    policies = Policy.objects.in_bulk(policy_ids)
    return _terms_of(policies, _granted_by(policies, None))


def _granted_by(policies: Mapping[str, Policy], api_id: str | None) -> dict[str, list[PolicyAccess]]:
    rights = PolicyAccess.objects.filter(policy__in=list(policies))
    return _by_owner(rights, "policy_id", api_id) if policies else {}


def _terms_of(policies: Mapping[str, Policy], granted: Mapping[str, list[PolicyAccess]]) -> dict[str, PolicyTerms]:
    return {pk: _terms_of_policy(policy, _rights(granted.get(pk, ()))) for pk, policy in policies.items()}


def _version_numbers(pairs: list[tuple[str, str]]) -> dict[str, int]:
    scopes = {versions.GATEWAY}
    for organisation_id, key_id in pairs:
        scopes |= {versions.organisation_scope(organisation_id), versions.key_scope(organisation_id, key_id)}
    return versions.numbers(scopes)


def _versions(numbers: Mapping[str, int], key: Key) -> Versions:
    return Versions(
        gateway=numbers.get(versions.GATEWAY, 0),
        organisation=numbers.get(versions.organisation_scope(key.organisation_id), 0),
        key=numbers.get(versions.key_scope(key.organisation_id, key.pk), 0),
    )


def rights_and_policies(keys: Sequence[Key]) -> tuple[Mapping[str, list[KeyAccess]], Mapping[str, list[str]]]:
    """The keys' own access rights, and the ids of their policies in order, by key id: two queries."""
    access: defaultdict[str, list[KeyAccess]] = defaultdict(list)
    for right in KeyAccess.objects.filter(key__in=keys):
        access[right.key_id].append(right)
    return access, applied_to([key.pk for key in keys])


def applied_to(key_ids: Collection[str]) -> defaultdict[str, list[str]]:
    """Ids of the policies that are applied to keys, in order, by key id."""
    applied: defaultdict[str, list[str]] = defaultdict(list)
    for key_id, policy_id in (
        KeyPolicy.objects.filter(key__in=key_ids).order_by("position", "id").values_list("key_id", "policy_id")
    ):
        applied[key_id].append(policy_id)
    return applied


def _by_owner(access: QuerySet[Right], owner: str, api_id: str | None) -> dict[str, list[Right]]:
    found: defaultdict[str, list[Right]] = defaultdict(list)
    for right in access.filter(api=api_id) if api_id is not None else access:
        found[getattr(right, owner)].append(right)
    return dict(found)


def _rights(access: Iterable[AccessRightFields]) -> dict[str, Limits | None]:
    return {right.api_id: right.own_limits() for right in access}


def _terms_of_policy(policy: Policy, rights: dict[str, Limits | None]) -> PolicyTerms:
    return PolicyTerms(
        id=policy.pk,
        limits=policy.limits(),
        rights=rights,
        partitions=policy.partitions,
        is_inactive=policy.is_inactive,
        trigger_limits=tuple(policy.trigger_limits),
        meta_data=policy.meta_data,
        tags=tuple(policy.tags),
    )


def _key_terms(key: Key, rights: dict[str, Limits | None], applied: Sequence[str]) -> KeyTerms:
    return KeyTerms(
        id=key.pk,
        limits=key.limits(),
        rights=rights,
        policies=tuple(applied),
        trigger_limits=tuple(key.trigger_limits),
        meta_data=key.meta_data,
        tags=tuple(key.tags),
    )
