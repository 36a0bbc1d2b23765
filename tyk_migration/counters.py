"""Import of usage: nobody gets a new allowance by moving. Units that were used in Tyk are never given back here, and
units used here are never taken away: the greater number counts, so that a second run changes nothing.

Usage comes from a dump of Tyk's counters, else from `quota_remaining` and `quota_renews` of the sessions. It is written
to the counter store only, once the keys are in the database.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from django.utils import timezone

from policies_app.limits import Source as LimitSource
from policies_app.limits import merged_trigger_limits
from sessions_app import grants, tyk_hashes
from sessions_app.engine import check, names
from sessions_app.engine.types import LimitName, QuotaLimit, Snapshot, StoreUnavailable
from sessions_app.fullness import note_sharers
from sessions_app.models import OrgSession
from sessions_app.store import sync_store
from sessions_app.terms import Holder
from sessions_app.usage import bare_grant, organisation_quota, quota_sources, snapshots
from sessions_app.watch import WatchOf, watcher
from tyk_migration.names import Named, organisation_named_by
from tyk_migration.report import Outcome, Report
from tyk_migration.sources import Row
from tyk_migration.tyk_usage import KIND, Dump, Usage, counter_names, mirror_of, runs, usage_of

CALLS_AT_ONCE = 250
NOT_KNOWN = "how much of the quota is used is not known: a full period begins with the first request"
USED_UP_OR_NEW = (
    "quota_remaining is absent while a period runs: used up, or never used; give --counters to tell. Without, a full "
    "period begins with the first request"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one of our counters is to hold. `organisation_id` says where in the store it lives; `key_id` is empty for an
    organisation's.
    """

    organisation_id: str
    limit: QuotaLimit
    usage: Usage
    key_id: str = ""


# --- what our counters are to hold ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CounterImport:
    """What all of one import share. With `is_held` nothing is written before `release`: keys that may still be taken
    back must not leave counters behind. `planned` is what a dry run would have written so far, by counter.
    """

    report: Report
    dump: Dump
    is_held: bool = False
    watch: WatchOf = field(default_factory=lambda: cache(watcher()))
    held: list[tuple[Sequence[Wanted], str]] = field(default_factory=list)
    planned: dict[str, int] = field(default_factory=dict)

    def of_keys(self, keys: Iterable[tuple[Named, Holder]]) -> None:
        """Of keys that are in the database."""
        pairs = list(keys)
        wanted = [each for named, holder in pairs for each in self._of_key(named, holder)]
        self._take(wanted, pairs[0][0].row.place if pairs else "")

    def _of_key(self, named: Named, holder: Holder) -> Iterator[Wanted]:
        for source, api_ids in quota_sources(holder):
            usage = self.dump.first(counter_names(named.identity, holder, source))
            mirror = None if usage else mirror_of(named.row.content, holder, source, api_ids)
            if usage is None and mirror is not None:
                usage = usage_of(mirror, source.limits.quota_max)
            if usage is not None:
                yield Wanted(holder.key.organisation_id, self._limit(holder, source), usage, holder.key.pk)
            else:
                self.report.differ(USED_UP_OR_NEW if mirror and runs(mirror) else NOT_KNOWN, named.who)

    def _limit(self, holder: Holder, source: LimitSource) -> QuotaLimit:
        organisation, own = holder.key.organisation, merged_trigger_limits(holder.terms, holder.policies)
        watched = grants.thresholds(source.limits.quota_max, own, self.watch(organisation.pk, "key"))
        counter = grants.key_counter(holder, source)
        return grants.quota_limit(LimitName.KEY_QUOTA, counter, source, organisation.timezone, watched)

    def of_organisation(self, row: Row) -> None:
        """Of an organisation's session, if it is here and has a quota."""
        organisation_id = organisation_named_by(row.name) or row.name
        session = OrgSession.objects.select_related("organisation").filter(organisation=organisation_id).first()
        limit = organisation_quota(session) if session else None
        if session is None or limit is None or not isinstance(row.content, dict):
            return
        hashes = [tyk_hashes.hash_of(algorithm, organisation_id) for algorithm in tyk_hashes.ALGORITHMS]
        usage = self.dump.first(iter([organisation_id, *hashes])) or usage_of(row.content, limit.max)
        if usage is None:
            who = f"organisation {organisation_id} ({row.place})"
            self.report.differ(USED_UP_OR_NEW if runs(row.content) else NOT_KNOWN, who)
            return
        watch = self.watch(organisation_id, "org")
        limit = replace(limit, thresholds=grants.thresholds(limit.max, tuple(session.trigger_limits), watch))
        self._take([Wanted(organisation_id, limit, usage)], row.place)

    def _take(self, wanted: Sequence[Wanted], place: str) -> None:
        if self.is_held:
            self.held.append((wanted, place))
        else:
            self._try(wanted, place)

    def release(self) -> None:
        """Writes what was held."""
        for wanted, place in self.held:
            self._try(wanted, place)

    def _try(self, wanted: Sequence[Wanted], place: str) -> None:
        """What the store cannot take is refused; a second run makes it good."""
        try:
            write(wanted, self.report, self.planned)
        except StoreUnavailable as error:
            for _ in wanted:
                self.report.count(KIND, Outcome.REFUSED)
            self.report.refuse(KIND, place, "", f"the counter store does not answer, import again: {error}")


