"""The requests of a policy's keys, counted again as if the policy had other terms: who is denied, who is above now."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.db.models import Exists, OuterRef

from policies_app.limits import PolicyTerms
from sessions_app import grants, usage
from sessions_app.demand import Demand, Quotas, Rule, asked, batches, under
from sessions_app.engine.types import Snapshot
from sessions_app.key_status import status_of
from sessions_app.models import KeyPolicy
from sessions_app.queries import keys_with_patterns
from sessions_app.replay import Quota
from sessions_app.tallies import Candidate, Tally
from sessions_app.terms import Holder

NOTHING = Snapshot(0, 0, "")


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
    tally: Tally
    keys: int = 0
    looked_at: int = 0
    _counters: dict[str, Candidate] = field(default_factory=dict)
    _unchanged: dict[str, Demand] = field(default_factory=dict)
    _shared: dict[str, str] = field(default_factory=dict)  # the organisations of counters that several keys may use

    def take(self, holders: Mapping[str, Holder]) -> None:
        """Keys of one organisation that the policy is applied to. Raises StoreUnavailable."""
        changes = {key_id: self._change(holder) for key_id, holder in holders.items()}
        for change in changes.values():
            self.keys += not status_of(change.holder, self.quotas.end).has_ended
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
                self._counters[name] = Candidate(shown, subject is not None, organisation_id, quota)
            self._counters[name].join(change.holder, quota, self.quotas.end, of_policy=of_policy)

    # --- asking -------------------------------------------------------------------------------------------------------

    def _ask(self, changes: Mapping[str, _Change]) -> None:
        for row in asked(list(changes), self.quotas.since()):
            change = changes[row.key_id]
            before, after = change.before.get(row.api_id), change.after.get(row.api_id)
            in_scope = row.api_id in change.decides
            if after is not None and after.quota is not None:
                if after.counter in self._counters:
                    self._counters[after.counter].demand.add(row, after.quota)
            elif in_scope:
                self.tally.uncounted(row, is_refused=after is None)
            if before is not None and before.quota is not None and (in_scope or before.counter in self._shared):
                self._unchanged.setdefault(before.counter, Demand()).add(row, before.quota)

    # --- settling -----------------------------------------------------------------------------------------------------

    def _settle(self, names: Iterable[str]) -> None:
        names = list(names)
        held = usage.held(names) if names else {}
        for name in names:
            live = held.get(name, NOTHING)
            if (counter := self._counters.pop(name, None)) and counter.of_policy:
                self.tally.changed(counter, live)
            if demand := self._unchanged.pop(name, None):
                self.tally.unchanged(demand, live)
