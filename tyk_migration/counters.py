"""Import of usage: nobody gets a new allowance by moving. Units that were used in Tyk are never given back here, and
units used here are never taken away: the greater number counts, so that a second run changes nothing.

Usage comes from a dump of Tyk's counters, else from `quota_remaining` and `quota_renews` of the sessions. It is written
to the counter store only, after the keys are in the database.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from policies_app.limits import Source as LimitSource
from sessions_app import grants, tyk_hashes
from sessions_app.engine import check, counters, names
from sessions_app.engine.types import Grant, LimitName, QuotaLimit, Snapshot, StoreUnavailable, Versions
from sessions_app.engine.wire import Call
from sessions_app.models import OrgSession
from sessions_app.store import sync_store
from sessions_app.terms import Holder, read_holders
from sessions_app.usage import organisation_quota, quota_sources, snapshots
from sessions_app.watch import WatchOf, watcher
from tyk_migration.keys import LOT
from tyk_migration.matching import stored_keys
from tyk_migration.names import Identity, NameRefused, identify, organisation_named_by
from tyk_migration.report import Outcome, Report
from tyk_migration.sources import Row, Source, SourceError
from tyk_migration.tyk_usage import KIND, Dump, Usage, counter_names, mirror_of, runs, usage_of

CALLS_AT_ONCE = 250
NOT_KNOWN = "how much of the quota is used is not known: a full period begins with the first request"
USED_UP_OR_NEW = (
    "quota_remaining is absent while a period runs: used up, or never used; give --counters to tell. Without, a full "
    "period begins with the first request"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one of our counters is to hold. `organisation_id` says where in the store it lives."""

    organisation_id: str
    limit: QuotaLimit
    usage: Usage


# --- what our counters are to hold ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Named:
    """A key's row again, now that its key is here."""

    row: Row
    identity: Identity

    @property
    def who(self) -> str:
        return f"key {self.identity.shown} ({self.row.place})"


@dataclass(frozen=True, slots=True)
class CounterImport:
    """What all lots of one import share. `advance` is told how many rows are done."""

    report: Report
    dump: Dump
    hashed: str | None
    watch: WatchOf = field(default_factory=lambda: cache(watcher()))

    def of_sessions(self, rows: Source, advance: Callable[[int], object]) -> None:
        """Of keys, and of organisations among them. Rows that cannot be read were refused before."""
        self.report.begin(KIND)
        lot: list[Named] = []
        for row in rows:
            if isinstance(row, SourceError) or not isinstance(row.content, dict):
                continue
            if organisation_named_by(row.name) is not None:
                self.of_organisation(row)
            elif named := self._named(row):
                lot.append(named)
            if len(lot) >= LOT:
                self._of_lot(lot, advance)
                lot = []
        self._of_lot(lot, advance)

    def _named(self, row: Row) -> Named | None:
        try:
            return Named(row, identify(row, self.hashed))
        except NameRefused:
            return None

    def _of_lot(self, lot: Sequence[Named], advance: Callable[[int], object]) -> None:
        keys = stored_keys([named.identity for named in lot])
        holders = read_holders({(key.organisation_id, key.pk) for key in keys if key is not None})
        wanted: list[Wanted] = []
        for named, key in zip(lot, keys, strict=True):
            if key is not None and key.pk in holders:
                wanted += self._of_key(named, holders[key.pk])
        self._write(wanted, lot[0].row.place if lot else "")
        advance(len(lot))

    def _of_key(self, named: Named, holder: Holder) -> Iterator[Wanted]:
        for source, api_ids in quota_sources(holder):
            usage = self.dump.first(counter_names(named.identity, holder, source))
            mirror = None if usage else mirror_of(named.row.content, holder, source, api_ids)
            if usage is None and mirror is not None:
                usage = usage_of(mirror, source.limits.quota_max)
            if usage is not None:
                yield Wanted(holder.key.organisation_id, self._limit(holder, source, api_ids), usage)
            else:
                self.report.differ(USED_UP_OR_NEW if mirror and runs(mirror) else NOT_KNOWN, named.who)

    def _limit(self, holder: Holder, source: LimitSource, api_ids: Sequence[str]) -> QuotaLimit:
        terms = grants.terms_on(holder, api_ids[0]) if api_ids else None
        own = terms.trigger_limits if terms else holder.terms.trigger_limits
        organisation = holder.key.organisation
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
        self._write([Wanted(organisation_id, limit, usage)], row.place)

    def _write(self, wanted: Sequence[Wanted], place: str) -> None:
        """What the store cannot take is refused; a second run makes it good."""
        try:
            write(wanted, self.report)
        except StoreUnavailable as error:
            for _ in wanted:
                self.report.count(KIND, Outcome.REFUSED)
            self.report.refuse(KIND, place, "", f"the counter store does not answer, import again: {error}")


# --- writing ----------------------------------------------------------------------------------------------------------


def write(wanted: Sequence[Wanted], report: Report) -> None:
    """Raises what is used to what was used in Tyk; what is used here already stays. Thresholds that are passed by that
    are taken as told: Tyk has done so.

    Raises StoreUnavailable.
    """
    running = [each for each in _merged(wanted).values() if _still_runs(each)]
    for begin in range(0, len(running), CALLS_AT_ONCE):
        _write(running[begin : begin + CALLS_AT_ONCE], report)


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


def _write(wanted: Sequence[Wanted], report: Report) -> None:
    states = check.peek(sync_store(), snapshots, [_look(each) for each in wanted])
    lacking = [each for each, (state,) in zip(wanted, states, strict=True) if state.used < _used(each)]
    for _ in range(len(wanted) - len(lacking)):
        report.count(KIND, Outcome.UNCHANGED)
    if not report.is_dry:
        sync_store().call_many([call for each in lacking for call in _calls(each)])
    for _ in lacking:
        report.count(KIND, Outcome.CREATED)


def _look(wanted: Wanted) -> Grant:
    bucket = names.bucket_of(wanted.organisation_id)
    return Grant(wanted.organisation_id, bucket, "", "", Versions(0, 0, 0), (wanted.limit,), b"")


def _used(wanted: Wanted) -> int:
    return min(wanted.usage.used, wanted.limit.max)


def _calls(wanted: Wanted) -> list[Call]:
    """A new counter begins in Tyk's period; setting it once more, or one that exists, also has it copied (rule 9.2)."""
    limit, used = wanted.limit, _used(wanted)
    mark = names.source_mark(limit.source)
    fired = "".join(f";{mark}:{threshold.label}" for threshold in limit.thresholds if threshold.needed <= used)
    return [counters.restore(limit, Snapshot(used, _start_ms(wanted), fired)), counters.assign(limit, used)]


def _start_ms(wanted: Wanted) -> int:
    now_ms, end_ms = round(time.time() * 1000), round(wanted.usage.renews_at * 1000)
    if wanted.limit.period_ms <= 0 or not end_ms:
        return now_ms
    return min(now_ms, max(end_ms - wanted.limit.period_ms, 1))
