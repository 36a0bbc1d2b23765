"""One piece of work at a time for each name: whoever asks for what is being made already waits for it (single flight).

After a gateway-wide change every grant is stale at once, and each request in the air wants a new one. Made once, it
serves all of them.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

Name = TypeVar("Name")
Result = TypeVar("Result")


class Flights(Generic[Name, Result]):
    """Safe to share between threads and event loops.

    A flight that began before somebody asked may have looked before the change that made them ask. `serves_late` says
    of which results that does no harm; any other, and any failure, they leave alone and take one more flight.
    """

    def __init__(self, serves_late: Callable[[Result], bool]) -> None:
        self._serves_late = serves_late
        self._lock = Lock()
        self._flying: dict[Name, Future[Result]] = {}

    def tickets(self, name: Name, *, late: bool = True) -> Iterator[tuple[Future[Result], bool]]:
        """The flights to wait for, one or two; the last one's result is the asker's, whatever it is.

        True with a flight: it is the asker's to `fly`, and the others wait for that. Not `late`: no flight that began
        before will do.
        """
        flight, is_mine = self._board(name)
        yield flight, is_mine
        if not is_mine and not (late and self._is_good_for_all(flight)):
            yield self._board(name)

    def fly(self, name: Name, flight: Future[Result], work: Callable[[], Result]) -> None:
        """Does the work and tells those who wait; never raises."""
        try:
            result = work()
        except BaseException as error:
            self._land(name)
            flight.set_exception(error)
        else:
            self._land(name)
            flight.set_result(result)

    def _board(self, name: Name) -> tuple[Future[Result], bool]:
        with self._lock:
            flight = self._flying.get(name)
            if flight is not None:
                return flight, False
            flight = self._flying[name] = Future()
            flight.set_running_or_notify_cancel()  # a waiter who goes away cannot cancel it for the others
            return flight, True

    def _land(self, name: Name) -> None:
        """Before the result is told: who asks from now on may need a newer one."""
        with self._lock:
            del self._flying[name]

    def _is_good_for_all(self, flight: Future[Result]) -> bool:
        return flight.exception() is None and self._serves_late(flight.result())
