"""The process's one event loop, on which all webhooks are sent: a receiver that keeps us waiting costs no thread."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

Answered = TypeVar("Answered")


def start(coroutine: Coroutine[Any, Any, Answered]) -> Future[Answered]:
    """Runs it on the loop, beside all others. Whoever wants to wait for it waits for the future."""
    return asyncio.run_coroutine_threadsafe(coroutine, _Loop.ours())


class _Loop:
    """Made when it is first needed, in each process anew: a fork inherits the loop, but not the thread that runs it."""

    _lock = threading.Lock()
    _running: asyncio.AbstractEventLoop | None = None

    @classmethod
    def ours(cls) -> asyncio.AbstractEventLoop:
        with cls._lock:
            if cls._running is None:
                cls._running = asyncio.new_event_loop()
                threading.Thread(target=cls._running.run_forever, name="webhooks", daemon=True).start()
            return cls._running

    @classmethod
    def forget(cls) -> None:
        cls._lock, cls._running = threading.Lock(), None


os.register_at_fork(after_in_child=_Loop.forget)
