"""What the engine's tests share: a blocking client of the session's store, empty when the test begins."""

from collections.abc import Iterator

import pytest
import redis

from sessions_app.engine.store_sync import ServerStore, open_store
from tests.sessions_app.engine.world import PATIENCE_MS


@pytest.fixture
def counters_store(store: redis.Redis, store_url: str) -> Iterator[ServerStore]:
    opened = open_store(store_url, PATIENCE_MS)
    assert isinstance(opened, ServerStore)
    opened.load_library()
    yield opened
    opened.close()
