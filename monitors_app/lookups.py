"""Host names of webhooks, looked up so that a name server that hangs holds up nobody else.

The event loop's own lookups share a pool of threads and make the loop wait for each of them before it can close: one
dead name would keep a worker for half a minute. Here each name has a thread of its own, which whoever asks for the same
name joins and may leave.
"""

import asyncio
import socket
import threading
from concurrent.futures import Future
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

AddressInfo = list[tuple[Any, ...]]
Question = tuple[str, int, int]

_open: dict[Question, "Future[AddressInfo]"] = {}
_lock = threading.Lock()


class Resolver(AbstractResolver):
    """For one aiohttp connector. No answer is kept: each connection asks anew."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """All addresses of the name. Raises OSError."""
        infos = await asyncio.wrap_future(_look_up((host, port, int(family))))
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=family_found,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for family_found, _, protocol, _, address in infos
        ]

    async def close(self) -> None:
        pass


def _look_up(question: Question) -> "Future[AddressInfo]":
    with _lock:
        future = _open.get(question)
        if future is None:
            future = _open[question] = Future()
            future.set_running_or_notify_cancel()  # from here on, who leaves cannot cancel it for the others
            name = f"lookup of {question[0]}"
            threading.Thread(target=_answer, args=(question, future), name=name, daemon=True).start()
    return future


def _answer(question: Question, future: "Future[AddressInfo]") -> None:
    host, port, family = question
    try:
        infos = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        _close(question)
        future.set_result(list(infos))
    except Exception as error:  # whatever it is belongs to those who wait
        _close(question)
        future.set_exception(error)


def _close(question: Question) -> None:
    with _lock:
        _open.pop(question, None)
