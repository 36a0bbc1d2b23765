"""Usage as people see it: live counters of keys and organisations (rules 2.9, 5.6)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import F

from organisations_app.models import Organisation
from policies_app.limits import Source
from sessions_app import grants
from sessions_app.engine import check, names, rollup
from sessions_app.engine.types import Grant, LimitName, LimitState, QuotaLimit, Snapshot, Versions
from sessions_app.models import Key, OrgSession, UsageSnapshot
from sessions_app.queries import Among
from sessions_app.store import sync_store
from sessions_app.terms import Holder, read_holders

QuotaNumbers = tuple[int, int, str, int]


@dataclass(frozen=True, slots=True)
class QuotaUsage:
    """One quota counter of a key. `scope` is "", `policy:<id>` or `api:<id>`; `api_ids` are the APIs that it counts.

    `renews_at` is in unix seconds; None when the quota never renews or no period runs (it begins with the next
    request).
    `shared`: the counter belongs to a custom rate limit key (section 5).
    """

    scope: str
    api_ids: tuple[str, ...]
    max: int
    used: int
    remaining: int
    period_seconds: int | None
    renews_at: int | None
    shared: bool

    @property
    def api_id(self) -> str | None:
        """Of a per-API counter."""
        return self.scope.removeprefix("api:") if self.scope.startswith("api:") else None

    @property
    def percent(self) -> float:
        return min(100.0, 100 * self.used / self.max)


def key_quotas(
    keys: Sequence[Key], holders: Mapping[str, Holder] | None = None, *, are_new: bool = False
) -> dict[str, list[QuotaUsage]]:
    """Live quota counters by key id, the key-level ones first, in one round trip. Unlimited quotas have no counter.

    `holders` are the keys' holders, if they are read already. Of new keys only shared counters (section 5) can have
    been used before, and be in the snapshots. Raises StoreUnavailable.
    """
    holders = read_holders([(key.organisation_id, key.pk) for key in keys]) if holders is None else holders
    asked = [(holder, source, api_ids) for holder in holders.values() for source, api_ids in quota_sources(holder)]
    looks = [_look(holder, quota_of(holder, source)) for holder, source, _ in asked]
    may_be_used = not are_new or any(grants.custom_subject(holder) for holder in holders.values())
    states = check.peek(sync_store(), snapshots if may_be_used else _no_snapshots, looks) if looks else []
    quotas: dict[str, list[QuotaUsage]] = {key.pk: [] for key in keys}
    for (holder, source, api_ids), (state,) in zip(asked, states, strict=True):
        quotas[holder.key.pk].append(_usage(source, api_ids, state, shared=grants.custom_subject(holder) is not None))
    return quotas


def organisation_quotas(organisation_ids: Iterable[str]) -> dict[str, QuotaUsage]:
    """Live organisation quotas by organisation id, of those that have one, in one round trip. Raises
    StoreUnavailable.
    """
    sessions = OrgSession.objects.select_related("organisation").filter(organisation__in=list(organisation_ids))
    limits = {session: limit for session in sessions if (limit := organisation_quota(session))}
    looks = [bare_grant(session.organisation_id, limit) for session, limit in limits.items()]
    states = check.peek(sync_store(), snapshots, looks) if looks else []
    return {
        session.organisation_id: _usage(Source(session.limits(), "", "org"), (), state, shared=False)
        for session, (state,) in zip(limits, states, strict=True)
    }


def quota_limits(key: Key) -> dict[QuotaLimit, tuple[str, ...]]:
    """The quota counters that the key really uses, as limits, with the APIs that each counts; key-level ones first."""
    return quota_limits_of([key])[key.pk]


def quota_limits_of(keys: Iterable[Key]) -> dict[str, dict[QuotaLimit, tuple[str, ...]]]:
    """As quota_limits, of several keys by their ids."""
    holders = read_holders([(key.organisation_id, key.pk) for key in keys])
    return {key_id: limits_of(holder) for key_id, holder in holders.items()}


def organisation_limits(organisation: Organisation) -> list[QuotaLimit]:
    """The organisation's quota as a limit, if it has one."""
    session = OrgSession.objects.select_related("organisation").filter(organisation=organisation).first()
    limit = organisation_quota(session) if session else None
    return [limit] if limit else []


