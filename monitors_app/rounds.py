"""A round: claimed deliveries to one target, sent on the process's event loop, no more at once than there are places.

A worker's thread waits for answers as long as some come. A target that is silent is left: what was not begun is given
back, and threads of our own take the answers that come later. So receivers that hang fill no worker.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent import futures

from django.db import connection

from monitors_app import network
from monitors_app.attempts import Result, Sent
from monitors_app.models import Delivery

logger = logging.getLogger(__name__)

Send = Callable[[Delivery], Coroutine[None, None, Result]]
TakeLate = Callable[[Sent], None]
# Requests of this process that nobody waits for. When there are more, the worker's threads wait for theirs.
MAX_LATE = 300
LATE_THREADS = 2


class Round:
    """Begins at once. `send` runs on the event loop and must not touch the database; `take_late` may."""

    def __init__(self, deliveries: Sequence[Delivery], places: int, send: Send, take_late: TakeLate) -> None:
        self._send, self._take_late = send, take_late
        self._waiting = deque(deliveries)
        self._in_flight = 0
        self._finished: list[Sent] = []
        self._is_left = False
        self._is_refused = False  # the receiver wants no more (410): what was not begun must not reach it
        self._lock = threading.Lock()
        self._lanes = [network.start(self._lane()) for _ in range(min(places, len(deliveries)))]

    def wait(self, seconds: float) -> bool:
        """Whether it is over within this time. Raises what went wrong with the loop itself."""
        done, pending = futures.wait(self._lanes, seconds)
        for lane in done:
            lane.result()
        return not pending

    def take(self) -> list[Sent]:
        """What was answered since the last time."""
        with self._lock:
            finished, self._finished = self._finished, []
        return finished

    def leave(self) -> bool:
        """Nothing more is begun, and answers from now on are late ones. False if too many late ones are expected."""
        with self._lock:
            self._is_left = late.expect(self._in_flight)
        return self._is_left

    def rest(self) -> list[Delivery]:
        """What is not begun any more, once the round is over or left."""
        with self._lock:
            rest, self._waiting = list(self._waiting), deque()
        return rest

    async def _lane(self) -> None:
        while delivery := self._begin_next():
            result = None
            try:
                result = await self._send(delivery)
            except Exception:  # a fault of ours: the claim runs out, then it is tried again; others go on
                logger.exception("a delivery could not be attempted", extra={"delivery": delivery.pk})
            self._end(delivery, result)

    def _begin_next(self) -> Delivery | None:
        with self._lock:
            if self._is_left or self._is_refused or not self._waiting:
                return None
            self._in_flight += 1
            return self._waiting.popleft()

    def _end(self, delivery: Delivery, result: Result | None) -> None:
        with self._lock:
            self._in_flight -= 1
            self._is_refused |= bool(result and result.permanent)
            if not self._is_left:
                self._finished += [(delivery, result)] if result else []
                return
        late.take(self._take_late, (delivery, result) if result else None)


class Late:
    """Answers of rounds that were left."""

    def __init__(self) -> None:
        self._threads = futures.ThreadPoolExecutor(LATE_THREADS, thread_name_prefix="late-answers")
        self._changed = threading.Condition()
        self._expected = 0

    def expect(self, count: int) -> bool:
        with self._changed:
            if self._expected + count > MAX_LATE:
                return False
            self._expected += count
            return True

    def take(self, take_late: TakeLate, sent: Sent | None) -> None:
        self._threads.submit(self._take, take_late, sent)

    def drain(self, seconds: float) -> bool:
        """Waits until none is expected any more; False if that takes longer than this."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._expected, seconds)

    def _take(self, take_late: TakeLate, sent: Sent | None) -> None:
        try:
            if sent:
                take_late(sent)
        except Exception:  # nobody asks for this thread's results; the claim runs out, then it is tried again
            logger.exception("a late answer could not be recorded")
        finally:
            connection.close()
            with self._changed:
                self._expected -= 1
                self._changed.notify_all()


late = Late()