# --- writing ----------------------------------------------------------------------------------------------------------


def write(wanted: Sequence[Wanted], report: Report, planned: dict[str, int]) -> None:
    """Raises what is used to what was used in Tyk; what is used here already stays. Thresholds that are passed by that
    are taken as told: Tyk has done so.

    Raises StoreUnavailable.
    """
    running = [each for each in _merged(wanted).values() if _still_runs(each)]
    for begin in range(0, len(running), CALLS_AT_ONCE):
        _write_some(running[begin : begin + CALLS_AT_ONCE], report, planned)
    sharers = {each.key_id for each in wanted if names.is_shared(each.limit.counter)}
    if sharers and not report.is_dry:
        note_sharers(sharers, timezone.now())


def _merged(wanted: Sequence[Wanted]) -> dict[str, Wanted]:
    """Keys that share a counter each have a mirror of it: the greatest is the newest."""
    merged: dict[str, Wanted] = {}
    for each in wanted:
        known = merged.get(each.limit.counter)
        if known is None or known.usage.used < each.usage.used:
            merged[each.limit.counter] = each
    return merged


def _still_runs(wanted: Wanted) -> bool:
    """A period that is over used up nothing of the next."""
    renews = wanted.limit.period_ms > 0
    return wanted.usage.used > 0 and not (renews and 0 < wanted.usage.renews_at <= time.time())


def _write_some(wanted: Sequence[Wanted], report: Report, planned: dict[str, int]) -> None:
    for each, before in zip(wanted, _plan(wanted, planned) if report.is_dry else _adopt(wanted), strict=True):
        report.count(KIND, Outcome.CREATED if before < _used(each) else Outcome.UNCHANGED)


def _plan(wanted: Sequence[Wanted], planned: dict[str, int]) -> list[int]:
    """As _adopt, if what is planned were written. Each counter stands once in `wanted`."""
    states = check.peek(sync_store(), snapshots, [bare_grant(each.organisation_id, each.limit) for each in wanted])
    counters = [each.limit.counter for each in wanted]
    before = [max(state.used, planned.get(name, 0)) for name, (state,) in zip(counters, states, strict=True)]
    planned |= {name: max(used, _used(each)) for name, used, each in zip(counters, before, wanted, strict=True)}
    return before


def _adopt(wanted: Sequence[Wanted]) -> list[int]:
    """What was used here before."""
    return check.adopt(sync_store(), snapshots, [(each.limit, _elsewhere(each)) for each in wanted])


def _used(wanted: Wanted) -> int:
    return min(wanted.usage.used, wanted.limit.max)


def _elsewhere(wanted: Wanted) -> Snapshot:
    limit, used = wanted.limit, _used(wanted)
    mark = names.source_mark(limit.source)
    fired = "".join(f";{mark}:{threshold.label}" for threshold in limit.thresholds if threshold.needed <= used)
    return Snapshot(used, _start_ms(wanted), fired)


def _start_ms(wanted: Wanted) -> int:
    now_ms, end_ms = round(time.time() * 1000), round(wanted.usage.renews_at * 1000)
    if wanted.limit.period_ms <= 0 or not end_ms:
        return now_ms
    return min(now_ms, max(end_ms - wanted.limit.period_ms, 1))
