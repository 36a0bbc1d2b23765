"""What is allowed: limits as values, their validation, and how a key's own limits and its policies become one answer.
Pure.

The same fields with the same validation stand on keys, policies, access rights and organisation sessions. Section 3
of the semantics lives in `effective_terms`.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any

UNLIMITED = -1
MAX_QUOTA = 10**15
MAX_SECONDS = 10**10
MAX_RATE = 10**9
MAX_THRESHOLDS = 20
PERIODS = ("rolling", "day", "week", "month")
PERIOD_SECONDS = {"day": 86_400, "week": 7 * 86_400, "month": 30 * 86_400}
LIMIT_FIELDS = (
    "quota_max",
    "quota_renewal_rate",
    "quota_period",
    "quota_anchor_day",
    "rate",
    "per",
    "throttle_interval",
    "throttle_retry_limit",
)


@dataclass(frozen=True, slots=True)
class Limits:
    """One set of limits in Tyk's units: seconds, requests. `quota_max` -1 is unlimited, `quota_renewal_rate` <= 0
    never renews, `rate` or `per` <= 0 is no rate limit.
    """

    quota_max: int = UNLIMITED
    quota_renewal_rate: int = 0
    quota_period: str = "rolling"
    quota_anchor_day: int = 1
    rate: float = 0
    per: float = 0
    throttle_interval: float = 0
    throttle_retry_limit: int = 0

    @property
    def has_quota(self) -> bool:
        return self.quota_max != UNLIMITED

    @property
    def has_rate(self) -> bool:
        return self.rate > 0 and self.per > 0

    @property
    def period_seconds(self) -> float:
        """Nominal length of the quota's period; infinite when it never renews."""
        if self.quota_period != "rolling":
            return PERIOD_SECONDS[self.quota_period]
        return self.quota_renewal_rate if self.quota_renewal_rate > 0 else math.inf


# --- validation -------------------------------------------------------------------------------------------------------


