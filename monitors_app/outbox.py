"""The outbox: streams in the counter store, one per bucket; the counter function appends each crossing (rule 7.4).

An entry stays in its stream until it is in the ledger. It is read from the oldest, without consumer groups: a relay
that dies halfway leaves everything as it was, the next one begins with the same entries in the same order, and the
ledger knows what it has. Groups would keep a dead relay's entries back while later ones overtake them, and rule 7.9
promises the order.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from sessions_app.engine import names
from sessions_app.engine.store_sync import BROKEN, ClusterStore, ServerStore
from sessions_app.engine.types import StoreUnavailable
from sessions_app.store import sync_store

P = ParamSpec("P")
R = TypeVar("R")

# A turn ends by itself if its relay died. Two at once do no harm, only the same work.
TURN_MS = 30_000
MAX_SET_ASIDE = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a stream: its id there and its flat fields."""

    id: bytes
    fields: Mapping[bytes, bytes]


def _answered(function: Callable[P, R]) -> Callable[P, R]:
    """Errors of the way to the store become StoreUnavailable."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BROKEN as error:
            raise StoreUnavailable(f"the outbox cannot be read: {error}") from error

    return wrapper


def _client() -> Any:
    """redis-py's client of a server or a cluster; its stubs cannot say that both know these commands."""
    return cast(ServerStore | ClusterStore, sync_store()).client


@_answered
def waiting() -> list[int]:
    """Buckets whose stream has entries: one look at all of them. Raises StoreUnavailable."""
    pipeline = _client().pipeline(transaction=False)
    for bucket in range(names.BUCKETS):
        pipeline.xlen(names.outbox(bucket))
    return [bucket for bucket, length in enumerate(pipeline.execute()) if length]


@_answered
def backlog() -> tuple[int, float | None]:
    """How many entries wait in all streams, and when the oldest came, in unix seconds. Raises StoreUnavailable."""
    pipeline = _client().pipeline(transaction=False)
    for bucket in range(names.BUCKETS):
        pipeline.xlen(names.outbox(bucket))
        pipeline.xrange(names.outbox(bucket), count=1)
    answers = pipeline.execute()
    oldest = [int(entry_id.partition(b"-")[0]) / 1000 for first in answers[1::2] for entry_id, _ in first]
    return sum(answers[::2]), min(oldest, default=None)


@_answered
def length(bucket: int) -> int:
    """Entries that are not in the ledger yet. Raises StoreUnavailable."""
    return int(_client().xlen(names.outbox(bucket)))


@_answered
def read(bucket: int, count: int) -> list[Entry]:
    """The oldest entries, in order. They stay where they are. Raises StoreUnavailable."""
    found = _client().xrange(names.outbox(bucket), count=count)
    return [Entry(entry_id, fields) for entry_id, fields in found]


@_answered
def remove(bucket: int, entries: Sequence[Entry]) -> None:
    """Raises StoreUnavailable."""
    if entries:
        _client().xdel(names.outbox(bucket), *(entry.id for entry in entries))


@_answered
def set_aside(bucket: int, entry: Entry) -> None:
    """Keeps an entry that makes no sense for people to look at, out of the way of the others.

    Raises StoreUnavailable.
    """
    client = _client()
    client.xadd(broken_stream(bucket), dict(entry.fields), maxlen=MAX_SET_ASIDE)
    client.xdel(names.outbox(bucket), entry.id)


def broken_stream(bucket: int) -> str:
    return f"{names.outbox(bucket)}:broken"


@contextmanager
def turn(bucket: int) -> Iterator[bool]:
    """Whether it is ours to empty this bucket. Only spares double work: the ledger does not rely on it.

    Raises StoreUnavailable.
    """
    name = f"{names.outbox(bucket)}:turn"
    ours = bool(_answered(_client().set)(name, b"1", nx=True, px=TURN_MS))
    try:
        yield ours
    finally:
        if ours:
            _give_back(name)


def _give_back(name: str) -> None:
    with suppress(*BROKEN):  # it ends by itself
        _client().delete(name)
