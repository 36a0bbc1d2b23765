"""What Tyk's data says of usage: dumped counters, and the mirrors of counters in sessions."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from organisations_app.documents import Problem, is_number
from policies_app.limits import MAX_QUOTA
from policies_app.limits import Source as LimitSource
from sessions_app import grants, tyk_hashes
from sessions_app.terms import Holder
from tyk_migration.catalogue import refuse
from tyk_migration.differences import inner
from tyk_migration.names import COUNTER_PREFIX, Identity
from tyk_migration.report import Report
from tyk_migration.sources import Row, Source, SourceError

KIND = "counters"
LONGEST_NUMBER = 18  # digits; Redis counts no further than 19


@dataclass(frozen=True, slots=True)
class Usage:
    """Units used in a period that ends at `renews_at` (unix seconds; 0: not known, or it never renews)."""

    used: int
    renews_at: float = 0


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
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= LONGEST_NUMBER:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return None
    return Usage(value, _end(members))


def _end(members: Mapping[str, Any]) -> float:
    """Of the running period, in unix seconds: as said, or counted from now."""
    for member, factor, base in (("expires_at", 1, 0.0), ("ttl", 1, time.time()), ("pttl", 0.001, time.time())):
        if (value := _number(members, member)) > 0:
            return base + value * factor
    return 0


# --- of one key -------------------------------------------------------------------------------------------------------


def counter_names(identity: Identity, holder: Holder, source: LimitSource) -> Iterator[str]:
    """Under which Tyk may have counted, the likeliest first: `[scope-]<id>`."""
    custom = grants.custom_subject(holder)
    kind, _, scope = source.scope.partition(":")
    for name in [custom] if custom is not None else _ids(identity):
        if scope:
            yield f"{scope}-{name}"
        if kind != "api" and len(holder.policies) < 2:
            yield name


def _ids(identity: Identity) -> list[str]:
    """A key's storage name; of a raw one also its hashes."""
    token = identity.token
    hashes = [tyk_hashes.hash_of(algorithm, token) for algorithm in tyk_hashes.algorithms_of(token)] if token else []
    return [identity.name, *hashes]


def mirror_of(
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


def usage_of(mirror: Mapping[str, Any], maximum: int) -> Usage | None:
    """Tyk leaves out zeros, so that an absent number may be one: that is not known."""
    remaining, of = _number(mirror, "quota_remaining", -1), _number(mirror, "quota_max")
    if remaining < 0:
        return None
    return Usage(max(0, int((of if of > 0 else maximum) - remaining)), _number(mirror, "quota_renews"))


def runs(mirror: Mapping[str, Any]) -> bool:
    return _number(mirror, "quota_renews") > time.time()


def _number(document: Mapping[str, Any], name: str, default: float = 0) -> float:
    value: Any = document.get(name)
    return float(value) if is_number(value) and abs(value) <= MAX_QUOTA else default