def limit_errors(values: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with these limit fields (those present), by field name: says what is allowed (rules 2.2, 2.4,
    7.2).
    """
    errors = {name: message for name, check in CHECKS.items() if name in values and (message := check(values[name]))}
    calendar = values.get("quota_period", "rolling") != "rolling"
    if calendar and not errors and (values.get("quota_renewal_rate") or 0) < 0:
        errors["quota_renewal_rate"] = "must not be negative with a calendar period; leave it out or 0"
    return errors


def _number(low: float, high: float, *, whole: bool, hint: str) -> Any:
    kind = "a whole number" if whole else "a number"

    def check(value: Any) -> str:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or (isinstance(value, float) and not math.isfinite(value))
        ):
            return f"must be {kind}{hint}, not {value!r}"
        if whole and value != int(value):
            return f"must be {kind}{hint}, not {value!r}"
        bounds = f"between {_written(low)} and {_written(high)}"
        return "" if low <= value <= high else f"must be {kind}{hint} {bounds}, not {_written(value)}"

    return check


def _written(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:,.15g}"


def _check_quota_max(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool) and value == 0:
        return "must not be 0: use -1 for unlimited, is_inactive to block"
    return str(_number(UNLIMITED, MAX_QUOTA, whole=True, hint=" (requests per period; -1 is unlimited)")(value))


def _check_period(value: Any) -> str:
    return "" if value in PERIODS else f"must be one of {', '.join(PERIODS)}, not {value!r}"


def threshold_errors(value: Any) -> str:
    """Rule 7.2: percentages, each 0 < t <= 100, at most 20, strictly descending. The message names the position."""
    if not isinstance(value, list | tuple):
        return f"must be a list of percentages such as [90, 75, 50], not {value!r}"
    if len(value) > MAX_THRESHOLDS:
        return f"must have at most {MAX_THRESHOLDS} thresholds, not {len(value)}"
    for position, threshold in enumerate(value, 1):
        if message := _number(0, 100, whole=False, hint="")(threshold) or ("must be above 0" if threshold <= 0 else ""):
            return f"threshold {position} {message}; each is a percentage above 0 and at most 100"
        if position > 1 and threshold >= value[position - 2]:
            return _not_descending(position, threshold, value[position - 2])
    return ""


def _not_descending(position: int, threshold: float, before: float) -> str:
    relation = "is above" if threshold > before else "repeats"
    this, last = (
        f"the {_ordinal(place)}, {number:g}," for place, number in ((position, threshold), (position - 1, before))
    )
    return f"must descend: 90, 75, 50; {this} {relation} {last.removesuffix(',')}"


def _ordinal(number: int) -> str:
    """Up to MAX_THRESHOLDS: 1st, 2nd, 3rd, 4th."""
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number, 'th') }"


CHECKS: dict[str, Any] = {
    "quota_max": _check_quota_max,
    "quota_renewal_rate": _number(-MAX_SECONDS, MAX_SECONDS, whole=True, hint=" of seconds (0 or less never renews)"),
    "quota_period": _check_period,
    "quota_anchor_day": _number(1, 31, whole=True, hint=" (day of the month)"),
    "rate": _number(-1, MAX_RATE, whole=False, hint=" of requests (0 or less is no rate limit)"),
    "per": _number(-1, MAX_SECONDS, whole=False, hint=" of seconds (0 or less is no rate limit)"),
    "throttle_interval": _number(-1, MAX_SECONDS, whole=False, hint=" of seconds"),
    "throttle_retry_limit": _number(-1, 1000, whole=True, hint=" of retries"),
    "trigger_limits": threshold_errors,
}


# --- arithmetic -------------------------------------------------------------------------------------------------------


def threshold_label(percent: float) -> str:
    """80.0 is printed `80`, 12.5 is `12.5`, 0.00001 is `0.00001` (rule 7.6)."""
    return format(Decimal(format(float(percent), ".15g")), "f")


def usage_needed(quota_max: int, percent: float) -> int:
    """The usage that reaches a threshold: `ceil(quota_max * t / 100)`, exact (rule 7.3)."""
    return math.ceil(quota_max * Fraction(str(percent)) / 100)


def whole_rate(rate: float, per: float) -> tuple[int, int]:
    """(requests, window in ms) as integers with the same ratio: 0.5 per 1 s is 1 per 2 s, 2.5 per 1 s is 5 per 2 s."""
    exact = Fraction(str(rate)).limit_denominator(1000)
    exact = exact if exact > 0 else Fraction(1, 1000)
    window_ms = max(1, round(Fraction(str(per)) * 1000 * exact.denominator))
    return exact.numerator, window_ms


# --- policies on keys -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PolicyTerms:
    """A policy as the merge sees it. `rights` maps API ids to limits of their own, or None. Empty `partitions` supply
    all.
    """

    id: str
    limits: Limits
    rights: Mapping[str, Limits | None]
    partitions: frozenset[str] = frozenset()
    is_inactive: bool = False
    trigger_limits: tuple[float, ...] = ()
    meta_data: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()

    def grants(self, api_id: str) -> bool:
        return self.supplies("acl") and api_id in self.rights

    def supplies(self, part: str) -> bool:
        """`per_api` supplies access and both kinds of limits for the APIs that it grants."""
        return not self.partitions or part in self.partitions or "per_api" in self.partitions

    def limits_on(self, api_id: str, part: str) -> "Source | None":
        """This policy's limits for one API, or None if it has no say in that part there (rules 3.1, 3.3, 3.5)."""
        if not self.supplies(part) or (self.supplies("acl") and api_id not in self.rights):
            return None
        own = self.rights.get(api_id)
        return Source(own, f"api:{api_id}", self.id) if own else Source(self.limits, f"policy:{self.id}", self.id)


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """A key as the merge sees it. `policies` are the ids applied to it, known or not, in order."""

    id: str
    limits: Limits
    rights: Mapping[str, Limits | None]
    policies: tuple[str, ...] = ()
    trigger_limits: tuple[float, ...] = ()
    meta_data: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()

    def limits_on(self, api_id: str) -> "Source":
        own = self.rights.get(api_id)
        return Source(own, f"api:{api_id}", f"key:{self.id}") if own else Source(self.limits, "", f"key:{self.id}")


@dataclass(frozen=True, slots=True)
class Source:
    """Limits, the scope of their counter, and whose they are: a policy's id or `key:<id>`."""

    limits: Limits
    scope: str
    owner: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What one key may do on one API, merged. `quota` and `rate` may come from different sources (rule 3.4): each is
    the most generous of its candidates, which stand best first.
    """

    quotas: tuple[Source, ...]
    rates: tuple[Source, ...]
    throttle_interval: float
    throttle_retry_limit: int
    trigger_limits: tuple[float, ...]

    @property
    def quota(self) -> Source:
        return self.quotas[0]

    @property
    def rate(self) -> Source:
        return self.rates[0]


def effective_terms(key: KeyTerms, policies: Iterable[PolicyTerms], api_id: str) -> Terms | None:
    """The merged terms, or None if this API is not granted (rules 3.1 to 3.6). `policies` are the known ones of the
    key.
    """
    known = list(policies)
    if key.policies and not known:
        return None
    granting = [policy for policy in known if policy.supplies("acl")]
    if not (any(policy.grants(api_id) for policy in granting) if granting else api_id in key.rights):
        return None
    rates = _sources(known, api_id, "rate_limit") or [key.limits_on(api_id)]
    return Terms(
        quotas=tuple(sorted(_sources(known, api_id, "quota") or [key.limits_on(api_id)], key=quota_rank)),
        rates=tuple(sorted(rates, key=rate_rank)),
        throttle_interval=max(source.limits.throttle_interval for source in rates),
        throttle_retry_limit=max(source.limits.throttle_retry_limit for source in rates),
        trigger_limits=merged_trigger_limits(key, known),
    )


def _sources(policies: list[PolicyTerms], api_id: str, part: str) -> list[Source]:
    return [source for policy in policies if (source := policy.limits_on(api_id, part))]


def quota_rank(source: Source) -> tuple[float, float, str]:
    """The most generous quota first: greatest max, then the shorter renewal; the id makes the order of policies
    irrelevant.
    """
    limits = source.limits
    return (
        -limits.quota_max if limits.has_quota else -math.inf,
        limits.period_seconds if limits.has_quota else 0,
        source.owner,
    )


def rate_rank(source: Source) -> tuple[Fraction | float, str]:
    limits = source.limits
    if not limits.has_rate:
        return -math.inf, source.owner
    return -_per_second(limits.rate, limits.per), source.owner


@lru_cache(maxsize=10_000)
def _per_second(rate: float, per: float) -> Fraction:
    """As written: 0.1 is a tenth."""
    return Fraction(str(rate)) / Fraction(str(per))


def merged_trigger_limits(key: KeyTerms, policies: Iterable[PolicyTerms]) -> tuple[float, ...]:
    """Policies' thresholds, in union, replace the key's own (rule 7.2)."""
    union = {threshold for policy in policies for threshold in policy.trigger_limits}
    return tuple(sorted(union, reverse=True)) or key.trigger_limits


def merged_meta_data(key: KeyTerms, policies: Iterable[PolicyTerms]) -> dict[str, Any]:
    """The computed session's metadata: policies' fields overwrite the key's, in policy order (rule 3.7)."""
    merged = dict(key.meta_data)
    for policy in policies:
        merged.update(policy.meta_data)
    return merged


def merged_tags(key: KeyTerms, policies: Iterable[PolicyTerms]) -> tuple[str, ...]:
    """The union, in order of first appearance (rule 3.7)."""
    return tuple(dict.fromkeys([*key.tags, *(tag for policy in policies for tag in policy.tags)]))
