"""The counter store as this process is configured to reach it: one client for threads, one for each event loop."""
import asyncio
from functools import lru_cache
from weakref import WeakKeyDictionary

from django.conf import settings

from sessions_app.engine.store_async import open_async_store
from sessions_app.engine.store_sync import open_store
from sessions_app.engine.wire import AsyncStore, Store

_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[str, AsyncStore]] = WeakKeyDictionary()


def sync_store() -> Store:
    """The process's blocking client; connects with the first call."""
    return _open(settings.GATEWAY_STORE_URL, settings.GATEWAY_STORE_TIMEOUT_MS)


def async_store() -> AsyncStore:
    """The running loop's client; connects with the first call."""
    loop, url = asyncio.get_running_loop(), settings.GATEWAY_STORE_URL
    known = _of_loop.get(loop)
    if known is None or known[0] != url:
        _of_loop[loop] = known = (url, open_async_store(url, settings.GATEWAY_STORE_TIMEOUT_MS))
    return known[1]


@lru_cache(maxsize=4)
def _open(url: str, timeout_ms: int) -> Store:
    return open_store(url, timeout_ms)
