"""Who asked for how much, on which counter: keys' requests by the hour, as the rules of their policies count them.

The rules may be those of today or of a policy that is only thought of. Reads in batches: a fixed number of queries for
each thousand keys.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from django.db.models import QuerySet

from policies_app.limits import Limits, PolicyTerms
from policies_app.models import Api
from policies_app.periods import period_starts_ms
from sessions_app import grants
from sessions_app.models import Key, UsageHour
from sessions_app.replay import HOUR_MS, Lot, Quota
from sessions_app.terms import HOLDER, Holder, holders_of

BATCH = 1000
LONGEST_LEAD = timedelta(days=31)


class Rule(NamedTuple):
    """What judges a key's requests on one API. `quota` None: unlimited, and counted nowhere. `owner` as in Source."""

    counter: str
    quota: Quota | None
    owner: str


class Asked(NamedTuple):
    """Requests of one key on one API in one hour, as they were judged then."""

    key_id: str
    api_id: str
    hour_ms: int
    passed: int
    denied: int


@dataclass
class Quotas:
    """Quotas as `replay` wants them, of requests between two moments; one object for all that have the same numbers."""

    begin: datetime
    end: datetime
    unlimited_apis: frozenset[str]
    _known: dict[tuple[int, int, str, int, str], Quota] = field(default_factory=dict)

    def of(self, limits: Limits, zone: str) -> Quota:
        numbers = (limits.quota_max, limits.quota_renewal_rate, limits.quota_period, limits.quota_anchor_day, zone)
        if numbers not in self._known:
            self._known[numbers] = self._made(limits, zone)
        return self._known[numbers]

    def _made(self, limits: Limits, zone: str) -> Quota:
        if limits.quota_period == "rolling":
            return Quota(limits.quota_max, max(0, limits.quota_renewal_rate) * 1000)
        count = (self.end - self.begin).days + 3
        starts = period_starts_ms(limits.quota_period, limits.quota_anchor_day, zone, self.begin_ms, count)
        return Quota(limits.quota_max, starts_ms=starts)

    @cached_property
    def begin_ms(self) -> int:
        return _ms(self.begin)

    @cached_property
    def end_ms(self) -> int:
        return _ms(self.end)

    def since(self) -> datetime:
        """From when on requests count: a period that runs at the beginning has begun before."""
        leads = [_lead(quota, self.begin_ms) for quota in self._known.values()]
        return self.begin - min(timedelta(milliseconds=max(leads, default=0)), LONGEST_LEAD)

    def rules(self, holder: Holder, api_ids: Iterable[str]) -> dict[str, Rule]:
        """By API id; those that the key may not use are missing."""
        if holder.is_blocked:
            return {}
        return {api_id: rule for api_id in api_ids if (rule := self._rule(holder, api_id))}

    def _rule(self, holder: Holder, api_id: str) -> Rule | None:
        terms = grants.terms_on(holder, api_id)
        if terms is None:
            return None
        source = terms.quota
        if not source.limits.has_quota or api_id in self.unlimited_apis:
            return Rule("", None, source.owner)
        quota = self.of(source.limits, holder.key.organisation.timezone)
        return Rule(grants.key_counter(holder, source), quota, source.owner)


def quotas_between(begin: datetime, end: datetime) -> Quotas:
    """Rule 2.11: APIs that skip the quota are known to it."""
    skipping = Api.objects.filter(disable_quota=True).values_list("pk", flat=True)
    return Quotas(begin, end, frozenset(skipping))


def batches(keys: QuerySet[Key], most: int) -> Iterator[dict[str, Holder]]:
    """Holders of at most `most` keys, a thousand at a time; all of a batch belong to one organisation."""
    found = keys.order_by("organisation_id", "pk").values_list("organisation_id", "pk")[:most]
    by_organisation: dict[str, list[str]] = {}
    for organisation_id, key_id in found:
        by_organisation.setdefault(organisation_id, []).append(key_id)
    for key_ids in by_organisation.values():
        for begin in range(0, len(key_ids), BATCH):
            lot = Key.objects.select_related(HOLDER).filter(pk__in=key_ids[begin : begin + BATCH])
            yield holders_of(list(lot))


def asked(key_ids: Sequence[str], since: datetime) -> Iterator[Asked]:
    """What these keys asked for from then on. An hour has a row for each life of the counter store: they add up."""
    rows = UsageHour.objects.filter(key__in=key_ids, hour__gte=since).order_by()
    for key_id, api_id, hour, passed, denied in rows.values_list(
        "key_id", "api_id", "hour", "passed", "denied"
    ).iterator():
        yield Asked(key_id, api_id, _ms(hour), passed, denied)


def under(holder: Holder, terms: PolicyTerms) -> Holder:
    """The holder as if its policy of that id had these terms."""
    policies = tuple(terms if policy.id == terms.id else policy for policy in holder.policies)
    return replace(holder, policies=policies)


@dataclass(slots=True)
class Demand:
    """What was asked of one counter, by hour and quota: several keys may count on it with quotas of their own."""

    lots: dict[tuple[int, Quota], list[int]] = field(default_factory=dict)

    def add(self, row: Asked, quota: Quota) -> None:
        sums = self.lots.setdefault((row.hour_ms, quota), [0, 0])
        sums[0] += row.passed
        sums[1] += row.denied

    def __iter__(self) -> Iterator[Lot]:
        return (Lot(hour_ms, quota, *sums) for (hour_ms, quota), sums in self.lots.items())

    def passed_since(self, start_ms: int) -> int:
        """In the hour of that moment and after it."""
        start_ms -= start_ms % HOUR_MS
        return sum(passed for (hour_ms, _), (passed, _) in self.lots.items() if hour_ms >= start_ms)


def _lead(quota: Quota, begin_ms: int) -> int:
    return begin_ms - quota.starts_ms[0] if quota.starts_ms else quota.period_ms


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
