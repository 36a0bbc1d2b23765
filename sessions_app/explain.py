"""Why a key may do what it may: each effective limit with its source, its counter, who shares it, and who lost (rule
3.9).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from organisations_app.models import Organisation
from policies_app.limits import Limits, Source, Terms
from policies_app.models import Api
from sessions_app import grants, usage
from sessions_app.engine import check, names, rollup
from sessions_app.engine.types import Grant, Limit, LimitName, LimitState, QuotaLimit, RateLimit, Refusal, Snapshot
from sessions_app.models import Key
from sessions_app.queries import keys_with_patterns
from sessions_app.store import sync_store
from sessions_app.terms import Holder, read_holders
from sessions_app.watch import watcher

MOST_SHARERS = 50
MOST_EXAMINED = 5_000
BATCH = 500


@dataclass(frozen=True, slots=True)
class Origin:
    """Where numbers come from: `kind` is key, policy or organisation; `scope` as in rule 3.1 and 3.3."""

    kind: str
    id: str
    name: str
    scope: str
    limits: Limits


@dataclass(frozen=True, slots=True)
class ThresholdState:
    """`percent` as printed; `needed` units reach it; `fired` in the running period."""

    percent: str
    needed: int
    asked_by: str
    fired: bool


@dataclass(frozen=True, slots=True)
class Sharers:
    """Other keys that count on the same counter: at most 50 ids. `complete` is False if more keys than we examine
    might.
    """

    key_ids: tuple[str, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class ExplainedLimit:
    """One limit in force. `losers` are policies that grant the API too and were less generous (rule 3.4).

    `subject` is the custom rate limit key's value, or None when the credential or organisation counts for itself.
    """

    name: LimitName
    origin: Origin
    losers: tuple[Origin, ...]
    counter: str
    subject: str | None
    sharers: Sharers | None
    state: LimitState
    thresholds: tuple[ThresholdState, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that decides what a key may do on an API. `unknown_policies` are applied to the key but gone."""

    key_id: str
    api_id: str
    refusal: Refusal | None
    limits: tuple[ExplainedLimit, ...]
    unknown_policies: tuple[str, ...]
    inactive_policies: tuple[str, ...]
    meta_data: dict[str, object]
    throttle_interval_seconds: float
    throttle_retry_limit: int


def explain(key: Key, api: Api) -> Explanation:
    """States each effective number and where it comes from. Counts nothing. Raises StoreUnavailable."""
    holder = read_holders([(key.organisation_id, key.pk)])[key.pk]
    return explain_all(holder, [api], name_sharers=True)[0]


def explain_all(holder: Holder, apis: Sequence[Api], *, name_sharers: bool = False) -> list[Explanation]:
    """As explain, of several APIs with one call of the counter store each for states and thresholds. Who shares a
    counter is looked for only if asked: see sharing_of. Raises StoreUnavailable.
    """
    watch = cache(watcher())
    looks = [grants.grant_of(holder, api, watch=watch) for api in apis]
    states = check.peek(sync_store(), usage.snapshots, looks) if looks else []
    fired = _fired([limit for grant in looks for limit in grant.limits if isinstance(limit, QuotaLimit)])
    return [
        _explanation(holder, grant, _explained(holder, grant, found, fired, name_sharers))
        for grant, found in zip(looks, states, strict=True)
    ]


def _explanation(holder: Holder, grant: Grant, limits: tuple[ExplainedLimit, ...]) -> Explanation:
    terms = grants.terms_on(holder, grant.api_id)
    return Explanation(
        key_id=holder.key.pk,
        api_id=grant.api_id,
        refusal=grant.refusal,
        limits=limits,
        unknown_policies=holder.unknown_policies,
        inactive_policies=tuple(policy.id for policy in holder.policies if policy.is_inactive),
        meta_data=holder.meta_data,
        throttle_interval_seconds=terms.throttle_interval if terms else 0,
        throttle_retry_limit=terms.throttle_retry_limit if terms else 0,
    )


def _explained(
    holder: Holder,
    grant: Grant,
    states: Sequence[LimitState],
    fired: Mapping[str, Snapshot],
    name_sharers: bool,
) -> tuple[ExplainedLimit, ...]:
    terms = grants.terms_on(holder, grant.api_id)
    limits = []
    for limit, state in zip(grant.limits, states, strict=True):
        winner, *losers = [_origin(holder, source) for source in _candidates(holder, terms, limit)]
        of_key = limit.name in (LimitName.KEY_QUOTA, LimitName.KEY_RATE)
        subject = grants.custom_subject(holder) if of_key else None
        limits.append(
            ExplainedLimit(
                name=limit.name,
                origin=winner,
                losers=tuple(losers),
                counter=limit.counter,
                subject=subject,
                sharers=sharers(holder, limit.counter, grant.api_id) if name_sharers and subject is not None else None,
                state=state,
                thresholds=_thresholds(limit, state, fired.get(limit.counter)),
            )
        )
    return tuple(limits)


