"""Notes of what people did to counters. A verb leaves them in the same atomic step, so that what it did is remembered
even if the process dies right after it, or if the call timed out and yet came through.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sessions_app.engine import names
from sessions_app.engine.wire import Store, make_call


class StoredNote(NamedTuple):
    """`used_before` are the counter's units before the verb; `age_ms` is by the store's clock."""

    field: str
    text: str
    at_ms: int
    used_before: int
    age_ms: int


def read_notes(store: Store) -> list[list[StoredNote]]:
    """Of every bucket. Raises StoreUnavailable."""
    calls = [make_call("notes", [names.notes(bucket)], read_only=True) for bucket in range(names.BUCKETS)]
    return [_notes(now_ms, fields) for now_ms, fields in store.call_many(calls)]


def forget_notes(store: Store, bucket: int, fields: Sequence[str]) -> None:
    """To be called once what they tell of is committed. Raises StoreUnavailable."""
    store.call(make_call("forget", [names.notes(bucket)], fields))


def _notes(now_ms: int, fields: Sequence[bytes]) -> list[StoredNote]:
    found = []
    for field, value in zip(fields[::2], fields[1::2], strict=True):
        at_ms, used_before, text = value.decode().split(" ", 2)
        found.append(StoredNote(field.decode(), text, int(at_ms), int(used_before), now_ms - int(at_ms)))
    return found
