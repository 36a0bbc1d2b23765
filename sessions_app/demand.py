"""Who asked for how much, on which counter: keys' requests by the hour, as the rules of their policies count them.

The rules may be those of today or of a policy that is only thought of.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple

from django.db.models import BigIntegerField, F, Func

from policies_app.limits import Limits, PolicyTerms, effective_terms
from policies_app.models import Api
from policies_app.periods import period_starts_ms
from sessions_app.members import Cohort
from sessions_app.models import UsageHour
from sessions_app.queries import Among
from sessions_app.replay import HOUR_MS, Lot, Quota

LONGEST_LEAD_MS = 31 * 24 * HOUR_MS


class Rule(NamedTuple):
    """What judges a key's requests on one API: the quota of the key's counter with this scope (as in Source). `quota`
    None: unlimited, and counted nowhere. `owner` as in Source.
    """

    scope: str
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
    _by_numbers: dict[tuple[int, int, tuple[int, ...]], Quota] = field(default_factory=dict)

    def of(self, limits: Limits, zone: str) -> Quota:
        name = (limits.quota_max, limits.quota_renewal_rate, limits.quota_period, limits.quota_anchor_day, zone)
        if name not in self._known:
            self._known[name] = self._made(limits, zone)
        return self._known[name]

    def _made(self, limits: Limits, zone: str) -> Quota:
        if limits.quota_period == "rolling":
            return self.with_numbers(limits.quota_max, max(0, limits.quota_renewal_rate) * 1000)
        count = (self.end - self.begin).days + 3
        starts = period_starts_ms(limits.quota_period, limits.quota_anchor_day, zone, self.begin_ms, count)
        return self.with_numbers(limits.quota_max, 0, starts)

    def with_numbers(self, most: int, period_ms: int, starts_ms: Sequence[int] = ()) -> Quota:
        numbers = (most, period_ms, tuple(starts_ms))
        return self._by_numbers.setdefault(numbers, Quota(*numbers))

    @cached_property
    def begin_ms(self) -> int:
        return _ms(self.begin)

    @cached_property
    def end_ms(self) -> int:
        return _ms(self.end)

    def since_ms(self, quota: Quota) -> int:
        """From when on requests count for it: the period that runs at the beginning has begun before."""
        lead = self.begin_ms - quota.starts_ms[0] if quota.starts_ms else quota.period_ms
        return self.begin_ms - min(lead, LONGEST_LEAD_MS)

    def rules(self, cohort: Cohort, policies: Sequence[PolicyTerms], api_ids: Iterable[str]) -> dict[str, Rule]:
        """Of the cohort's keys with these policies, by API id; APIs that they may not use are missing."""
        if cohort.is_inactive or any(policy.is_inactive for policy in policies):
            return {}
        return {api_id: rule for api_id in api_ids if (rule := self._rule(cohort, policies, api_id))}

    def _rule(self, cohort: Cohort, policies: Sequence[PolicyTerms], api_id: str) -> Rule | None:
        terms = effective_terms(cohort.terms, policies, api_id)
        if terms is None:
            return None
        source = terms.quota
        if not source.limits.has_quota or api_id in self.unlimited_apis:
            return Rule("", None, source.owner)
        return Rule(source.scope, self.of(source.limits, cohort.zone), source.owner)


def quotas_between(begin: datetime, end: datetime) -> Quotas:
    """Rule 2.11: APIs that skip the quota are known to it."""
    skipping = Api.objects.filter(disable_quota=True).values_list("pk", flat=True)
    return Quotas(begin, end, frozenset(skipping))


class _UnixSeconds(Func):
    """A moment as a number: reading hundreds of thousands of them as text takes most of the time."""

    template = "CAST(strftime('%%%%s', %(expressions)s) AS INTEGER)"
    output_field = BigIntegerField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="CAST(EXTRACT(EPOCH FROM %(expressions)s) AS bigint)")


def asked(key_ids: Sequence[str], api_ids: Collection[str], since_ms: int) -> Iterator[Asked]:
    """What these keys asked for on these APIs from then on, key by key in the order of their ids; read as it is used.
    An hour has a row for each life of the counter store: they add up.
    """
    since = datetime.fromtimestamp(since_ms / 1000, UTC)
    rows = UsageHour.objects.filter(Among(F("key_id"), key_ids), api__in=sorted(api_ids), hour__gte=since)
    columns = ("key_id", "api_id", _UnixSeconds(F("hour")), "passed", "denied")
    for key_id, api_id, hour, passed, denied in rows.order_by("key_id").values_list(*columns).iterator():
        yield Asked(key_id, api_id, hour * 1000, passed, denied)


@dataclass(slots=True)
class Demand:
    """What was asked of one counter, by quota and hour: several keys may count on it with quotas of their own."""

    lots: dict[Quota, dict[int, list[int]]] = field(default_factory=dict)

    def add(self, quota: Quota, hour_ms: int, passed: int, denied: int) -> None:
        sums = self.lots.setdefault(quota, {}).setdefault(hour_ms, [0, 0])
        sums[0] += passed
        sums[1] += denied

    def __iter__(self) -> Iterator[Lot]:
        """The smallest quota first: in which order several were asked within an hour is unknown."""
        for quota, hours in sorted(self.lots.items(), key=lambda lot: lot[0].numbers):
            for hour_ms, (passed, denied) in hours.items():
                yield Lot(hour_ms, quota, passed, denied)

    def written(self) -> list[Any]:
        """As JSON, for `taken_up`."""
        return [[quota.numbers, [[hour, *sums] for hour, sums in hours.items()]] for quota, hours in self.lots.items()]

    @classmethod
    def taken_up(cls, quotas: Quotas, written: Iterable[Any]) -> "Demand":
        lots = ((quotas.with_numbers(*numbers), hours) for numbers, hours in written)
        return cls({quota: {hour: sums for hour, *sums in hours} for quota, hours in lots})

    @property
    def total(self) -> int:
        return sum(sum(sums) for hours in self.lots.values() for sums in hours.values())

    def passed_since(self, start_ms: int) -> int:
        """In the hour of that moment and after it."""
        start_ms -= start_ms % HOUR_MS
        return sum(sums[0] for hours in self.lots.values() for hour_ms, sums in hours.items() if hour_ms >= start_ms)


def changed_policies(policies: Iterable[PolicyTerms], changed: PolicyTerms) -> tuple[PolicyTerms, ...]:
    """The policies as if the one of that id had these terms."""
    return tuple(changed if policy.id == changed.id else policy for policy in policies)


def meta_data_of(policies: Iterable[PolicyTerms]) -> Mapping[str, Any]:
    """What they put over the metadata of their keys (rule 3.7)."""
    merged: dict[str, Any] = {}
    for policy in policies:
        merged.update(policy.meta_data)
    return merged


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
