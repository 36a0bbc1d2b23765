"""Grants: what a credential may do on an API, compiled from the database and kept in a bounded cache of this process.

A cached grant is never trusted to be new: the counter function compares its versions with each request (rule 1.5).
"""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

from django.utils import timezone

from organisations_app import sealing
from policies_app.limits import Limits, Source, Terms, effective_terms, threshold_label, usage_needed, whole_rate
from policies_app.models import Api
from policies_app.patterns import FIELD, Pattern, parse
from policies_app.periods import period_starts_ms
from sessions_app import strangers, tokens
from sessions_app.engine import names
from sessions_app.engine.types import Grant, Limit, LimitName, QuotaLimit, RateLimit, Refusal, Threshold, Throttle
from sessions_app.keys import recognise
from sessions_app.models import Credential, Key
from sessions_app.recency import RecentlyUsed
from sessions_app.terms import Holder, read_holders
from sessions_app.watch import Watch, WatchOf, watcher

CACHE_SIZE = 50_000
CLOCK_SKEW_MS = 60_000
_cache: RecentlyUsed[tuple[str, str], tuple[Grant, int]] = RecentlyUsed(CACHE_SIZE)


def cached(token: str, api_id: str) -> Grant | None:
    """The grant that this process compiled before, unless its credential has ended since. No I/O."""
    found = _cache.get((tokens.digest(token), api_id))
    if found is None or (found[1] and found[1] <= _ms(timezone.now())):
        return None
    return found[0]


def compile_grant(token: str, api_id: str) -> Grant | Refusal:
    """Reads the database and caches the grant. A token that opens no living key is refused as unknown (rule 1.4)."""
    if not tokens.may_exist(token):
        return Refusal.UNKNOWN_KEY
    name = (tokens.digest(token), api_id)
    credential, organisation_id = recognise(token), ""
    if credential is None and not tokens.is_ours(token):
        organisation_id = _organisation_of(api_id)  # where it may be a custom id of Tyk's
        credential = recognise(token, organisation_id)
    holder = _holder(credential.key, api_id) if credential else None
    # Once more: what ended a credential or a key after the versions were read will move them.
    credential = Credential.objects.filter(digest=credential.digest).first() if credential and holder else None
    if holder is None or credential is None or is_gone(holder.key) or _has_ended(credential):
        _cache.discard(name)
        _remember_stranger(token, api_id, organisation_id)
        return Refusal.UNKNOWN_KEY
    grant = grant_of(holder, Api.objects.filter(pk=api_id).first() or Api(pk=api_id), token)
    _cache.put(name, (grant, _ms(credential.expires_at)))
    return grant


def _organisation_of(api_id: str) -> str:
    return Api.objects.filter(pk=api_id).values_list("organisation_id", flat=True).first() or ""


def _remember_stranger(token: str, api_id: str, organisation_id: str) -> None:
    """Only what no row knows: a key that was revoked or has ended stays the database's to tell."""
    digest = tokens.digest(token)
    number = strangers.issued_number(digest)  # before the last look, so that a key issued meanwhile is newer
    names = tokens.names_of(token, organisation_id)
    if not Credential.objects.filter(digest__in=names).exists():
        strangers.remember(digest, api_id, number)


def _holder(key: Key, api_id: str) -> Holder | None:
    return read_holders([(key.organisation_id, key.pk)], api_id).get(key.pk)


def is_gone(key: Key) -> bool:
    """Revoked, or waiting to be erased with its organisation."""
    return key.revoked_at is not None or key.organisation.closed_at is not None


def _has_ended(credential: Credential) -> bool:
    return credential.expires_at is not None and credential.expires_at <= timezone.now()


def forget() -> None:
    """Empties the cache: for tests, whose databases come and go."""
    _cache.clear()


# --- compiling --------------------------------------------------------------------------------------------------------


def grant_of(holder: Holder, api: Api, token: str = "", watch: WatchOf | None = None) -> Grant:
    """The grant of a key on an API. Without the raw `token` it can be used to look, but its events name no key.
    `watch` answers for who asks about several APIs at once.
    """
    key = holder.key
    terms = terms_on(holder, api.pk)
    limits = limits_on(holder, api, terms, watch or watcher())
    return Grant(
        organisation_id=key.organisation_id,
        bucket=names.bucket_of(key.organisation_id),
        key_id=key.pk,
        api_id=api.pk,
        versions=holder.versions,
        limits=limits,
        event_context=event_context(
            holder, api, token, any(isinstance(limit, QuotaLimit) and limit.thresholds for limit in limits)
        ),
        expires_at_ms=_ms(key.expires_at),
        refusal=_refusal(holder, terms),
        throttle=_throttle(terms),
        fail_open=api.on_store_failure == Api.OnStoreFailure.OPEN,
    )


def terms_on(holder: Holder, api_id: str) -> Terms | None:
    """The merged terms of a key on one API; None if it is not granted."""
    return effective_terms(holder.terms, holder.policies, api_id)


def _refusal(holder: Holder, terms: Terms | None) -> Refusal | None:
    """In the order of rule 1.4."""
    if holder.is_blocked:
        return Refusal.INACTIVE_KEY
    if holder.session is not None and holder.session.is_inactive:
        return Refusal.INACTIVE_ORGANISATION
    return Refusal.API_FORBIDDEN if terms is None else None


def _throttle(terms: Terms | None) -> Throttle | None:
    if terms is None or terms.throttle_interval <= 0 or terms.throttle_retry_limit <= 0:
        return None
    return Throttle(max(1, round(terms.throttle_interval * 1000)), terms.throttle_retry_limit)


