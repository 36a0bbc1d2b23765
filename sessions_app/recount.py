"""The requests of a policy's keys, counted again as if the policy had other terms: who is denied, who is above now.

Keys that count for themselves are settled as they come. What several keys may count on together (section 5) is only
named then, and settled counter by counter, once it is known who shares it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from policies_app.limits import PolicyTerms
from policies_app.patterns import FIELD
from sessions_app import grants, usage
from sessions_app.demand import Asked, Demand, Quotas, Rule, asked, changed_policies, meta_data_of
from sessions_app.engine.types import Snapshot
from sessions_app.members import Cohort, Member
from sessions_app.replay import Quota
from sessions_app.tallies import Candidate, Tally

NOTHING = Snapshot(0, 0, "")


class Share(NamedTuple):
    """A key that counts on a counter with others, or may once the policy is changed."""

    counter: str
    key_id: str
    organisation_id: str


class _Counting(NamedTuple):
    """Requests are counted on the counter with this scope from then on."""

    scope: str
    quota: Quota
    since_ms: int


class _Path(NamedTuple):
    """Where a key's requests on an API are counted. `is_refused` None: some quota judges them."""

    after: _Counting | None
    before: _Counting | None
    is_refused: bool | None


@dataclass(frozen=True, slots=True)
class _Case:
    """What the change means to a cohort. `decides`: APIs on which the policy has a say, whatever the custom subjects.

    `alone` are the paths of keys that count for themselves, on `counters`; `uncounted` those that no quota judges.
    """

    before: Mapping[str, Rule]
    after: Mapping[str, Rule]
    decides: frozenset[str]
    meta_before: Mapping[str, Any]
    meta_after: Mapping[str, Any]
    alone: Mapping[str, _Path]
    uncounted: Mapping[str, _Path]
    counters: Mapping[str, Quota]

    def subjects(self, member: Member) -> tuple[str | None, str | None]:
        """The key's custom subject as it is and as it would be."""
        if not (FIELD in self.meta_before or FIELD in self.meta_after or FIELD in member.meta_data):
            return None, None
        before, after = ({**member.meta_data, **over} for over in (self.meta_before, self.meta_after))
        return grants.subject_in(before), grants.subject_in(after)


@dataclass(slots=True)
class _Part:
    """What a key has to do with a counter: its APIs that count on it, as the policy is and would be."""

    before: dict[str, Quota] = field(default_factory=dict)
    after: dict[str, Quota] = field(default_factory=dict)
    was_decided: bool = False
    is_decided: bool = False


@dataclass(slots=True)
class Shared:
    """A counter of several keys, as far as these are known. The policy decides on it for at least one key and API: as
    it would be (`is_decided`), as it is (`was_decided`).
    """

    counter: str
    candidate: Candidate | None = None
    unchanged: Demand = field(default_factory=Demand)
    was_decided: bool = False
    is_decided: bool = False

    def join(self, member: Member, part: _Part, subject: str | None) -> None:
        self.was_decided |= part.was_decided
        self.is_decided |= part.is_decided
        if not part.after:
            return
        smallest = min(part.after.values(), key=attrgetter("max"))
        if self.candidate is None:
            shown = subject if subject is not None else str(member)
            self.candidate = Candidate(shown, subject is not None, member.cohort.organisation_id, smallest)
        self.candidate.join(member.id, smallest, has_ended=member.has_ended)

    def written(self) -> dict[str, Any]:
        """As JSON, for `shared_taken_up`."""
        candidate = self.candidate
        return {
            "counter": self.counter,
            "unchanged": self.unchanged.written(),
            "was_decided": self.was_decided,
            "is_decided": self.is_decided,
            "candidate": candidate and candidate.written(),
        }


def shared_taken_up(quotas: Quotas, written: Mapping[str, Any]) -> Shared:
    candidate = written["candidate"]
    return Shared(
        counter=written["counter"],
        candidate=candidate and Candidate.taken_up(quotas, candidate),
        unchanged=Demand.taken_up(quotas, written["unchanged"]),
        was_decided=written["was_decided"],
        is_decided=written["is_decided"],
    )


