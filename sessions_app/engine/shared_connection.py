"""One blocking connection for all threads of a process: who comes while a round trip is under way shares the next one.

The threads' counterpart of the event loop's multiplexed connection. There is no thread of its own: the first who waits
leads, sends what all have asked, hands out the answers, and makes one of those who came meanwhile the next leader.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from weakref import WeakSet

import redis

from sessions_app.engine.blocking_connection import BlockingConnection
from sessions_app.engine.wire import Reply, means_moved

# Far beyond what a round trip may take, dialling included. Only after a leader that died without a word (an exception
# raised into its thread) does anybody wait that long.
_PATIENCE_FACTOR = 4
_PATIENCE_SECONDS = 1.0


class _Turn:
    """What one thread asks. `replies` are there once it is over, or the `error` of the round trip."""

    __slots__ = ("_woken", "count", "error", "is_over", "packed", "replies")

    def __init__(self, packed: bytes, count: int) -> None:
        self.packed, self.count = packed, count
        self.replies: list[Reply] = []
        self.error: Exception | None = None
        self.is_over = False
        self._woken = threading.Lock()
        self._woken.acquire()

    def wait(self, seconds: float) -> bool:
        return self._woken.acquire(timeout=seconds)

    def wake(self) -> None:
        self._woken.release()

    def finish(self, replies: list[Reply], error: Exception | None = None) -> None:
        self.replies, self.error, self.is_over = replies, error, True
        self.wake()


class SharedConnection:
    """Safe for threads; a forked process makes a connection of its own."""

    def __init__(self, dial: Callable[[], BlockingConnection], timeout_seconds: float) -> None:
        self._dial = dial
        self._patience_seconds = _PATIENCE_FACTOR * timeout_seconds + _PATIENCE_SECONDS
        self.begin()
        _every.add(self)

    def begin(self) -> None:
        """Forgets the connection and who waits for it, as a forked process must: they are its parent's."""
        self._mutex = threading.Lock()
        self._waiting: deque[_Turn] = deque()
        self._is_led = False
        self._connection: BlockingConnection | None = None

    def exchange(self, packed: bytes, count: int) -> list[Reply]:
        """Sends `count` commands and returns as many replies; error replies are among them as ResponseErrors.

        Raises what the connection or dialling raises. All who share a failed round trip fail: nobody knows what was
        counted, and nothing is ever sent twice.
        """
        turn = _Turn(packed, count)
        if not self._leads(turn) and not turn.wait(self._patience_seconds):
            self._despair(turn)
        if not turn.is_over:
            self._lead(turn)
        if turn.error is not None:
            raise turn.error
        return turn.replies

    def close(self) -> None:
        """The next round trip makes a new connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _leads(self, turn: _Turn) -> bool:
        """Whether nobody else does; otherwise the turn waits, for the leader's answer or to be made the next leader."""
        with self._mutex:
            if self._is_led:
                self._waiting.append(turn)
                return False
            self._is_led = True
            return True

    def _lead(self, own: _Turn) -> None:
        with self._mutex:
            turns, self._waiting = [own, *self._waiting], deque()
        try:
            replies = self._round_trip(turns)
        except BaseException as error:
            self._fail(turns, error)
            if isinstance(error, Exception):
                return
            raise
        for turn in turns:
            turn.finish([next(replies) for _ in range(turn.count)])
        with self._mutex:
            self._is_led = bool(self._waiting)
            if self._waiting:
                self._waiting.popleft().wake()

    def _round_trip(self, turns: Sequence[_Turn]) -> Iterator[Reply]:
        connection = self._taken()
        try:
            replies = connection.exchange(b"".join([turn.packed for turn in turns]), sum(turn.count for turn in turns))
        except BaseException:
            connection.close()  # its replies would be taken for those to the next call
            raise
        if any(isinstance(reply, redis.ResponseError) and means_moved(str(reply)) for reply in replies):
            connection.close()
        else:
            self._connection = connection
        return iter(replies)

    def _taken(self) -> BlockingConnection:
        """The connection, for one leader alone: one who rises in despair must not read the replies of another."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.is_fit():
            return connection
        if connection is not None:
            connection.close()
        return self._dial()

    def _fail(self, turns: Sequence[_Turn], error: BaseException) -> None:
        """Also those who came meanwhile fail, unsent: the server would only make them wait as long again."""
        with self._mutex:
            late, self._waiting, self._is_led = self._waiting, deque(), False
        told = error if isinstance(error, Exception) else ConnectionError("the round trip was interrupted")
        for turn in (*turns, *late):
            turn.finish([], told)

    def _despair(self, turn: _Turn) -> None:
        """The leader is lost: whoever comes next leads."""
        with self._mutex:
            if turn.is_over:
                return
            if turn in self._waiting:
                self._waiting.remove(turn)
            self._is_led = False
            turn.error, turn.is_over = TimeoutError("no answer in time"), True


def _begin_all() -> None:
    for connection in _every:
        connection.begin()


_every: WeakSet[SharedConnection] = WeakSet()
os.register_at_fork(after_in_child=_begin_all)
