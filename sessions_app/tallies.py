"""Counters under a changed policy, settled: replayed, held against what is used of them now, and added up."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from sessions_app.demand import Asked, Demand, Quotas
from sessions_app.engine.types import Snapshot
from sessions_app.key_status import status_of
from sessions_app.replay import Precision, Quota, replay
from sessions_app.terms import Holder

KEYS_NAMED = 5


@dataclass(frozen=True, slots=True)
class Recounted:
    """One quota counter under the changed policy; `passed` and `denied` are requests of the replayed days.

    `subject` as people know it: the key's alias or id, or the custom rate limit key's value when `is_shared`.
    `key_ids` are at most 5 of the `keys` that count on it; `max` is the smallest of their quotas. `used` is live.
    """

    subject: str
    is_shared: bool
    organisation_id: str
    key_ids: tuple[str, ...]
    keys: int
    max: int
    used: int
    passed: int
    denied: int


@dataclass(slots=True)
class Candidate:
    """A counter under the changed policy. `of_policy`: for at least one key and API the policy decides on it."""

    subject: str
    is_shared: bool
    organisation_id: str
    quota: Quota
    of_policy: bool = False
    keys: int = 0
    living: int = 0
    key_ids: list[str] = field(default_factory=list)
    demand: Demand = field(default_factory=Demand)

    def join(self, holder: Holder, quota: Quota, end: datetime, *, of_policy: bool) -> None:
        self.of_policy |= of_policy
        self.keys += 1
        self.living += not status_of(holder, end).has_ended
        if len(self.key_ids) < KEYS_NAMED:
            self.key_ids.append(holder.key.pk)
        if quota.max < self.quota.max:
            self.quota = quota

    @property
    def precision(self) -> Precision:
        """In which order different quotas were asked within an hour is unknown."""
        quotas = {lot.quota for lot in self.demand} or {self.quota}
        return Precision.ABOUT if len(quotas) > 1 else quotas.pop().precision

    def recounted(self, used: int, passed: int, denied: int) -> Recounted:
        return Recounted(
            subject=self.subject,
            is_shared=self.is_shared,
            organisation_id=self.organisation_id,
            key_ids=tuple(self.key_ids),
            keys=self.keys,
            max=self.quota.max,
            used=used,
            passed=passed,
            denied=denied,
        )


@dataclass(slots=True)
class Tally:
    """Requests that passed then: what becomes of them, by day (UTC) where that is of interest."""

    quotas: Quotas
    passed: Counter[date] = field(default_factory=Counter)
    denied: Counter[date] = field(default_factory=Counter)
    refused: int = 0
    denied_unchanged: int = 0
    admitted: int = 0
    counted: int = 0
    above: list[Recounted] = field(default_factory=list)
    denying: list[Recounted] = field(default_factory=list)
    precisions: set[Precision] = field(default_factory=set)

    def uncounted(self, row: Asked, *, is_refused: bool) -> None:
        """Requests that no quota would judge."""
        if row.hour_ms < self.quotas.begin_ms:
            return
        if is_refused:
            self.refused += row.passed
        else:
            self.passed[_day(row.hour_ms)] += row.passed
            self.admitted += row.denied

    def unchanged(self, demand: Demand, live: Snapshot) -> None:
        """A counter as the policy is."""
        judged = replay(demand, _used_before(demand, live))
        self.denied_unchanged += sum(each.denied for each in judged if each.hour_ms >= self.quotas.begin_ms)

    def changed(self, counter: Candidate, live: Snapshot) -> None:
        """A counter as the policy would be."""
        passed = denied = 0
        for judged in replay(counter.demand, _used_before(counter.demand, live)):
            if judged.hour_ms >= self.quotas.begin_ms:
                day = _day(judged.hour_ms)
                self.passed[day] += judged.passed
                self.denied[day] += judged.denied
                self.admitted += judged.admitted
                passed, denied = passed + judged.passed, denied + judged.denied
        self.counted += 1
        self.precisions.add(counter.precision)
        used = live.used if counter.quota.runs(live.period_start_ms, self.quotas.end_ms) else 0
        recounted = counter.recounted(used, passed, denied)
        if counter.living and used >= counter.quota.max:
            self.above.append(recounted)
        if denied:
            self.denying.append(recounted)


def _used_before(demand: Demand, live: Snapshot) -> int:
    """Of an endless period: what had been used before the hours that are counted again; else 0, they begin anew."""
    if any(lot.quota.period_ms or lot.quota.starts_ms for lot in demand) or live.period_start_ms <= 0:
        return 0
    return max(0, live.used - demand.passed_since(live.period_start_ms))


def _day(hour_ms: int) -> date:
    return datetime.fromtimestamp(hour_ms / 1000, UTC).date()
