"""The requests of a policy's keys, counted again as if the policy had other terms: who is denied, who is above now."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from django.db.models import Exists, OuterRef

from policies_app.limits import PolicyTerms
from sessions_app import grants, usage
from sessions_app.demand import Asked, Demand, Quotas, Rule, asked, batches, under
from sessions_app.engine.types import Snapshot
from sessions_app.models import KeyPolicy
from sessions_app.queries import keys_with_patterns
from sessions_app.replay import Precision, Quota, replay
from sessions_app.terms import Holder

KEYS_NAMED = 5
NOTHING = Snapshot(0, 0, "")


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
class Tally:
    """Requests that passed then: what becomes of them, by day (UTC) where that is of interest."""

    passed: Counter[date] = field(default_factory=Counter)
    denied: Counter[date] = field(default_factory=Counter)
    refused: int = 0
    denied_unchanged: int = 0
    admitted: int = 0


@dataclass(slots=True)
class _Counter:
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
        self.living += _lives(holder, end)
        if len(self.key_ids) < KEYS_NAMED:
            self.key_ids.append(holder.key.pk)
        if quota.max < self.quota.max:
            self.quota = quota

    @property
    def precision(self) -> Precision:
        """In which order different quotas were asked within an hour is unknown."""
        quotas = {lot.quota for lot in self.demand} or {self.quota}
        return Precision.ABOUT if len(quotas) > 1 else quotas.pop().precision


@dataclass(frozen=True, slots=True)
class _Change:
    """A key's rules by API id as they are and as they would be. `decides`: APIs on which the policy has a say."""

    holder: Holder
    before: dict[str, Rule]
    after: dict[str, Rule]
    decides: frozenset[str]