@dataclass
class Recount:
    """Under `changed`, the terms that the policy with this id would have."""

    changed: PolicyTerms
    quotas: Quotas
    tally: Tally
    _cases: dict[Cohort, _Case] = field(default_factory=dict)

    def take(self, members: Sequence[Member]) -> list[Share]:
        """Counts keys that the policy is applied to, as far as they count for themselves. Answers what they may share.
        Raises StoreUnavailable.
        """
        alone: dict[str, Member] = {}
        shares: list[Share] = []
        paths: dict[str, Mapping[str, _Path]] = {}
        for member in members:
            self.tally.keys += not member.has_ended
            case = self._case(member.cohort)
            if case.subjects(member) == (None, None):
                alone[member.id], paths[member.id] = member, case.alone
            else:
                shares += self._shares(member)
                paths[member.id] = case.uncounted
        held = usage.held(list(self._counters_of(alone.values())))
        for key_id, demands in self._asked_alone(paths):
            if (alone_member := alone.pop(key_id, None)) is not None:
                self._settle_alone(alone_member, demands, held)
        for member in alone.values():
            self._settle_alone(member, {}, held)
        return shares

    def sharers(self, members: Iterable[Member]) -> list[Share]:
        """On which counters keys without the policy count, together with others."""
        return [share for member in members for share in self._shares(member)]

    def settle(
        self, shares: Sequence[Share], members: Iterable[Member], begun: Shared | None, *, is_last: bool
    ) -> Shared | None:
        """Counts these shares, which are ordered by their counters. Goes on with the counter that was `begun`, and
        answers the last one unless `is_last`, for there may be more of it. Raises StoreUnavailable.
        """
        known = {member.id: (member, self._parts(member)) for member in members}
        counters = {begun.counter: begun} if begun is not None else {}
        joined: defaultdict[str, list[tuple[Shared, _Part]]] = defaultdict(list)
        for share in shares:
            shared = counters.setdefault(share.counter, Shared(share.counter))
            member, parts = known.get(share.key_id, (None, {}))
            if member is not None and (part := parts.get(share.counter)) is not None:
                shared.join(member, part, self._case(member.cohort).subjects(member)[1])
                joined[share.key_id].append((shared, part))
        self._ask_shared(joined)
        *done, last = counters.values() if counters else (None,)
        self._settle_shared([*done, last] if is_last else done)
        return None if is_last else last

    # --- what the change means ----------------------------------------------------------------------------------------

    def _case(self, cohort: Cohort) -> _Case:
        if cohort not in self._cases:
            self._cases[cohort] = self._new_case(cohort)
        return self._cases[cohort]

    def _new_case(self, cohort: Cohort) -> _Case:
        policies = changed_policies(cohort.policies, self.changed)
        api_ids = tuple(dict.fromkeys((*cohort.api_ids(), *self.changed.rights)))
        before = self.quotas.rules(cohort, cohort.policies, api_ids)
        after = self.quotas.rules(cohort, policies, api_ids)
        decides = frozenset(
            api_id
            for api_id in api_ids
            if before.get(api_id) != after.get(api_id) or (api_id in after and after[api_id].owner == self.changed.id)
        )
        counters = {rule.scope: rule.quota for api_id, rule in after.items() if api_id in decides and rule.quota}
        paths = {api_id: self._path(api_id, before, after, decides, counters) for api_id in api_ids}
        return _Case(
            before=before,
            after=after,
            decides=decides,
            meta_before=meta_data_of(cohort.policies),
            meta_after=meta_data_of(policies),
            alone={api_id: path for api_id, path in paths.items() if path != (None, None, None)},
            uncounted={api_id: _Path(None, None, path[2]) for api_id, path in paths.items() if path[2] is not None},
            counters=counters,
        )

    def _path(
        self,
        api_id: str,
        before: Mapping[str, Rule],
        after: Mapping[str, Rule],
        decides: frozenset[str],
        counters: Mapping[str, Quota],
    ) -> _Path:
        was, would_be, is_decided = before.get(api_id), after.get(api_id), api_id in decides
        is_counted = would_be is not None and would_be.quota is not None
        return _Path(
            after=self._counting(would_be) if would_be is not None and would_be.scope in counters else None,
            before=self._counting(was) if was is not None and is_decided else None,
            is_refused=would_be is None if is_decided and not is_counted else None,
        )

    def _counting(self, rule: Rule) -> _Counting | None:
        return _Counting(rule.scope, rule.quota, self.quotas.since_ms(rule.quota)) if rule.quota else None

    # --- keys that count for themselves -------------------------------------------------------------------------------

    def _counters_of(self, members: Iterable[Member]) -> Iterator[str]:
        for member in members:
            case = self._case(member.cohort)
            scopes = {path.before.scope for path in case.alone.values() if path.before}
            yield from (_own(member, scope) for scope in scopes.union(case.counters))

    def _asked_alone(
        self, paths: Mapping[str, Mapping[str, _Path]]
    ) -> Iterator[tuple[str, dict[tuple[bool, str], Demand]]]:
        """By key: what was asked of its counters, named as (whether under the changed policy, scope)."""
        key_ids = [key_id for key_id, of_key in paths.items() if of_key]
        different = {id(of_key): of_key for of_key in paths.values()}.values()
        begins = [
            counting.since_ms
            for of_key in different
            for path in of_key.values()
            for counting in (path.after, path.before)
            if counting
        ]
        api_ids = {api_id for of_key in different for api_id in of_key}
        if not key_ids:
            return
        rows = asked(key_ids, api_ids, min(begins, default=self.quotas.begin_ms))
        for key_id, of_key in groupby(rows, key=attrgetter("key_id")):
            demands: defaultdict[tuple[bool, str], Demand] = defaultdict(Demand)
            for _, api_id, hour_ms, passed, denied in of_key:
                if (path := paths[key_id].get(api_id)) is None:
                    continue
                if path.is_refused is not None:
                    self.tally.uncounted(hour_ms, passed, denied, is_refused=path.is_refused)
                if path.after is not None and hour_ms >= path.after.since_ms:
                    demands[True, path.after.scope].add(path.after.quota, hour_ms, passed, denied)
                if path.before is not None and hour_ms >= path.before.since_ms:
                    demands[False, path.before.scope].add(path.before.quota, hour_ms, passed, denied)
            yield key_id, demands

    def _settle_alone(
        self, member: Member, demands: Mapping[tuple[bool, str], Demand], held: Mapping[str, Snapshot]
    ) -> None:
        organisation_id = member.cohort.organisation_id
        for scope, quota in self._case(member.cohort).counters.items():
            demand = demands.get((True, scope)) or Demand()
            counter = Candidate(str(member), False, organisation_id, quota, demand=demand)
            counter.join(member.id, quota, has_ended=member.has_ended)
            self.tally.changed(counter, held.get(_own(member, scope), NOTHING))
        for (is_changed, scope), demand in demands.items():
            if not is_changed:
                self.tally.unchanged(demand, held.get(_own(member, scope), NOTHING))

    # --- counters of several keys -------------------------------------------------------------------------------------

    def _shares(self, member: Member) -> list[Share]:
        return [Share(counter, member.id, member.cohort.organisation_id) for counter in self._parts(member)]

    def _parts(self, member: Member) -> dict[str, _Part]:
        """By counter, of a key with a custom subject: as the policy is, or as it would be."""
        case, parts = self._case(member.cohort), defaultdict[str, _Part](_Part)
        was, would_be = case.subjects(member)
        if was is None and would_be is None:
            return {}
        for api_id in {**case.before, **case.after}:
            is_decided = api_id in case.decides or was != would_be
            before, after = case.before.get(api_id), case.after.get(api_id)
            if before is not None and before.quota and (is_decided or was is not None):
                part = parts[_counter(member, was, before.scope)]
                part.before[api_id] = before.quota
                part.was_decided |= is_decided
            if after is not None and after.quota and (is_decided or would_be is not None):
                part = parts[_counter(member, would_be, after.scope)]
                part.after[api_id] = after.quota
                part.is_decided |= is_decided
        return dict(parts)

    def _ask_shared(self, joined: Mapping[str, Sequence[tuple[Shared, _Part]]]) -> None:
        parts = [part for of_key in joined.values() for _, part in of_key]
        quotas = {quota for part in parts for counted in (part.before, part.after) for quota in counted.values()}
        if not quotas:
            return
        api_ids = {api_id for part in parts for api_id in (*part.before, *part.after)}
        for row in asked(list(joined), api_ids, min(map(self.quotas.since_ms, quotas))):
            for shared, part in joined[row.key_id]:
                self._count(row, part.before, shared.unchanged)
                if shared.candidate is not None:
                    self._count(row, part.after, shared.candidate.demand)

    def _count(self, row: Asked, quotas: Mapping[str, Quota], demand: Demand) -> None:
        quota = quotas.get(row.api_id)
        if quota is not None and row.hour_ms >= self.quotas.since_ms(quota):
            demand.add(quota, row.hour_ms, row.passed, row.denied)

    def _settle_shared(self, several: Iterable[Shared | None]) -> None:
        done = [shared for shared in several if shared is not None]
        held = usage.held([shared.counter for shared in done])
        for shared in done:
            live = held.get(shared.counter, NOTHING)
            if shared.is_decided and shared.candidate is not None:
                self.tally.changed(shared.candidate, live)
            if shared.was_decided:
                self.tally.unchanged(shared.unchanged, live)


def _own(member: Member, scope: str) -> str:
    return _counter(member, None, scope)


def _counter(member: Member, subject: str | None, scope: str) -> str:
    return grants.counter_of(member.cohort.organisation_id, member.id, subject, scope)
