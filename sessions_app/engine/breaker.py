"""A circuit breaker: while the counter store is down, calls fail at once instead of each waiting for it (rule 9.1).

It only remembers. Its owner pings the store in the background while it is open, so that no request is ever the probe.
"""

import threading
from collections.abc import Callable

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 1.0


class Breaker:
    """Closed until a failure, open until a success. Thread-safe.

    `probe` is called when it opens and with each call that is refused, so that a prober that died (a fork, a closed
    event loop) is replaced. It must return at once, and do nothing while its prober still runs.
    """

    def __init__(self, probe: Callable[[], None]) -> None:
        self._probe = probe
        self._lock = threading.Lock()
        self._pause = FIRST_PAUSE_SECONDS
        self.is_open = False

    def refuses(self) -> bool:
        """Whether a call must fail without being tried."""
        if self.is_open:
            self._probe()
        return self.is_open

    def failed(self) -> None:
        with self._lock:
            if self.is_open:
                return
            self.is_open, self._pause = True, FIRST_PAUSE_SECONDS
        self._probe()

    def succeeded(self) -> None:
        self.is_open = False

    def next_pause(self) -> float:
        """Seconds to wait before the next probe: 0.1, 0.2, 0.4, 0.8, then 1."""
        pause, self._pause = self._pause, min(LONGEST_PAUSE_SECONDS, self._pause * 2)
        return pause
