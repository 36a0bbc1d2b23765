"""How full the quotas of keys are, noted beside each snapshot of their counters: lists and overviews ask the database
for the fullest keys, which the counter store cannot answer.

As exact as a snapshot: some seconds old, and by the quota that was in force when it was taken. A counter that several
keys share (section 5) is nobody's and left out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import Q, QuerySet
from django.utils import timezone

from sessions_app import grants, usage
from sessions_app.engine import names
from sessions_app.engine.types import QuotaLimit, Snapshot
from sessions_app.models import Key, UsageSnapshot
from sessions_app.terms import HOLDER, Holder, holders_of


@dataclass(frozen=True, slots=True)
class Fullness:
    """Of one counter: `percent` is rounded down and may exceed 100; `ends_at` is None for a period without an end."""

    key_id: str = ""
    percent: int = 0
    ends_at: datetime | None = None


def fullness_of(held: Mapping[str, Snapshot]) -> dict[str, Fullness]:
    """By counter, of those that are one key's own. Six queries whatever their number, none if there are none."""
    wanted = {key_id for counter in held if (key_id := names.key_of_counter(counter))}
    if not wanted:
        return {}
    holders = holders_of(list(Key.objects.select_related(HOLDER).filter(pk__in=wanted)))
    return {
        limit.counter: Fullness(holder.key.pk, held[limit.counter].used * 100 // limit.max, _end(held, limit))
        for holder in holders.values()
        for limit in _own_limits(holder)
        if limit.counter in held
    }


def _own_limits(holder: Holder) -> Iterable[QuotaLimit]:
    if grants.custom_subject(holder) is None:
        return (usage.quota_of(holder, source) for source, _ in usage.quota_sources(holder))
    return ()


def _end(held: Mapping[str, Snapshot], limit: QuotaLimit) -> datetime | None:
    start_ms = held[limit.counter].period_start_ms
    if limit.boundaries_ms:
        end_ms = next((boundary for boundary in limit.boundaries_ms if boundary > start_ms), start_ms)
    elif limit.period_ms:
        end_ms = max(0, start_ms) + limit.period_ms
    else:
        return None
    return datetime.fromtimestamp(max(0, end_ms) / 1000, UTC)


def fullest_counters(percent: int, now: datetime) -> QuerySet[UsageSnapshot]:
    """Keys' own that are used up to this percentage at least, in a period that still runs; the fullest first."""
    running = Q(ends_at=None) | Q(ends_at__gt=now)
    found = UsageSnapshot.objects.filter(running, ~Q(key_id=""), percent__gte=percent)
    return found.order_by("-percent", "key_id")


def fullest(keys: QuerySet[Key], percent: int, most: int) -> list[str]:
    """Ids of those of `keys` with such a counter; of more than `most` the fullest."""
    found = fullest_counters(percent, timezone.now())
    if keys.query.where:
        found = found.filter(key_id__in=keys.order_by().values("pk"))
    return list(found.values_list("key_id", flat=True)[:most])
