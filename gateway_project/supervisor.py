"""Runs a set of child processes as one: a signal stops all in order, and one dead child stops the others."""

import os
import selectors
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from gateway_project.child import Child

# Together below the 20 s that process managers commonly allow between SIGTERM and SIGKILL.
DRAIN_SECONDS = 11.0
LAST_SECONDS = 5.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Supervisor:
    """A context manager: children started inside it are stopped when it is left.

    Signals are only noted; the owner asks `stop_requested` between its steps and waits with `wait()`.
    """

    def __init__(self, log_dir: Path) -> None:
        self.stop_requested = False
        self._log_dir = log_dir
        self._children: list[Child] = []
        self._last: list[Child] = []
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        self._wake, self._alarm = os.pipe()
        for end in (self._wake, self._alarm):
            os.set_blocking(end, False)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._old_alarm = signal.set_wakeup_fd(self._alarm, warn_on_full_buffer=False)
        self._old_handlers = {number: signal.signal(number, self._note_stop) for number in STOP_SIGNALS}
        self._old_handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._stop(self._children, DRAIN_SECONDS)
            self._stop(self._last, LAST_SECONDS)
        finally:
            for number, handler in self._old_handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._old_alarm)
            self._selector.close()
            os.close(self._wake)
            os.close(self._alarm)

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        stop_last: bool = False,
        echo: bool = True,
        pass_fds: Sequence[int] = (),
    ) -> Child:
        """Starts a child. `stop_last`: the others need it while they stop. `echo`: the console shows its output."""

        def show(line: str) -> None:
            if line:
                print(f"{name:<7}| {line}", file=sys.stderr, flush=True)

        child = Child(name, command, self._log_dir / f"{name}.log", environment, show if echo else None, pass_fds)
        (self._last if stop_last else self._children).append(child)
        return child

    def run(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Runs a child to its end, or until we are asked to stop."""
        child = self.start(name, command, environment, echo=False)
        while child.exit_status() is None and not self.stop_requested:
            self.wait_for_news()
        self._stop([child], DRAIN_SECONDS)
        self._children.remove(child)
        return child

    def dead_child(self) -> Child | None:
        return next((child for child in self._last + self._children if child.exit_status() is not None), None)

    def wait(self) -> Child | None:
        """Until we are asked to stop (None) or a child died (that child)."""
        while not self.stop_requested:
            if dead := self.dead_child():
                return dead
            self.wait_for_news()
        return None

    def wait_for_news(self, seconds: float | None = None) -> None:
        """Sleeps until a signal arrives, be it a child's death or a request to stop, or for this long."""
        if self._selector.select(seconds):
            with suppress(BlockingIOError):
                os.read(self._wake, 4096)

    def _note_stop(self, number: int, frame: FrameType | None) -> None:
        self.stop_requested = True

    @staticmethod
    def _stop(children: Sequence[Child], seconds: float) -> None:
        for child in children:
            child.ask_to_stop()
        deadline = time.monotonic() + seconds
        for child in children:
            child.wait(max(0.0, deadline - time.monotonic()))
            child.finish()