def snapshots(counters: Sequence[str]) -> Mapping[str, Snapshot]:
    """The last copies of these counters in the database (rule 9.2)."""
    rows = UsageSnapshot.objects.filter(Among(F("counter"), counters))
    taken = rows.values_list("counter", "used", "period_start_ms", "fired")
    return {counter: Snapshot(used, start_ms, fired) for counter, used, start_ms, fired in taken}


def _no_snapshots(counters: Sequence[str]) -> Mapping[str, Snapshot]:
    return {}


def held(counters: Sequence[str]) -> dict[str, Snapshot]:
    """What these counters hold as it is stored, also when the period is over; changes nothing.

    Counters that were never used are left out. Raises StoreUnavailable.
    """
    found: dict[str, Snapshot] = {}
    by_bucket: defaultdict[int, list[str]] = defaultdict(list)
    for counter in counters:
        by_bucket[names.bucket_of_counter(counter)].append(counter)
    for of_bucket in by_bucket.values():
        for taken in rollup.read_counters(sync_store(), of_bucket):
            found.update(taken.snapshots)
    missing = [counter for counter in counters if counter not in found]
    return {**(snapshots(missing) if missing else {}), **found}


# --- which counters a key has -----------------------------------------------------------------------------------------


def quota_sources(holder: Holder) -> list[tuple[Source, tuple[str, ...]]]:
    """The limited quota sources of a key with the APIs that each counts; key-level ones first.

    One per counter, unless two policies judge the counter of a custom rate limit key by numbers of their own (rule
    5.5).
    """
    found: dict[tuple[str, QuotaNumbers], tuple[Source, list[str]]] = {}
    root = Source(holder.terms.limits, "", f"key:{holder.key.pk}")
    if not holder.terms.policies and root.limits.has_quota:
        found[grants.key_counter(holder, root), _numbers(root)] = (root, [])
    for api_id in holder.api_ids():
        terms = grants.terms_on(holder, api_id)
        if terms is not None and terms.quota.limits.has_quota:
            name = grants.key_counter(holder, terms.quota), _numbers(terms.quota)
            found.setdefault(name, (terms.quota, []))[1].append(api_id)
    return sorted(
        ((source, tuple(apis)) for source, apis in found.values()), key=lambda item: item[0].scope.startswith("api:")
    )


def _numbers(source: Source) -> QuotaNumbers:
    limits = source.limits
    return limits.quota_max, limits.quota_renewal_rate, limits.quota_period, limits.quota_anchor_day


def limits_of(holder: Holder) -> dict[QuotaLimit, tuple[str, ...]]:
    """As quota_limits, of a holder."""
    return {quota_of(holder, source): api_ids for source, api_ids in quota_sources(holder)}


def quota_counters(holder: Holder) -> set[str]:
    """The names of the quota counters that the key uses."""
    return {grants.key_counter(holder, source) for source, _ in quota_sources(holder)}


def quota_of(holder: Holder, source: Source) -> QuotaLimit:
    counter = grants.key_counter(holder, source)
    return grants.quota_limit(LimitName.KEY_QUOTA, counter, source, holder.key.organisation.timezone)


def organisation_quota(session: OrgSession) -> QuotaLimit | None:
    source = Source(session.limits(), "", "org")
    if not source.limits.has_quota:
        return None
    counter = names.organisation_counter(session.organisation_id)
    return grants.quota_limit(LimitName.ORG_QUOTA, counter, source, session.organisation.timezone)


def _look(holder: Holder, limit: QuotaLimit) -> Grant:
    return bare_grant(holder.key.organisation_id, limit, holder.key.pk)


def bare_grant(organisation_id: str, limit: QuotaLimit, key_id: str = "") -> Grant:
    """A grant that is only good for looking at one counter."""
    return Grant(organisation_id, names.bucket_of(organisation_id), key_id, "", Versions(0, 0, 0), (limit,), b"")


def _usage(source: Source, api_ids: tuple[str, ...], state: LimitState, *, shared: bool) -> QuotaUsage:
    return QuotaUsage(
        source.scope, api_ids, state.max, state.used, state.remaining, state.window_seconds, state.resets_at, shared
    )
