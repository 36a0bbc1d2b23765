"""How the engine talks to the counter store, without talking: commands as bytes, error replies as exceptions.

The sync and the async client both stand on this, so that there is one place which knows what a reply means.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import hiredis

from sessions_app.engine.library import LIBRARY, SOURCE, function_name
from sessions_app.engine.types import StoreUnavailable

Reply = Any  # an integer, bytes, None, or a list of replies

# Error codes that mean "this server cannot count now", as opposed to "this one call was wrong".
_DOWN = (
    "OOM",
    "READONLY",
    "LOADING",
    "MISCONF",
    "BUSY",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "NOREPLICAS",
    "NOAUTH",
    "NOPERM",
    "WRONGPASS",
)
_MOVED = ("READONLY", "LOADING", "MASTERDOWN")


class FunctionMissing(Exception):
    """The store does not have our library (new, flushed, failed over): nothing was executed. Load it and call again."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a store function, packed. `key` says which cluster node it goes to."""

    packed: bytes
    key: str

    @property
    def parts(self) -> list[bytes]:
        """The command's parts. Not kept: a cached grant remembers the packed ones."""
        return unpack(self.packed)

    @property
    def command(self) -> tuple[str | bytes, ...]:
        """The same for redis-py's cluster clients, which pack themselves and want the command's name as text."""
        name, *rest = self.parts
        return (name.decode(), *rest)


class Store(Protocol):
    """A counter store, blocking. Raises StoreUnavailable and nothing else."""

    def call(self, call: Call) -> Reply: ...

    def call_many(self, calls: Sequence[Call]) -> list[Reply]:
        """Replies in order; fewer round trips than one by one."""
        ...


class AsyncStore(Protocol):
    """A counter store for one event loop. Raises StoreUnavailable and nothing else."""

    async def call(self, call: Call) -> Reply: ...

    async def call_many(self, calls: Sequence[Call]) -> list[Reply]: ...


def encode(value: bytes | str | int) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def pack(parts: Iterable[bytes]) -> bytes:
    """A command in RESP."""
    parts = tuple(parts)
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def unpack(packed: bytes) -> list[bytes]:
    reader = hiredis.Reader()
    reader.feed(packed)
    parts: list[bytes] = reader.gets()
    return parts


def make_call(
    verb: str, keys: Sequence[str], arguments: Iterable[bytes | str | int] = (), *, read_only: bool = False
) -> Call:
    """A call of the library's function `verb`. At least one key."""
    command = b"FCALL_RO" if read_only else b"FCALL"
    head = (command, function_name(verb).encode(), encode(len(keys)))
    parts = (*head, *(key.encode() for key in keys), *(encode(argument) for argument in arguments))
    return Call(pack(parts), keys[0])


LOAD_LIBRARY = ("FUNCTION LOAD", "REPLACE", SOURCE)  # as redis-py wants it
PACKED_LOAD_LIBRARY = pack(encode(word) for word in ("FUNCTION", "LOAD", "REPLACE", SOURCE))


def error_from(text: str) -> StoreUnavailable | FunctionMissing:
    """What an error reply means."""
    if "Function not found" in text:
        return FunctionMissing(f"the store does not have {LIBRARY}")
    return StoreUnavailable(f"the counter store answered: {text}")


def means_moved(text: str) -> bool:
    """Whether an error reply says that this server is not the one that counts: the next connection may find it."""
    return text.startswith(_MOVED)


def means_down(text: str) -> bool:
    """Whether an error reply is about the server rather than about the call."""
    return text.startswith(_DOWN)
