"""Keys as a recount sees them: what many have in common is kept, and worked out, once."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import BooleanField, ExpressionWrapper, F, Q, QuerySet

from policies_app.limits import KeyTerms, Limits, PolicyTerms
from sessions_app.models import Key, KeyAccess, KeyPolicy
from sessions_app.queries import Among
from sessions_app.terms import policy_terms

QUOTA_FIELDS = ("quota_max", "quota_renewal_rate", "quota_period", "quota_anchor_day")
FIELDS = ("pk", "organisation_id", "organisation__timezone", "is_inactive", "alias", "meta_data", *QUOTA_FIELDS)


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Keys that the same rules judge, by their quotas alone. Compared by identity: one object for all that are alike.

    `terms` are the keys' own, without metadata; `policies` those applied to them that exist, in order.
    """

    organisation_id: str
    zone: str
    is_inactive: bool
    terms: KeyTerms
    policies: tuple[PolicyTerms, ...]

    def api_ids(self) -> tuple[str, ...]:
        """APIs that a policy or the keys themselves name."""
        named = [*self.terms.rights, *(api_id for policy in self.policies for api_id in policy.rights)]
        return tuple(dict.fromkeys(named))


class Member(NamedTuple):
    """A key of a cohort. `has_ended`: revoked or expired by the end of what is counted again."""

    id: str
    alias: str
    meta_data: Mapping[str, Any]
    has_ended: bool
    cohort: Cohort

    def __str__(self) -> str:
        return self.alias or self.id


@dataclass
class Cohorts:
    """Reads keys. Policies are read once, so all keys that are read together are judged by the same ones."""

    end: datetime
    _known: dict[tuple[Any, ...], Cohort] = field(default_factory=dict)
    _policies: dict[str, PolicyTerms | None] = field(default_factory=dict)

    def read(self, keys: QuerySet[Key], key_ids: Sequence[str]) -> list[Member]:
        """Of these keys those that the query set has, in the order of their ids."""
        access, applied = self._access(key_ids), self._applied(key_ids)
        found = keys.filter(Among(F("pk"), key_ids)).order_by("pk")
        ended = Q(revoked_at__isnull=False) | Q(expires_at__lte=self.end)
        rows = found.annotate(ended=ExpressionWrapper(ended, BooleanField())).values_list(*FIELDS, "ended")
        members = []
        for pk, organisation_id, zone, is_inactive, alias, meta_data, *numbers, has_ended in rows:
            common = (organisation_id, zone, is_inactive, *numbers, access.get(pk, ()), applied.get(pk, ()))
            cohort = self._known.get(common) or self._new(common, numbers)
            members.append(Member(pk, alias, meta_data, bool(has_ended), cohort))
        return members

    def _new(self, common: tuple[Any, ...], numbers: Sequence[Any]) -> Cohort:
        organisation_id, zone, is_inactive, *_, access, applied = common
        limits = Limits(**dict(zip(QUOTA_FIELDS, numbers, strict=True)))
        known = (self._policies.get(policy) for policy in applied)
        policies = tuple(policy for policy in known if policy is not None)
        terms = KeyTerms(id="", limits=limits, rights=dict(access), policies=applied)
        self._known[common] = cohort = Cohort(organisation_id, zone, is_inactive, terms, policies)
        return cohort

    def _access(self, key_ids: Sequence[str]) -> dict[str, tuple[tuple[str, Limits | None], ...]]:
        """The keys' own access rights."""
        rights: dict[str, tuple[tuple[str, Limits | None], ...]] = {}
        for right in KeyAccess.objects.filter(Among(F("key_id"), key_ids)).order_by("id"):
            rights[right.key_id] = (*rights.get(right.key_id, ()), (right.api_id, right.own_limits()))
        return rights

    def _applied(self, key_ids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Ids of the policies that are applied to the keys, in order."""
        applied: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
        rows = KeyPolicy.objects.filter(Among(F("key_id"), key_ids)).order_by("position", "id")
        for key_id, policy_id in rows.values_list("key_id", "policy_id"):
            applied[key_id] += (policy_id,)
        self._read_policies({policy for policies in applied.values() for policy in policies})
        return applied

    def _read_policies(self, named: Collection[str]) -> None:
        new = [policy for policy in named if policy not in self._policies]
        found = policy_terms(new) if new else {}
        self._policies.update({policy: found.get(policy) for policy in new})
