"""Counters under a changed policy, settled: replayed, held against what is used of them now, and added up.

A tally is small whatever was counted, and can be written down and taken up again.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from heapq import nlargest
from typing import Any

from sessions_app.demand import Demand, Quotas
from sessions_app.engine.types import Snapshot
from sessions_app.replay import Judged, Precision, Quota, replay

KEYS_NAMED = 5
MOST_LISTED = 20
DAY_MS = 86_400_000
CANDIDATE = ("subject", "is_shared", "organisation_id", "keys", "living", "key_ids")
NUMBERS = ("keys", "counted", "refused", "denied_unchanged", "admitted", "above_total")


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
    """A counter under the changed policy. `living`: how many of its keys have not ended."""

    subject: str
    is_shared: bool
    organisation_id: str
    quota: Quota
    keys: int = 0
    living: int = 0
    key_ids: list[str] = field(default_factory=list)
    demand: Demand = field(default_factory=Demand)

    def join(self, key_id: str, quota: Quota, *, has_ended: bool) -> None:
        self.keys += 1
        self.living += not has_ended
        if len(self.key_ids) < KEYS_NAMED:
            self.key_ids.append(key_id)
        if quota.max < self.quota.max:
            self.quota = quota

    def written(self) -> dict[str, Any]:
        """As JSON, for `taken_up`."""
        plain = {name: getattr(self, name) for name in CANDIDATE}
        return {**plain, "quota": self.quota.numbers, "demand": self.demand.written()}

    @classmethod
    def taken_up(cls, quotas: Quotas, written: Mapping[str, Any]) -> "Candidate":
        read = {"quota": quotas.with_numbers(*written["quota"]), "demand": Demand.taken_up(quotas, written["demand"])}
        return cls(**{**written, **read})

    @property
    def precision(self) -> Precision:
        """In which order different quotas were asked within an hour is unknown."""
        quotas = set(self.demand.lots) or {self.quota}
        return Precision.ABOUT if len(quotas) > 1 else quotas.pop().precision


@dataclass(slots=True)
class Tally:
    """Requests that passed then: what becomes of them, by day (UTC, from 1970) where that is of interest.

    `above` and `denying` hold the first MOST_LISTED, and some that will still be left out.
    """

    quotas: Quotas
    passed: Counter[int] = field(default_factory=Counter)
    denied: Counter[int] = field(default_factory=Counter)
    keys: int = 0
    counted: int = 0
    refused: int = 0
    denied_unchanged: int = 0
    admitted: int = 0
    above_total: int = 0
    above: list[Recounted] = field(default_factory=list)
    denying: list[Recounted] = field(default_factory=list)
    precisions: set[Precision] = field(default_factory=set)

    def uncounted(self, hour_ms: int, passed: int, denied: int, *, is_refused: bool) -> None:
        """Requests that no quota would judge."""
        if hour_ms < self.quotas.begin_ms:
            return
        if is_refused:
            self.refused += passed
        else:
            self.passed[hour_ms // DAY_MS] += passed
            self.admitted += denied

    def unchanged(self, demand: Demand, live: Snapshot) -> None:
        """A counter as the policy is."""
        used_before = _used_before(demand, live)
        if not _fits(demand, used_before):
            judged = replay(demand, used_before)
            self.denied_unchanged += sum(each.denied for each in judged if each.hour_ms >= self.quotas.begin_ms)

    def changed(self, counter: Candidate, live: Snapshot) -> None:
        """A counter as the policy would be."""
        passed = denied = 0
        for judged in _judged(counter.demand, live):
            if judged.hour_ms >= self.quotas.begin_ms:
                day = judged.hour_ms // DAY_MS
                self.passed[day] += judged.passed
                self.denied[day] += judged.denied
                self.admitted += judged.admitted
                passed, denied = passed + judged.passed, denied + judged.denied
        self.counted += 1
        self.precisions.add(counter.precision)
        used = live.used if counter.quota.runs(live.period_start_ms, self.quotas.end_ms) else 0
        is_above = bool(counter.living and used >= counter.quota.max)
        self.above_total += is_above
        if is_above or denied:
            self._list(counter, is_above=is_above, used=used, passed=passed, denied=denied)

    def _list(self, counter: Candidate, *, is_above: bool, used: int, passed: int, denied: int) -> None:
        recounted = Recounted(
            subject=counter.subject,
            is_shared=counter.is_shared,
            organisation_id=counter.organisation_id,
            key_ids=tuple(counter.key_ids),
            keys=counter.keys,
            max=counter.quota.max,
            used=used,
            passed=passed,
            denied=denied,
        )
        if is_above:
            self.above.append(recounted)
        if denied:
            self.denying.append(recounted)
        if max(len(self.above), len(self.denying)) > 10 * MOST_LISTED:
            self.above, self.denying = fullest(self.above), hit_most(self.denying)

    # --- written down -------------------------------------------------------------------------------------------------

    def written(self) -> dict[str, Any]:
        """As JSON, for `taken_up`."""
        return {
            **{name: getattr(self, name) for name in NUMBERS},
            "passed": list(self.passed.items()),
            "denied": list(self.denied.items()),
            "above": [asdict(each) for each in fullest(self.above)],
            "denying": [asdict(each) for each in hit_most(self.denying)],
            "precisions": sorted(self.precisions),
        }

    @classmethod
    def taken_up(cls, quotas: Quotas, written: Mapping[str, Any]) -> "Tally":
        return cls(
            quotas,
            passed=Counter(dict(written["passed"])),
            denied=Counter(dict(written["denied"])),
            above=_recounted(written["above"]),
            denying=_recounted(written["denying"]),
            precisions={Precision(each) for each in written["precisions"]},
            **{name: written[name] for name in NUMBERS},
        )


def fullest(above: Iterable[Recounted]) -> list[Recounted]:
    return nlargest(MOST_LISTED, above, key=lambda each: (each.used - each.max, each.subject, each.key_ids))


def hit_most(denying: Iterable[Recounted]) -> list[Recounted]:
    return nlargest(MOST_LISTED, denying, key=lambda each: (each.denied, each.subject, each.key_ids))


def number_of(day: date) -> int:
    """As days are counted here."""
    return (day - date(1970, 1, 1)).days


def _recounted(written: Iterable[dict[str, Any]]) -> list[Recounted]:
    return [Recounted(**{**each, "key_ids": tuple(each["key_ids"])}) for each in written]


def _judged(demand: Demand, live: Snapshot) -> Iterable[Judged]:
    used_before = _used_before(demand, live)
    if _fits(demand, used_before):
        return (Judged(lot.hour_ms, lot.passed, 0, lot.denied) for lot in demand)
    return replay(demand, used_before)


def _fits(demand: Demand, used_before: int) -> bool:
    """All of it would pass, even within one period."""
    return all(used_before + demand.total <= quota.max for quota in demand.lots)


def _used_before(demand: Demand, live: Snapshot) -> int:
    """Of an endless period: what had been used before the hours that are counted again; else 0, they begin anew."""
    if any(quota.period_ms or quota.starts_ms for quota in demand.lots) or live.period_start_ms <= 0:
        return 0
    return max(0, live.used - demand.passed_since(live.period_start_ms))
