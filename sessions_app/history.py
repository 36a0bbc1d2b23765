"""Usage in the database: snapshots that restore a lost store (rule 9.2), and usage by the hour for charts and bills.

Both are copied from the counter store as absolute numbers, so that repeating a copy changes nothing.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from operator import itemgetter

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from organisations_app.models import Organisation
from sessions_app import usage_days
from sessions_app.engine import names, rollup
from sessions_app.engine.rollup import HourOfUsage, TakenSnapshots
from sessions_app.engine.wire import Store
from sessions_app.fullness import Fullness, fill, fullness_of, note_sharers
from sessions_app.models import UsageHour, UsageSnapshot

ROWS_PER_STATEMENT = 500
NOBODYS = Fullness()


def copy_counters(store: Store, bucket: int) -> int:
    """Snapshots the bucket's counters that changed since the last time; returns how many. Raises StoreUnavailable."""
    dirty = rollup.take_dirty(store, bucket)
    for taken in rollup.read_counters(store, dirty.counters):
        save_snapshots(taken)
    if dirty.generation:
        rollup.drop_dirty(store, bucket, dirty.generation)
    return len(dirty.counters)


@transaction.atomic
def save_snapshots(taken: TakenSnapshots) -> None:
    """A row that another worker took later stays as it is."""
    at = _moment(taken.taken_at_ms)
    full = fullness_of(taken.snapshots)
    stored = UsageSnapshot.objects.select_for_update().filter(counter__in=list(taken.snapshots)).order_by("counter")
    newer = {counter for counter, taken_at in stored.values_list("counter", "taken_at") if taken_at > at}
    rows = [
        UsageSnapshot(
            counter=counter,
            used=snapshot.used,
            period_start_ms=snapshot.period_start_ms,
            fired=snapshot.fired,
            taken_at=at,
            **asdict(full.get(counter, NOBODYS)),
        )
        for counter, snapshot in sorted(taken.snapshots.items(), key=itemgetter(0))
        if counter not in newer
    ]
    UsageSnapshot.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["counter"],
        update_fields=["used", "period_start_ms", "fired", "taken_at", "key_id", "percent", "ends_at"],
    )
    fill([row.counter for row in rows if names.is_shared(row.counter) and row.counter not in full])


def copy_hours(store: Store, bucket: int) -> int:
    """Copies the hours of the bucket in which requests were counted since the last time; returns the rows written.
    Raises StoreUnavailable.
    """
    touched = rollup.take_hours(store, bucket)
    written = sum(save_hours(hours) for hours in rollup.read_touched(store, bucket, touched.stems))
    if touched.generation:
        rollup.drop_hours(store, bucket, touched.generation)
    return written


def copy_all_hours(store: Store, bucket: int) -> int:
    """Copies all hourly usage of the bucket and lets the store forget hours gone by; returns the rows written. Raises
    StoreUnavailable.
    """
    hours, finished = rollup.read_hours(store, bucket)
    written = sum(
        save_hours(hours[begin : begin + ROWS_PER_STATEMENT]) for begin in range(0, len(hours), ROWS_PER_STATEMENT)
    )
    rollup.forget_hours(store, bucket, finished)
    return written


@transaction.atomic
def save_hours(hours: Sequence[HourOfUsage]) -> int:
    """Writes the rows that grew, the days that they belong to, and who shares counters. Usage of organisations that are
    gone is nobody's any more and left out.
    """
    alive = set(
        Organisation.objects.living()
        .filter(pk__in={hour.organisation_id for hour in hours})
        .values_list("pk", flat=True)
    )
    hours = [hour for hour in hours if hour.organisation_id in alive]
    days = usage_days.locked({(hour.organisation_id, _start(hour).date()) for hour in hours})
    known = {_identity(row): row for row in _stored(hours)}
    rows = [
        row
        for hour in hours
        if (row := _grown(hour, known.get((hour.key_id, hour.api_id, _start(hour), str(hour.epoch)))))
    ]
    usage_days.grow(days, (_growth(row, known.get(_identity(row))) for row in rows))
    UsageHour.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["key", "api", "hour", "epoch"], update_fields=["passed", "denied"]
    )
    if new := {row.key_id for row in rows if _identity(row) not in known}:
        note_sharers(new, timezone.now())
    return len(rows)


def _stored(hours: Sequence[HourOfUsage]) -> QuerySet[UsageHour]:
    return UsageHour.objects.select_for_update().filter(
        key__in={hour.key_id for hour in hours},
        hour__in={_start(hour) for hour in hours},
        epoch__in={str(hour.epoch) for hour in hours},
    )


def _identity(row: UsageHour) -> tuple[str, str, datetime, str]:
    return row.key_id, row.api_id, row.hour, row.epoch


def _grown(hour: HourOfUsage, known: UsageHour | None) -> UsageHour | None:
    """The row to write, or None when the stored one says the same or, after a store came back with older data, more."""
    if known is not None and known.passed >= hour.passed and known.denied >= hour.denied:
        return None
    return UsageHour(
        organisation_id=hour.organisation_id,
        key_id=hour.key_id,
        api_id=hour.api_id,
        hour=_start(hour),
        epoch=str(hour.epoch),
        passed=max(hour.passed, known.passed if known else 0),
        denied=max(hour.denied, known.denied if known else 0),
    )


def _growth(row: UsageHour, known: UsageHour | None) -> tuple[usage_days.Name, int, int]:
    """What a row adds to its day."""
    passed, denied = (known.passed, known.denied) if known else (0, 0)
    return (row.organisation_id, row.hour.date()), row.passed - passed, row.denied - denied


def _start(hour: HourOfUsage) -> datetime:
    return _moment(hour.hour_start_ms)


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
