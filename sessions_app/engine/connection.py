"""One multiplexed connection to a counter server: many calls in flight, answered in order, written once per loop tick.

Concurrent decisions share round trips and system calls, which is several times faster than one connection per call.
"""

import asyncio
from collections import deque
from typing import Any, cast

import hiredis

from sessions_app.engine.types import StoreUnavailable
from sessions_app.engine.wire import Reply

_INCOMPLETE = object()

# After a stall of this process, answers may lie unread in the socket when the timer fires: they get one more loop tick.
_GRACE_SECONDS = 0.002


class Connection(asyncio.Protocol):
    """Calls wait in the order in which they were sent. When the oldest has waited too long the connection is given up:
    everything in flight fails, for nobody knows what was counted, and nothing is ever sent twice.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_seconds: float) -> None:
        self.loop = loop
        self.is_closed = False
        self._timeout_seconds = timeout_seconds
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._waiting: deque[tuple[asyncio.Future[Reply], float]] = deque()
        self._unsent: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._suspect: asyncio.Future[Reply] | None = None

    def send(self, packed: bytes) -> "asyncio.Future[Reply]":
        """The future reply; an error reply is a hiredis.ReplyError as its *result*. Fails with StoreUnavailable."""
        future: asyncio.Future[Reply] = self.loop.create_future()
        if self.is_closed:
            future.set_exception(StoreUnavailable("the connection to the counter store is closed"))
            return future
        now = self.loop.time()
        self._waiting.append((future, now))
        if self._timer is None:
            self._timer = self.loop.call_at(now + self._timeout_seconds, self._look_at_oldest)
        if not self._unsent:
            self.loop.call_soon(self._flush)
        self._unsent.append(packed)
        return future

    def close(self, reason: str = "the connection to the counter store was closed") -> None:
        """Fails all that wait. Idempotent."""
        if self.is_closed:
            return
        self.is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._unsent.clear()
        while self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(StoreUnavailable(reason))

    def _flush(self) -> None:
        if self._transport is not None and not self.is_closed and self._unsent:
            self._transport.write(b"".join(self._unsent))
            self._unsent.clear()

    def _look_at_oldest(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        oldest, sent_at = self._waiting[0]
        left = sent_at + self._timeout_seconds - self.loop.time()
        if left > 0:
            self._timer = self.loop.call_later(left, self._look_at_oldest)
        elif self._suspect is not oldest:
            self._suspect = oldest
            self._timer = self.loop.call_later(_GRACE_SECONDS, self._look_at_oldest)
        else:
            self.close(f"the counter store did not answer within {self._timeout_seconds * 1000:.0f} ms")

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self.is_closed:
            self._transport.abort()
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _INCOMPLETE:
                self._answer(reply)
        except (hiredis.ProtocolError, IndexError) as error:
            self.close(f"the counter store sent what is no reply: {error!r}")

    def _answer(self, reply: Any) -> None:
        future, _ = self._waiting.popleft()
        if not future.done():  # who asked may have gone away
            future.set_result(reply)

    def connection_lost(self, error: Exception | None) -> None:
        self.close(f"the counter store closed the connection{f': {error}' if error else ''}")