@dataclass
class Recount:
    """Takes holders of keys that have the policy, batch by batch; what they share is settled at the end."""

    terms: PolicyTerms
    quotas: Quotas
    tally: Tally = field(default_factory=Tally)
    above: list[Recounted] = field(default_factory=list)
    denying: list[Recounted] = field(default_factory=list)
    precisions: set[Precision] = field(default_factory=set)
    keys: int = 0
    counted: int = 0
    looked_at: int = 0
    _counters: dict[str, _Counter] = field(default_factory=dict)
    _unchanged: dict[str, Demand] = field(default_factory=dict)
    _shared: dict[str, str] = field(default_factory=dict)  # the organisations of counters that several keys may use

    def take(self, holders: Mapping[str, Holder]) -> None:
        """Keys of one organisation that the policy is applied to. Raises StoreUnavailable."""
        changes = {key_id: self._change(holder) for key_id, holder in holders.items()}
        for change in changes.values():
            self.keys += _lives(change.holder, self.quotas.end)
            self._join(change)
        self._ask(changes)
        self._settle({name for name in (*self._counters, *self._unchanged) if name not in self._shared})

    def take_sharers(self, most: int) -> None:
        """Keys without the policy that count on the same custom counters (rule 5.5); then settles those."""
        applied = KeyPolicy.objects.filter(key=OuterRef("pk"), policy=self.terms.id)
        by_organisation: defaultdict[str, set[str]] = defaultdict(set)
        for counter, organisation_id in self._shared.items():
            by_organisation[organisation_id].add(counter)
        for organisation_id, counters in by_organisation.items():
            for holders in batches(keys_with_patterns(organisation_id).exclude(Exists(applied)), most):
                changes = {key_id: self._same(holder) for key_id, holder in holders.items()}
                sharing = {
                    key_id: change
                    for key_id, change in changes.items()
                    if any(rule.counter in counters for rule in change.after.values())
                }
                for change in sharing.values():
                    self._join(change)
                self._ask(sharing)
            self._settle(counters)

    # --- joining ------------------------------------------------------------------------------------------------------

    def _change(self, holder: Holder) -> _Change:
        changed = under(holder, self.terms)
        api_ids = tuple(dict.fromkeys((*holder.api_ids(), *changed.api_ids())))
        before, after = self.quotas.rules(holder, api_ids), self.quotas.rules(changed, api_ids)
        decides = frozenset(
            api_id
            for api_id in api_ids
            if before.get(api_id) != after.get(api_id) or (api_id in after and after[api_id].owner == self.terms.id)
        )
        self.looked_at += 1
        for of, rules in ((holder, before), (changed, after)):
            if grants.custom_subject(of) is not None:
                self._shared.update({rule.counter: of.key.organisation_id for rule in rules.values() if rule.quota})
        return _Change(changed, before, after, decides)

    def _same(self, holder: Holder) -> _Change:
        self.looked_at += 1
        rules = self.quotas.rules(holder, holder.api_ids())
        return _Change(holder, rules, rules, frozenset())

    def _join(self, change: _Change) -> None:
        """Enters the key with each counter that it would use and that the policy decides on, or may through others."""
        subject = grants.custom_subject(change.holder)
        joined: dict[str, tuple[Quota, bool]] = {}
        for api_id, rule in change.after.items():
            if rule.quota is None or not (api_id in change.decides or rule.counter in self._shared):
                continue
            quota, of_policy = joined.get(rule.counter, (rule.quota, False))
            quota = rule.quota if rule.quota.max < quota.max else quota
            joined[rule.counter] = (quota, of_policy or api_id in change.decides)
        for name, (quota, of_policy) in joined.items():
            if name not in self._counters:
                shown = subject if subject is not None else str(change.holder.key)
                organisation_id = change.holder.key.organisation_id
                self._counters[name] = _Counter(shown, subject is not None, organisation_id, quota)
            self._counters[name].join(change.holder, quota, self.quotas.end, of_policy=of_policy)

    # --- asking -------------------------------------------------------------------------------------------------------

    def _ask(self, changes: Mapping[str, _Change]) -> None:
        begin_ms = round(self.quotas.begin.timestamp() * 1000)
        for row in asked(list(changes), self.quotas.since()):
            change = changes[row.key_id]
            before, after = change.before.get(row.api_id), change.after.get(row.api_id)
            in_scope = row.api_id in change.decides
            if after is not None and after.quota is not None:
                if after.counter in self._counters:
                    self._counters[after.counter].demand.add(row, after.quota)
            elif in_scope and row.hour_ms >= begin_ms:
                self._uncounted(row, is_refused=after is None)
            if before is not None and before.quota is not None and (in_scope or before.counter in self._shared):
                self._unchanged.setdefault(before.counter, Demand()).add(row, before.quota)

    def _uncounted(self, row: Asked, *, is_refused: bool) -> None:
        if is_refused:
            self.tally.refused += row.passed
        else:
            self.tally.passed[_day(row.hour_ms)] += row.passed
            self.tally.admitted += row.denied

    # --- settling -----------------------------------------------------------------------------------------------------

    def _settle(self, names: Iterable[str]) -> None:
        names = list(names)
        held = usage.held(names) if names else {}
        for name in names:
            live = held.get(name, NOTHING)
            if counter := self._counters.pop(name, None):
                self._settle_counter(counter, live)
            if demand := self._unchanged.pop(name, None):
                begin_ms = self._begin_ms
                judged = replay(demand, _used_before(demand, live))
                self.tally.denied_unchanged += sum(each.denied for each in judged if each.hour_ms >= begin_ms)

    def _settle_counter(self, counter: _Counter, live: Snapshot) -> None:
        if not counter.of_policy:
            return
        passed = denied = 0
        for judged in replay(counter.demand, _used_before(counter.demand, live)):
            if judged.hour_ms >= self._begin_ms:
                day = _day(judged.hour_ms)
                self.tally.passed[day] += judged.passed
                self.tally.denied[day] += judged.denied
                self.tally.admitted += judged.admitted
                passed, denied = passed + judged.passed, denied + judged.denied
        self.counted += 1
        self.precisions.add(counter.precision)
        used = live.used if counter.quota.runs(live.period_start_ms, round(self.quotas.end.timestamp() * 1000)) else 0
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
        if counter.living and used >= counter.quota.max:
            self.above.append(recounted)
        if denied:
            self.denying.append(recounted)

    @property
    def _begin_ms(self) -> int:
        return round(self.quotas.begin.timestamp() * 1000)


def _used_before(demand: Demand, live: Snapshot) -> int:
    """Of an endless period: what had been used before the hours that are counted again; else 0, they begin anew."""
    if any(lot.quota.period_ms or lot.quota.starts_ms for lot in demand) or live.period_start_ms <= 0:
        return 0
    return max(0, live.used - demand.passed_since(live.period_start_ms))


def _lives(holder: Holder, end: datetime) -> bool:
    key = holder.key
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > end)


def _day(hour_ms: int) -> date:
    return datetime.fromtimestamp(hour_ms / 1000, UTC).date()
