"""How connections to PostgreSQL are pooled: who needs one is told soon that the database is down, and waits while it is
only busy.

By itself a pool lets everybody wait for the whole `timeout` in either case, tries to connect ever more rarely, and is
slow to notice the end of an outage that took minutes.
"""

from typing import Any

from psycopg import OperationalError
from psycopg_pool import ConnectionPool

DOWN = "the database was asked twice for a connection and gave none"


def tell_waiting(pool: ConnectionPool[Any]) -> None:
    """Called by the pool when it has given up to connect. Nobody waits in vain any more, unless there are connections
    in use that come back, or another one is on its way.
    """
    with pool._lock:
        if pool._nconns:
            return
        waiting = list(pool._waiting)
        pool._waiting.clear()
    for client in waiting:
        client.fail(OperationalError(DOWN))


POOL = {
    "min_size": 0,
    "max_size": 16,
    "timeout": 5,  # seconds for a connection while all are in use
    "reconnect_timeout": 0.5,  # seconds between two attempts to connect, after which it gives up
    "reconnect_failed": tell_waiting,
}
