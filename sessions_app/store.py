"""The counter store as this process is configured to reach it: one client for threads, one for each event loop."""

import asyncio
from functools import lru_cache
from weakref import WeakKeyDictionary

from django.conf import settings

from sessions_app.engine.store_async import open_async_store
from sessions_app.engine.store_sync import open_store
from sessions_app.engine.wire import AsyncStore, Store

_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[str, AsyncStore]] = WeakKeyDictionary()
# A server has one loop, and each of its requests asks: comparing is several times faster than the weak look-up.
_newest: tuple[asyncio.AbstractEventLoop, str, AsyncStore] | None = None


def sync_store() -> Store:
    """The process's blocking client; connects with the first call."""
    return _open(settings.GATEWAY_STORE_URL, settings.GATEWAY_STORE_TIMEOUT_MS)


def async_store() -> AsyncStore:
    """The running loop's client; connects with the first call."""
    global _newest
    loop, url = asyncio.get_running_loop(), settings.GATEWAY_STORE_URL
    if _newest is not None and _newest[0] is loop and _newest[1] == url:
        return _newest[2]
    known = _of_loop.get(loop)
    if known is None or known[0] != url:
        _of_loop[loop] = known = (url, open_async_store(url, settings.GATEWAY_STORE_TIMEOUT_MS))
    _newest = (loop, *known)
    return known[1]


@lru_cache(maxsize=4)
def _open(url: str, timeout_ms: int) -> Store:
    return open_store(url, timeout_ms)
