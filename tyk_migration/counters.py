"""Import of usage: nobody gets a new allowance by moving. Units that were used in Tyk are never given back here, and
units used here are never taken away: the greater number counts, so that a second run changes nothing.

Usage comes from a dump of Tyk's counters, else from `quota_remaining` and `quota_renews` of the sessions. It is written
to the counter store only, after the keys are in the database.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from organisations_app.documents import Problem, is_number
from policies_app.limits import MAX_QUOTA
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
from tyk_migration.catalogue import refuse
from tyk_migration.differences import inner
from tyk_migration.keys import LOT, stored_keys
from tyk_migration.names import COUNTER_PREFIX, Identity, NameRefused, identify, organisation_named_by
from tyk_migration.report import Outcome, Report
from tyk_migration.sources import Row, Source, SourceError

KIND = "counters"
CALLS_AT_ONCE = 250
NOT_KNOWN = "how much of the quota is used is not known: a full period begins with the first request"
USED_UP_OR_NEW = (
    "quota_remaining is absent while a period runs: used up, or never used; give --counters to tell. Without, a full "
    "period begins with the first request"
)


@dataclass(frozen=True, slots=True)
class Usage:
    """Units used in a period that ends at `renews_at` (unix seconds; 0: not known, or it never renews)."""

    used: int
    renews_at: float = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one of our counters is to hold. `organisation_id` says where in the store it lives."""

    organisation_id: str
    limit: QuotaLimit
    usage: Usage


@dataclass(slots=True)
class Dump:
    """Tyk's counters by name, without their prefix; all of them are held in memory."""

    usage: dict[str, Usage] = field(default_factory=dict)
    found: set[str] = field(default_factory=set)

    def first(self, candidates: Iterator[str]) -> Usage | None:
        for name in candidates:
            if usage := self.usage.get(name):
                self.found.add(name)
                return usage
        return None


def read_dump(rows: Source, report: Report) -> Dump:
    """Rows such as {"key": "quota-…", "value": 17, "ttl": 3600}, or an object of values by name."""
    report.begin(KIND)
    dump = Dump()
    for row in rows:
        usage = None if isinstance(row, SourceError) else _usage_in(row)
        if isinstance(row, SourceError) or usage is None:
            reason = row.reason if isinstance(row, SourceError) else "must have a whole number as its value"
            refuse(report, KIND, row.place, "", [Problem("", reason)])
        else:
            dump.usage[row.name.removeprefix(COUNTER_PREFIX)] = usage
    return dump


def _usage_in(row: Row) -> Usage | None:
    members: Mapping[str, Any] = row.content if isinstance(row.content, dict) else row.members
    value = row.content.get("value") if isinstance(row.content, dict) else row.content
    if isinstance(value, bool) or not isinstance(value, int | str) or not str(value).isascii():
        return None
    return Usage(int(value), _end(members)) if str(value).isdigit() else None


def _end(members: Mapping[str, Any]) -> float:
    """Of the running period, in unix seconds: as said, or counted from now."""
    for member, factor, base in (("expires_at", 1, 0.0), ("ttl", 1, time.time()), ("pttl", 0.001, time.time())):
        if (value := _number(members, member)) > 0:
            return base + value * factor
    return 0


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
            usage = self.dump.first(_names(named, holder, source))
            mirror = None if usage else _mirror(named.row.content, holder, source, api_ids)
            if usage is None and mirror is not None:
                usage = _usage_of(mirror, source.limits.quota_max)
            if usage is not None:
                yield Wanted(holder.key.organisation_id, self._limit(holder, source, api_ids), usage)
            else:
                self.report.differ(USED_UP_OR_NEW if mirror and _runs(mirror) else NOT_KNOWN, named.who)

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
        usage = self.dump.first(iter([organisation_id, *hashes])) or _usage_of(row.content, limit.max)
        if usage is None:
            who = f"organisation {organisation_id} ({row.place})"
            self.report.differ(USED_UP_OR_NEW if _runs(row.content) else NOT_KNOWN, who)
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


def _names(named: Named, holder: Holder, source: LimitSource) -> Iterator[str]:
    """Under which Tyk may have counted, the likeliest first: `[scope-]<id>`."""
    custom = grants.custom_subject(holder)
    kind, _, scope = source.scope.partition(":")
    for name in [custom] if custom is not None else _ids(named):
        if scope:
            yield f"{scope}-{name}"
        if kind != "api" and len(holder.policies) < 2:
            yield name


def _ids(named: Named) -> list[str]:
    """A key's storage name; of a raw one also its hashes."""
    token = named.identity.token
    hashes = [tyk_hashes.hash_of(algorithm, token) for algorithm in tyk_hashes.algorithms_of(token)] if token else []
    return [named.identity.name, *hashes]


def _mirror(
    document: Mapping[str, Any], holder: Holder, source: LimitSource, api_ids: Sequence[str]
) -> Mapping[str, Any] | None:
    """The part of a session that mirrors this counter: of an API with limits of its own, or the root."""
    rights, several = inner(document, "access_rights"), len(holder.policies) > 1
    kind, _, scope = source.scope.partition(":")
    for api_id in api_ids if kind == "api" or several else ():
        right = inner(rights, api_id)
        if (limit := inner(right, "limit")) and (kind == "api" or right.get("allowance_scope") == scope):
            return limit
    return None if kind == "api" or several else document


def _usage_of(mirror: Mapping[str, Any], maximum: int) -> Usage | None:
    """Tyk leaves out zeros, so that an absent number may be one: that is not known."""
    remaining, of = _number(mirror, "quota_remaining", -1), _number(mirror, "quota_max")
    if remaining < 0:
        return None
    return Usage(max(0, int((of if of > 0 else maximum) - remaining)), _number(mirror, "quota_renews"))


def _runs(mirror: Mapping[str, Any]) -> bool:
    return _number(mirror, "quota_renews") > time.time()


def _number(document: Mapping[str, Any], name: str, default: float = 0) -> float:
    value: Any = document.get(name)
    return float(value) if is_number(value) and abs(value) <= MAX_QUOTA else default


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