def _candidates(holder: Holder, terms: Terms | None, limit: Limit) -> Sequence[Source]:
    if limit.name in (LimitName.ORG_QUOTA, LimitName.ORG_RATE):
        return [Source(holder.session.limits() if holder.session else Limits(), "", "org")]
    if terms is None:
        raise LookupError("a key limit without terms")
    return terms.rates if isinstance(limit, RateLimit) else terms.quotas


def _origin(holder: Holder, source: Source) -> Origin:
    key, organisation = holder.key, holder.key.organisation
    if source.owner == "org":
        return Origin("organisation", organisation.pk, organisation.name, source.scope, source.limits)
    if source.owner in holder.policy_names:
        return Origin("policy", source.owner, holder.policy_names[source.owner], source.scope, source.limits)
    return Origin("key", key.pk, key.alias, source.scope, source.limits)


# --- thresholds -------------------------------------------------------------------------------------------------------


def _fired(limits: Sequence[QuotaLimit]) -> dict[str, Snapshot]:
    """What the counters hold, by counter. All lie in one bucket."""
    found: dict[str, Snapshot] = {}
    for taken in rollup.read_counters(sync_store(), [limit.counter for limit in limits]):
        found.update(taken.snapshots)
    return found


def _thresholds(limit: Limit, state: LimitState, held: Snapshot | None) -> tuple[ThresholdState, ...]:
    if isinstance(limit, RateLimit):
        return ()
    tokens = held.fired.split(";") if held is not None and state.used else []
    mark = names.source_mark(limit.source)
    return tuple(
        ThresholdState(each.label, each.needed, "own" if each.own else "global", f"{mark}:{each.label}" in tokens)
        for each in limit.thresholds
    )


# --- sharers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sharing:
    """A key's custom subject and the other keys that count on it. `complete` as in Sharers."""

    subject: str
    keys: tuple[Key, ...]
    complete: bool


def sharing_of(key: Key, most_examined: int = MOST_EXAMINED) -> Sharing | None:
    """Who shares quota counters with this key, on any API; None if it counts for itself (rule 5.6)."""
    holder = read_holders([(key.organisation_id, key.pk)])[key.pk]
    subject = grants.custom_subject(holder)
    if subject is None:
        return None
    ours = usage.quota_counters(holder)
    found = _sharers(holder, lambda other: not ours.isdisjoint(usage.quota_counters(other)), most_examined)
    keys = Key.objects.select_related("application").filter(pk__in=found.key_ids).order_by("alias", "pk")
    return Sharing(subject, tuple(keys), found.complete)


def sharers(holder: Holder, counter: str, api_id: str) -> Sharers:
    """Other living keys of the organisation whose limits on this API count on `counter` (rule 5.6)."""
    return _sharers(holder, lambda other: counter in _counters(other, api_id))


def _sharers(holder: Holder, shares: Callable[[Holder], bool], most_examined: int = MOST_EXAMINED) -> Sharers:
    found: list[str] = []
    examined = 0
    for batch in _keys_with_patterns(holder.key.organisation, most_examined):
        examined += len(batch)
        found += [key_id for key_id, other in batch.items() if key_id != holder.key.pk and shares(other)]
        if len(found) >= MOST_SHARERS or examined >= most_examined:
            return Sharers(tuple(found[:MOST_SHARERS]), complete=False)
    return Sharers(tuple(found), complete=True)


def _keys_with_patterns(organisation: Organisation, most: int) -> Iterator[dict[str, Holder]]:
    """Only a key with a pattern of its own or of a policy can share a counter."""
    keys = keys_with_patterns(organisation.pk).filter(revoked_at=None)
    ids = keys.order_by("pk").values_list("pk", flat=True)[:most]
    for begin in range(0, len(ids), BATCH):
        yield read_holders([(organisation.pk, key_id) for key_id in ids[begin : begin + BATCH]])


def _counters(holder: Holder, api_id: str) -> set[str]:
    terms = grants.terms_on(holder, api_id)
    return {grants.key_counter(holder, source) for source in (terms.quota, terms.rate)} if terms else set()
