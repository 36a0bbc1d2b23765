"""How full the quotas of keys are, noted beside each snapshot of their counters: lists and overviews ask the database
for the fullest keys, which the counter store cannot answer.

As exact as a snapshot: some seconds old, and by the quota that was in force when it was taken. A counter that several
keys share (section 5) is as full as it is by the quota of the sharer that was seen last.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from sessions_app import counter_shares, usage
from sessions_app.engine import names
from sessions_app.engine.types import QuotaLimit, Snapshot
from sessions_app.models import CounterShare, Key, UsageSnapshot
from sessions_app.terms import HOLDER, holders_of


@dataclass(frozen=True, slots=True)
class Fullness:
    """Of one counter: `percent` is rounded down and may exceed 100; `ends_at` is None for a period without an end.
    `key_id` is empty for one that is shared.
    """

    key_id: str = ""
    percent: int = 0
    ends_at: datetime | None = None


def fullness_of(held: Mapping[str, Snapshot]) -> dict[str, Fullness]:
    """By counter, of those of keys; of shared ones those that were saved before, and whose sharers are known. At most
    seven queries, none if there is none of a key.
    """
    wanted = {key_id for counter in held if (key_id := names.key_of_counter(counter))}
    if shared := [counter for counter in held if names.is_shared(counter)]:
        saved: Any = counter_shares.with_newest(UsageSnapshot.objects.filter(counter__in=shared))
        wanted.update(row.sharer for row in saved if row.sharer)
    if not wanted:
        return {}
    holders = holders_of(list(Key.objects.select_related(HOLDER).filter(pk__in=wanted)))
    full: dict[str, Fullness] = {}
    for limit in (limit for holder in holders.values() for limit in usage.limits_of(holder) if limit.counter in held):
        known, found = full.get(limit.counter), _fullness(held[limit.counter], limit)
        if known is None or found.percent > known.percent:  # of two quotas on one counter (rule 5.5)
            full[limit.counter] = found
    return full


def _fullness(counter: Snapshot, limit: QuotaLimit) -> Fullness:
    percent = counter.used * 100 // limit.max
    return Fullness(names.key_of_counter(limit.counter), percent, _end(counter.period_start_ms, limit))


def _end(start_ms: int, limit: QuotaLimit) -> datetime | None:
    if limit.boundaries_ms:
        end_ms = next((boundary for boundary in limit.boundaries_ms if boundary > start_ms), start_ms)
    elif limit.period_ms:
        end_ms = max(0, start_ms) + limit.period_ms
    else:
        return None
    return datetime.fromtimestamp(max(0, end_ms) / 1000, UTC)


# --- sharers ----------------------------------------------------------------------------------------------------------


@transaction.atomic
def note_sharers(key_ids: Collection[str], seen_at: datetime) -> None:
    """Notes which counters these keys share, and how full those are that nobody was known to share before."""
    fill(counter_shares.note(key_ids, seen_at))


def fill(counters: Collection[str]) -> None:
    """Says how full these shared counters are, if they were saved before that was known. In a transaction."""
    if not counters:
        return
    unknown = UsageSnapshot.objects.select_for_update().filter(counter__in=counters, percent=0, used__gt=0)
    rows = {row.counter: row for row in unknown.order_by("counter")}
    full = fullness_of({name: Snapshot(row.used, row.period_start_ms, row.fired) for name, row in rows.items()})
    for name, found in full.items():
        rows[name].percent, rows[name].ends_at = found.percent, found.ends_at
    UsageSnapshot.objects.bulk_update([rows[name] for name in full], ["percent", "ends_at"])


# --- the fullest ------------------------------------------------------------------------------------------------------


def fullest_counters(percent: int, now: datetime) -> QuerySet[UsageSnapshot]:
    """Keys' own that are used up to this percentage at least, in a period that still runs; the fullest first."""
    return _fullest(~Q(key_id=""), percent, now).order_by("-percent", "key_id")


def fullest_shared(percent: int, now: datetime) -> QuerySet[UsageSnapshot]:
    """As fullest_counters, those that several keys share."""
    return _fullest(Q(key_id=""), max(1, percent), now).order_by("-percent")


def _fullest(whose: Q, percent: int, now: datetime) -> QuerySet[UsageSnapshot]:
    running = Q(ends_at=None) | Q(ends_at__gt=now)
    return UsageSnapshot.objects.filter(running, whose, percent__gte=percent)


def fullest(keys: QuerySet[Key], percent: int, most: int) -> list[str]:
    """Ids of those of `keys` with such a counter, of their own or shared; of more than `most` of a kind the fullest."""
    now = timezone.now()
    own = fullest_counters(percent, now)
    shared = CounterShare.objects.filter(counter__in=fullest_shared(percent, now).values("counter")[:most])
    found: list[str] = []
    for rows in (own, shared):
        chosen = rows.filter(key_id__in=keys.order_by().values("pk")) if keys.query.where else rows
        found += chosen.values_list("key_id", flat=True)[:most]
    return list(dict.fromkeys(found))
