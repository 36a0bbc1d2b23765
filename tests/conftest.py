"""What all tests share: a real counter store, empty before each test that asks for it."""

import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.conf import settings

from gateway_project.store import running_store
from sessions_app import grants, routes, strangers
from tests.administration import SECRET, Administration, rest_client, tyk_client

MARK = "test-database-of-the-gateway"


@pytest.fixture(scope="session", autouse=True)
def store_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of this session's store, also in settings and in the environment of child processes.

    `REDIS_URL` if it is set, else a server of our own; each xdist worker has one.
    """
    given = os.environ.get("REDIS_URL")
    if given:
        url = _own_database(given)
        _claim(url)
        yield from _as_configured(url)
        _claim(url).flushdb()
        return
    with running_store(tmp_path_factory.mktemp("store")) as url:
        _claim(url)
        yield from _as_configured(url)
    os.environ.pop("REDIS_URL", None)


@pytest.fixture
def fresh_process() -> Iterator[None]:
    """What this process remembers of configurations and strangers is forgotten: databases come and go with tests."""
    _forget()
    yield
    _forget()


def _forget() -> None:
    routes.forget()
    grants.forget()
    strangers.forget_all()


@pytest.fixture
def store(store_url: str, fresh_process: None) -> Iterator[redis.Redis]:
    """A client of the store, which is empty when the test begins."""
    with _claim(store_url) as client:
        yield client


@pytest.fixture
def quiet() -> Iterator[None]:
    """For hundreds of refusals: logging each with its traceback would take longer than the test."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def tyk(settings: Any) -> Administration:
    """Tyk's dialect, with the right secret."""
    settings.GATEWAY_ADMIN_SECRET = SECRET
    return tyk_client()


@pytest.fixture
def rest(settings: Any) -> Administration:
    """`/api/v1`, with the root token."""
    settings.GATEWAY_ADMIN_SECRET = SECRET
    return rest_client()


def _as_configured(url: str) -> Iterator[str]:
    settings.GATEWAY_STORE_URL = url
    os.environ["REDIS_URL"] = url
    yield url


def _own_database(url: str) -> str:
    """xdist workers that share a server use databases side by side, counted from the given one."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    base, _, number = url.rpartition("/")
    if not number.isdigit() or number == "0":
        pytest.exit("REDIS_URL must name a database other than 0 for tests, such as redis://127.0.0.1:6379/9", 2)
    return f"{base}/{int(number) + worker}"


def _claim(url: str) -> redis.Redis:
    """Empties the database, if it is ours: marked by an earlier claim, or empty. Returns a client of it."""
    client = redis.Redis.from_url(url, decode_responses=True)
    if client.dbsize() and not client.exists(MARK):
        pytest.exit(f"The store database {url.rpartition('/')[2]} is in use and not by tests: give another one.", 2)
    client.flushdb()
    client.set(MARK, "1")
    return client
