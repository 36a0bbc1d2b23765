"""What the worker copies from the counter store to the database: snapshots of counters, usage by the hour (rule 9.2).

Everything is absolute and safe to repeat. The order is always: read, commit, then tell the store that it may forget.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sessions_app.engine import names
from sessions_app.engine.types import Snapshot
from sessions_app.engine.wire import Store, make_call

HOUR_MS = 3_600_000
_COUNTERS_PER_CALL = 500
_FIELDS_PER_CALL = 1000


@dataclass(frozen=True, slots=True)
class Dirty:
    """Counters of a bucket that changed since the last snapshot. `generation` 0: none."""

    generation: int
    counters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TouchedHours:
    """Hours of a bucket that changed since the last copy, as stems of the hash's fields. `generation` 0: none."""

    generation: int
    stems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TakenSnapshots:
    """`taken_at_ms` by the store's clock: a row that was taken later must not be overwritten."""

    taken_at_ms: int
    snapshots: dict[str, Snapshot]


@dataclass(frozen=True, slots=True)
class HourOfUsage:
    """Units passed and denied in one hour since the store's hourly hash began at `epoch`: absolute, kept per epoch.

    A stored count must only grow: then nothing is lost if a store comes back with older data.
    """

    organisation_id: str
    key_id: str
    api_id: str
    hour_start_ms: int
    epoch: int
    passed: int
    denied: int


def take_dirty(store: Store, bucket: int) -> Dirty:
    """What to snapshot. The same set is handed out until `drop_dirty`, so a worker that dies loses nothing."""
    keys = [names.dirty(bucket), names.dirty_in_work(bucket), names.dirty_generation(bucket)]
    generation, counters = store.call(make_call("take_dirty", keys))
    return Dirty(generation, tuple(counter.decode() for counter in counters))


def drop_dirty(store: Store, bucket: int, generation: int) -> None:
    """To be called once the snapshots of this generation are committed."""
    store.call(make_call("drop_dirty", [names.dirty_in_work(bucket), names.dirty_generation(bucket)], [generation]))


def read_counters(store: Store, counters: Sequence[str]) -> Iterator[TakenSnapshots]:
    """What these counters of one bucket hold, some hundred at a time, each at one moment. Ended ones are left out."""
    for begin in range(0, len(counters), _COUNTERS_PER_CALL):
        lot = counters[begin : begin + _COUNTERS_PER_CALL]
        now_ms, *values = store.call(make_call("snapshot", lot, read_only=True))
        snapshots = {}
        for place, counter in enumerate(lot):
            exists, used, start_ms, fired = values[4 * place : 4 * place + 4]
            if exists:
                snapshots[counter] = Snapshot(used, start_ms, fired.decode())
        yield TakenSnapshots(now_ms, snapshots)


def take_hours(store: Store, bucket: int) -> TouchedHours:
    """Which hours to copy. As with take_dirty, the same are handed out until `drop_hours`."""
    work, generation = names.touched_hours_in_work(bucket), names.touched_hours_generation(bucket)
    number, stems = store.call(make_call("take_dirty", [names.touched_hours(bucket), work, generation]))
    return TouchedHours(number, tuple(stem.decode() for stem in stems))


def drop_hours(store: Store, bucket: int, generation: int) -> None:
    """To be called once the hours of this generation are committed."""
    keys = [names.touched_hours_in_work(bucket), names.touched_hours_generation(bucket)]
    store.call(make_call("drop_dirty", keys, [generation]))


def read_touched(store: Store, bucket: int, stems: Sequence[str]) -> Iterator[list[HourOfUsage]]:
    """Usage of these hours, some hundred at a time. What the store has lost since is left out."""
    for begin in range(0, len(stems), _COUNTERS_PER_CALL):
        lot = stems[begin : begin + _COUNTERS_PER_CALL]
        epoch, *counts = store.call(make_call("touched_hours", [names.hourly(bucket)], lot, read_only=True))
        found = zip(lot, counts[::2], counts[1::2], strict=True)
        yield [_hour(stem, epoch, passed, denied) for stem, passed, denied in found if passed or denied]


def read_hours(store: Store, bucket: int) -> tuple[list[HourOfUsage], list[str]]:
    """All usage by the hour, and the fields of hours so long gone that `forget_hours` may delete them after the commit.

    An hour is kept for another one after its end: a store's clock that steps back does not begin to count it anew.
    """
    fields: dict[str, int] = {}
    cursor, epoch, began_ms = b"0", 0, 0
    while True:
        arguments: list[bytes | str | int] = [cursor, _FIELDS_PER_CALL]
        now_ms, epoch, cursor, page = store.call(make_call("hours", [names.hourly(bucket)], arguments, read_only=True))
        began_ms = began_ms or now_ms
        fields.update((field.decode(), int(value)) for field, value in zip(page[::2], page[1::2], strict=True))
        if cursor == b"0":
            break
    fields.pop("epoch", None)
    finished = [field for field in fields if (int(field.partition("|")[0]) + 2) * HOUR_MS <= began_ms]
    return list(_hours(fields, epoch)), finished


def _hours(fields: dict[str, int], epoch: int) -> Iterator[HourOfUsage]:
    for stem in dict.fromkeys(field.rpartition("|")[0] for field in fields):
        yield _hour(stem, epoch, fields.get(f"{stem}|p", 0), fields.get(f"{stem}|d", 0))


def _hour(stem: str, epoch: int, passed: int, denied: int) -> HourOfUsage:
    hour, _, subject = stem.partition("|")
    return HourOfUsage(*names.parse_usage_subject(subject), int(hour) * HOUR_MS, epoch, passed, denied)


def forget_hours(store: Store, bucket: int, fields: Iterable[str]) -> None:
    """Deletes fields that `read_hours` called finished."""
    finished = list(fields)
    for begin in range(0, len(finished), _FIELDS_PER_CALL):
        store.call(make_call("forget", [names.hourly(bucket)], finished[begin : begin + _FIELDS_PER_CALL]))