def limits_on(holder: Holder, api: Api, terms: Terms | None, watch: WatchOf) -> tuple[Limit, ...]:
    """The limits of one request, in the order in which they are reported (rule 2.8). Rule 2.11 leaves out what the
    API skips.
    """
    zone = holder.key.organisation.timezone
    limits = [*_organisation_limits(holder, zone, watch), *(_key_limits(holder, terms, zone, watch) if terms else ())]
    return tuple(
        limit
        for limit in limits
        if not (api.disable_quota if isinstance(limit, QuotaLimit) else api.disable_rate_limit)
    )


def _organisation_limits(holder: Holder, zone: str, watch: WatchOf) -> list[Limit]:
    if holder.session is None:
        return []
    source = Source(holder.session.limits(), "", "org")
    counter = names.organisation_counter(holder.key.organisation_id)
    limits: list[Limit] = _rate_limits(LimitName.ORG_RATE, counter, source)
    if source.limits.has_quota:
        watched = _watched(holder, "org", source, tuple(holder.session.trigger_limits), watch)
        limits.append(quota_limit(LimitName.ORG_QUOTA, counter, source, zone, watched))
    return limits


def _key_limits(holder: Holder, terms: Terms, zone: str, watch: WatchOf) -> list[Limit]:
    limits: list[Limit] = _rate_limits(LimitName.KEY_RATE, key_counter(holder, terms.rate), terms.rate)
    if terms.quota.limits.has_quota:
        watched = _watched(holder, "key", terms.quota, terms.trigger_limits, watch)
        limits.append(quota_limit(LimitName.KEY_QUOTA, key_counter(holder, terms.quota), terms.quota, zone, watched))
    return limits


def _watched(
    holder: Holder, kind: str, source: Source, own: tuple[float, ...], watch: WatchOf
) -> tuple[Threshold, ...]:
    return thresholds(source.limits.quota_max, own, watch(holder.key.organisation_id, kind))


def key_counter(holder: Holder, source: Source) -> str:
    """Where the units of this source's limits are counted: the credential's counter, or the custom subject's (section
    5).
    """
    return counter_of(holder.key.organisation_id, holder.key.pk, custom_subject(holder), source.scope)


def counter_of(organisation_id: str, key_id: str, subject: str | None, scope: str) -> str:
    """As key_counter, of a key whose custom subject is known."""
    if subject is None:
        return names.key_counter(organisation_id, key_id, scope)
    return names.subject_counter(organisation_id, subject, scope if scope.startswith("api:") else "")


def custom_subject(holder: Holder) -> str | None:
    """The computed custom rate limit key, or None when the key counts for itself (rule 5.4)."""
    return subject_in(holder.meta_data)


def subject_in(meta_data: Mapping[str, object]) -> str | None:
    """As custom_subject, of a computed session's metadata."""
    pattern = _parsed(str(meta_data.get(FIELD) or ""))
    return pattern.subject(meta_data) if pattern else None


@lru_cache(maxsize=10_000)
def _parsed(text: str) -> Pattern | None:
    return parse(text)


def _rate_limits(name: LimitName, counter: str, source: Source) -> list[Limit]:
    if not source.limits.has_rate:
        return []
    requests, window_ms = whole_rate(source.limits.rate, source.limits.per)
    return [RateLimit(name, counter, requests, window_ms, source.owner)]


def quota_limit(
    name: LimitName, counter: str, source: Source, zone: str, watched: tuple[Threshold, ...] = ()
) -> QuotaLimit:
    """The engine's form of a quota that has a maximum."""
    limits = source.limits
    rolling = limits.quota_period == "rolling"
    return QuotaLimit(
        name=name,
        counter=counter,
        max=limits.quota_max,
        period_ms=max(0, limits.quota_renewal_rate) * 1000 if rolling else 0,
        source=source.owner,
        boundaries_ms=() if rolling else _boundaries(limits, zone),
        thresholds=watched,
    )


def _boundaries(limits: Limits, zone: str) -> tuple[int, ...]:
    # The store's clock decides, and may be behind ours: just after midnight its period is still the one before.
    return period_starts_ms(limits.quota_period, limits.quota_anchor_day, zone, _ms(timezone.now()) - CLOCK_SKEW_MS)


def thresholds(quota_max: int, own: tuple[float, ...], watch: Watch) -> tuple[Threshold, ...]:
    """The subject's own thresholds and the monitors' global ones, ascending; none if nobody listens (rule 7.2)."""
    if not watch.enabled:
        return ()
    percents = {threshold_label(percent): percent for percent in (*own, *watch.global_limits) if percent > 0}
    asked = {threshold_label(percent) for percent in own}
    ascending = sorted(percents.items(), key=lambda item: item[1])
    return tuple(Threshold(label, usage_needed(quota_max, percent), label in asked) for label, percent in ascending)


def event_context(holder: Holder, api: Api, token: str, watched: bool) -> bytes:
    """What an event says beside its numbers; the raw key travels encrypted (rule 7.6). Computed once per grant."""
    key = holder.key
    context = {
        "org": key.organisation_id,
        "key": key.pk,
        "api": api.pk,
        "alias": key.alias,
        "hint": tokens.hint(token) if token else "",
        "digest": tokens.digest(token) if token else "",
        "sealed": sealing.seal(token) if watched else "",
    }
    return json.dumps(context, separators=(",", ":")).encode()


def _ms(moment: datetime | None) -> int:
    return round(moment.timestamp() * 1000) if moment else 0
