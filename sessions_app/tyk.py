"""Session objects of keys and organisations between Tyk's JSON and ours; used by both APIs, import and export alike.

Pure. `stored` is what was written; `computed` is what counts: policies applied, with live usage. Nothing computed is
written back (rule 3.7).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from organisations_app.documents import Reader
from organisations_app.models import IDENTIFIER
from policies_app.limits import (
    Source,
    Terms,
    effective_terms,
    merged_tags,
    merged_trigger_limits,
    quota_rank,
    rate_rank,
)
from policies_app.models import AccessRightFields
from policies_app.tyk import (
    LIVE_MEMBERS,
    finish,
    limits_to_tyk,
    read_limits,
    read_meta_data,
    read_organisation_id,
    read_rights,
    read_trigger_limits,
    right_to_tyk,
    with_nested,
)
from sessions_app.drafts import SessionDraft
from sessions_app.models import Key, OrgSession
from sessions_app.terms import Holder
from sessions_app.usage import QuotaUsage

ANSWERED_ONLY = ("date_created", "last_updated", "last_check", *LIVE_MEMBERS)
LAST_SECOND = 253_402_300_799  # of the year 9999, where datetimes end


# --- reading ----------------------------------------------------------------------------------------------------------


def session_from_tyk(document: Any, *, organisation_id: str = "", strict: bool = False) -> SessionDraft:
    """A session object; `organisation_id` stands in for an absent `org_id`. `strict` as in policies_app.tyk.

    Raises DocumentError with everything that is wrong.
    """
    reader = Reader(document)
    monitor = reader.nested("monitor")
    reader.skip(*ANSWERED_ONLY)
    draft = SessionDraft(
        organisation_id=read_organisation_id(reader, organisation_id),
        alias=reader.text("alias", longest=200),
        limits=read_limits(reader, strict=strict),
        trigger_limits=read_trigger_limits(monitor),
        rights=read_rights(reader, strict=strict),
        policies=read_policies(reader),
        is_inactive=reader.boolean("is_inactive"),
        expires_at=read_expiry(reader),
        meta_data=read_meta_data(reader),
        tags=tuple(reader.texts("tags")),
        extra=with_nested(reader, monitor=monitor),
    )
    finish(reader, strict, monitor)
    return draft


def org_session_from_tyk(document: Any, organisation_id: str, *, strict: bool = False) -> SessionDraft:
    """An organisation's session object; an `org_id` in it must be `organisation_id`. Raises DocumentError."""
    reader = Reader(document)
    monitor = reader.nested("monitor")
    reader.skip(*ANSWERED_ONLY)
    if read_organisation_id(reader, organisation_id) != organisation_id:
        reader.refuse("org_id", f"must be {organisation_id}, as in the address, or left out")
    reader.check("org_id", organisation_id, IDENTIFIER)
    draft = SessionDraft(
        organisation_id=organisation_id,
        limits=read_limits(reader, strict=strict),
        trigger_limits=read_trigger_limits(monitor),
        is_inactive=reader.boolean("is_inactive"),
        meta_data=read_meta_data(reader),
        tags=tuple(reader.texts("tags")),
        extra=with_nested(reader, monitor=monitor),
    )
    finish(reader, strict, monitor)
    return draft


def read_policies(reader: Reader) -> tuple[str, ...]:
    """`apply_policies`, or the older `apply_policy_id` when there is no list."""
    several, single = reader.texts("apply_policies"), reader.text("apply_policy_id")
    chosen = tuple(dict.fromkeys(several or ([single] if single else [])))
    for policy_id in chosen:
        reader.check("apply_policies" if several else "apply_policy_id", policy_id, IDENTIFIER)
    return chosen


def read_expiry(reader: Reader) -> datetime | None:
    """`expires`: unix seconds; 0 or less never."""
    seconds = reader.whole(
        "expires", low=-LAST_SECOND, high=LAST_SECOND, meaning=" (unix seconds; 0 or less never expires)"
    )
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds <= LAST_SECOND else None


# --- writing ----------------------------------------------------------------------------------------------------------


def stored_key(
    key: Key, rights: Iterable[AccessRightFields], policies: Sequence[str], names: Mapping[str, str]
) -> dict[str, Any]:
    """A key's own session object, without what its policies add. `names` are the APIs' names by id."""
    return {
        **key.extra,
        "org_id": key.organisation_id,
        "alias": key.alias,
        **limits_to_tyk(key.limits()),
        "apply_policies": list(policies),
        "access_rights": {right.api_id: right_to_tyk(right, names) for right in rights},
        "is_inactive": key.is_inactive,
        "expires": int(key.expires_at.timestamp()) if key.expires_at else 0,
        "meta_data": key.meta_data,
        "tags": key.tags,
        "monitor": {**key.extra.get("monitor", {}), "trigger_limits": key.trigger_limits},
        "date_created": key.created_at.isoformat(),
        "last_updated": str(int(key.updated_at.timestamp())),
    }


