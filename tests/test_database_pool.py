"""The pool of connections: a database that is down is told from one that is busy."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from psycopg import OperationalError
from psycopg_pool import ConnectionPool

from gateway_project.database_pool import POOL, tell_waiting
from gateway_project.store import free_port
from tests.postgres import Postgres, running_postgres

PATIENT: dict[str, Any] = {**POOL, "timeout": 60}


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


def test_nobody_waits_for_a_database_that_is_down() -> None:
    with ConnectionPool(f"postgres://nobody@127.0.0.1:{free_port()}/nothing", **PATIENT) as pool:
        for _ in range(2):
            with pytest.raises(OperationalError, match="gave none"):
                pool.getconn()
            assert pool.get_stats()["pool_size"] == 0, "who asks next tries to connect at once"


def test_who_waits_for_a_busy_one_gets_a_connection(postgres: Postgres) -> None:
    """Also when another connection was refused meanwhile, because the database has too many."""
    postgres.do("DROP ROLE IF EXISTS one")
    postgres.do("CREATE ROLE one LOGIN CONNECTION LIMIT 1")
    gave_up = threading.Event()

    def tell(pool: Any) -> None:
        tell_waiting(pool)
        gave_up.set()

    url = postgres.url.replace("postgres@", "one@")
    with ConnectionPool(url, **{**PATIENT, "reconnect_failed": tell}) as pool, ThreadPoolExecutor() as threads:
        used = pool.getconn()
        waiting = threads.submit(pool.getconn)
        assert gave_up.wait(30) and not waiting.done()
        pool.putconn(used)
        pool.putconn(waiting.result(30))


def test_a_burst_is_served_by_few_connections(postgres: Postgres) -> None:
    def ask(pool: ConnectionPool[Any]) -> int:
        with pool.connection() as connection:
            return int(connection.execute("SELECT 1 FROM pg_sleep(0.02)").fetchone()[0])

    with ConnectionPool(postgres.url, **{**PATIENT, "max_size": 2}) as pool, ThreadPoolExecutor(40) as threads:
        assert list(threads.map(ask, [pool] * 40)) == [1] * 40


def test_after_an_outage_the_next_one_is_served(postgres: Postgres) -> None:
    with ConnectionPool(postgres.url, **PATIENT) as pool:
        pool.putconn(pool.getconn())
        postgres.stop()
        used = pool.getconn()
        with pytest.raises(OperationalError):
            used.execute("SELECT 1")
        pool.putconn(used)
        with pytest.raises(OperationalError, match="gave none"):
            pool.getconn()
        postgres.start()
        with pool.connection() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