def computed_key(
    holder: Holder,
    stored: Mapping[str, Any],
    rights: Iterable[AccessRightFields],
    names: Mapping[str, str],
    usage: Sequence[QuotaUsage] | None,
) -> dict[str, Any]:
    """A key's session with its policies applied and live usage (section 3).

    `rights` are those of its policies; `usage` None is unknown.
    """
    terms = {
        api_id: found
        for api_id in holder.api_ids()
        if (found := effective_terms(holder.terms, holder.policies, api_id))
    }
    described = {**{right.api_id: right_to_tyk(right, names) for right in rights}, **stored["access_rights"]}
    return {
        **stored,
        **root_of(holder, terms).members(usage),
        "access_rights": {
            api_id: {**described[api_id], "limit": _right_limit(found, usage)} for api_id, found in terms.items()
        },
        "is_inactive": holder.is_blocked,
        "meta_data": holder.meta_data,
        "tags": list(merged_tags(holder.terms, holder.policies)),
        "monitor": {**stored["monitor"], "trigger_limits": list(merged_trigger_limits(holder.terms, holder.policies))},
    }


@dataclass(frozen=True, slots=True)
class Shown:
    """What one place of a computed session says: the quota and the rate that count there."""

    quota: Source
    rate: Source
    throttle_interval: float
    throttle_retry_limit: int

    def members(self, usage: Sequence[QuotaUsage] | None) -> dict[str, Any]:
        quota, rate = self.quota.limits, self.rate.limits
        limits = replace(
            quota,
            rate=rate.rate,
            per=rate.per,
            throttle_interval=self.throttle_interval,
            throttle_retry_limit=self.throttle_retry_limit,
        )
        return {**limits_to_tyk(limits), **live(self.quota, usage)}


def root_of(holder: Holder, terms: Mapping[str, Terms]) -> Shown:
    """What stands at the root: the most generous of what counts for no single API. Without any, the key's own."""
    own = holder.terms.limits_on("")
    shared = [found for found in terms.values() if not found.quota.scope.startswith("api:")]
    if not shared and holder.policies and len(terms) == 1:
        shared = list(terms.values())
    return Shown(
        quota=min((found.quota for found in shared), key=quota_rank, default=own),
        rate=min((found.rate for found in shared), key=rate_rank, default=own),
        throttle_interval=max((found.throttle_interval for found in shared), default=own.limits.throttle_interval),
        throttle_retry_limit=max(
            (found.throttle_retry_limit for found in shared), default=own.limits.throttle_retry_limit
        ),
    )


def _right_limit(terms: Terms, usage: Sequence[QuotaUsage] | None) -> dict[str, Any]:
    """An access right's own limits and counter; empty when the root's count for it."""
    if not terms.quota.scope and not terms.rate.scope:
        return {}
    return Shown(terms.quota, terms.rate, terms.throttle_interval, terms.throttle_retry_limit).members(usage)


def live(source: Source, usage: Sequence[QuotaUsage] | None) -> dict[str, int]:
    """`quota_remaining` and `quota_renews` of one quota; -1 and 0 when unlimited.

    Left out when the store did not answer.
    """
    if usage is None:
        return {}
    if not source.limits.has_quota:
        return {"quota_remaining": -1, "quota_renews": 0}
    counting = (quota for quota in usage if _counts(quota, source))
    found = min(counting, key=lambda quota: quota.scope != source.scope, default=None)
    used, renews_at = (found.used, found.renews_at) if found else (0, None)
    return {"quota_remaining": max(0, source.limits.quota_max - used), "quota_renews": renews_at or 0}


def _counts(quota: QuotaUsage, source: Source) -> bool:
    """A custom rate limit key has one counter for all policies, reported under one of them (rule 5.5)."""
    return quota.scope == source.scope or (quota.shared and not quota.api_id and not source.scope.startswith("api:"))


def live_members(usage: QuotaUsage) -> dict[str, int]:
    """`quota_renews` is in unix seconds; 0 while no period runs, or when it never renews."""
    return {"quota_remaining": usage.remaining, "quota_renews": usage.renews_at or 0}


def org_session_to_tyk(session: OrgSession, usage: QuotaUsage | None = None) -> dict[str, Any]:
    """An organisation's session object, with live usage if given."""
    return {
        **session.extra,
        "org_id": session.organisation_id,
        **limits_to_tyk(session.limits()),
        **(
            {"quota_remaining": -1, "quota_renews": 0}
            if not session.limits().has_quota
            else live_members(usage)
            if usage
            else {}
        ),
        "is_inactive": session.is_inactive,
        "meta_data": session.meta_data,
        "tags": session.tags,
        "monitor": {**session.extra.get("monitor", {}), "trigger_limits": session.trigger_limits},
    }
