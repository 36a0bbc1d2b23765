"""The blocking client of the counter store: for Django's middleware, admin, workers. On redis-py, without any retry.

A call that timed out may have been counted, so it is never sent again: it fails, and what that means is the edge's
decision (rule 9.1).
"""

import threading
import time
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, cast

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import NoPermissionError, RedisClusterException
from redis.retry import Retry
from redis.sentinel import Sentinel

from sessions_app.engine.address import Address, Kind, parse_address
from sessions_app.engine.blocking_connection import dial
from sessions_app.engine.breaker import Breaker
from sessions_app.engine.shared_connection import SharedConnection
from sessions_app.engine.types import StoreUnavailable
from sessions_app.engine.wire import LOAD_LIBRARY, Call, FunctionMissing, Reply, error_from, means_down

# What clients raise. redis-py's ResponseErrors are replies, the rest means that a server or the way to it is at fault.
BROKEN = (redis.RedisError, RedisClusterException, hiredis.HiredisError, OSError)
_DOWN_REPLIES = (redis.ReadOnlyError, redis.OutOfMemoryError, NoPermissionError)


def open_store(url: str, timeout_ms: int) -> "ServerStore | ClusterStore":
    """A store for any number of threads; forks may share it. Does not connect yet. Raises ValueError for an unfit URL.

    `timeout_ms` bounds connecting and waiting for an answer, each.
    """
    address = parse_address(url)
    return (ClusterStore if address.kind is Kind.CLUSTER else ServerStore)(address, timeout_ms / 1000)


class Prober:
    """Tries in a thread of its own, until the store answers. One thread at a time; another is started if it died."""

    def __init__(self, attempt: Callable[[], Any]) -> None:
        self.breaker = Breaker(self._start)
        self._attempt = attempt
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="tollgate-store-probe", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while self.breaker.is_open:
            time.sleep(self.breaker.next_pause())
            try:
                self._attempt()
            except BROKEN:
                continue
            self.breaker.succeeded()


class ServerStore:
    """One server, or the master that sentinels name."""

    def __init__(self, address: Address, timeout_seconds: float) -> None:
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._connection = SharedConnection(lambda: dial(address, timeout_seconds, self._sentinels), timeout_seconds)
        self._breaker = Prober(lambda: self.client.ping()).breaker

    @cached_property
    def client(self) -> redis.Redis:
        """A client of redis-py, for commands on streams. Raises what redis-py raises."""
        address, options = self._address, client_options(self._address, self._timeout_seconds)
        if address.kind is Kind.SENTINEL:
            return cast(redis.Redis, self._sentinels().master_for(address.master_name))
        if address.path:
            return redis.Redis(unix_socket_path=address.path, **options)
        host, port = address.hosts[0]
        return redis.Redis(host=host, port=port, **options)

    def _sentinels(self) -> Sentinel:
        address, timeout = self._address, self._timeout_seconds
        options = client_options(address, timeout)
        return Sentinel(list(address.hosts), sentinel_kwargs=sentinel_options(address, timeout), **options)

    def call(self, call: Call) -> Reply:
        return self.call_many([call])[0]

    def call_many(self, calls: Sequence[Call]) -> list[Reply]:
        if self._breaker.refuses():
            raise StoreUnavailable("the counter store is down; it is tried again in the background")
        if not calls:
            return []
        try:
            replies = self._exchange([call.packed for call in calls])
            lost = [place for place, reply in enumerate(replies) if is_function_missing(reply)]
            if lost:
                self.load_library()
                for place, reply in zip(lost, self._exchange([calls[place].packed for place in lost]), strict=True):
                    replies[place] = reply
        except BROKEN as error:
            self._breaker.failed()
            raise StoreUnavailable(f"the counter store did not answer: {error}") from error
        return checked(replies, self._breaker)

    def load_library(self) -> None:
        """Loads our functions; done by itself when they are missing. Raises what redis-py raises."""
        self.client.execute_command(*LOAD_LIBRARY)

    def _exchange(self, packed: list[bytes]) -> list[Reply]:
        """Sends commands in one go and reads as many replies; error replies are among them as exceptions."""
        return self._connection.exchange(b"".join(packed), len(packed))

    def close(self) -> None:
        self._breaker.succeeded()
        self._connection.close()
        self.client.close()


class ClusterStore:
    """A Redis Cluster. Each bucket has its own breaker, so that one shard that is down does not shadow the others."""

    def __init__(self, address: Address, timeout_seconds: float) -> None:
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._breakers: dict[str, Breaker] = {}

    @cached_property
    def client(self) -> RedisCluster:
        """The client below, for commands on streams. Connects. Raises what redis-py raises."""
        nodes = [ClusterNode(host, port) for host, port in self._address.hosts]
        options = client_options(self._address, self._timeout_seconds)
        options.pop("db", None)
        return RedisCluster(startup_nodes=nodes, require_full_coverage=False, **options)

    def call(self, call: Call) -> Reply:
        breaker = self._breaker_of(call.key)
        if breaker.refuses():
            raise StoreUnavailable("this part of the counter store is down; it is tried again in the background")
        try:
            reply = self._execute(call)
            if is_function_missing(reply):
                self.load_library()
                reply = self._execute(call)
        except BROKEN as error:
            breaker.failed()
            raise StoreUnavailable(f"the counter store did not answer: {error}") from error
        return checked([reply], breaker)[0]

    def call_many(self, calls: Sequence[Call]) -> list[Reply]:
        return [self.call(call) for call in calls]

    def load_library(self) -> None:
        """Loads our functions on every primary. Raises what redis-py raises."""
        self.client.execute_command(*LOAD_LIBRARY, target_nodes=RedisCluster.PRIMARIES)

    def _execute(self, call: Call) -> Reply:
        # With a named node redis-py neither asks the server for the command's keys nor retries.
        node = self.client.get_node_from_key(call.key)
        try:
            return self.client.execute_command(*call.command, target_nodes=node)
        except redis.ResponseError as error:
            return error

    def _breaker_of(self, key: str) -> Breaker:
        home = home_of(key)
        breaker = self._breakers.get(home)
        if breaker is None:
            breaker = self._breakers.setdefault(home, Prober(partial(self._probe, key)).breaker)
        return breaker

    def _probe(self, key: str) -> None:
        self.client.execute_command("EXISTS", key)

    def close(self) -> None:
        for breaker in self._breakers.values():
            breaker.succeeded()
        self.client.close()


# --- what all clients on redis-py share -------------------------------------------------------------------------------


def client_options(address: Address, timeout_seconds: float) -> dict[str, Any]:
    """No retry anywhere, one timeout for connecting and answers, and no chatter when a connection begins."""
    ours = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "driver_info": None,
    }
    return {**address.options, **ours, **({"ssl": True} if address.tls else {})}


def sentinel_options(address: Address, timeout_seconds: float) -> dict[str, Any]:
    """For the sentinels themselves, which have passwords of their own but the same TLS."""
    tls = {name: value for name, value in address.options.items() if name.startswith("ssl")}
    options = client_options(address, timeout_seconds)
    return {
        **address.sentinel_options,
        **tls,
        **{name: options[name] for name in options if name not in address.options},
    }


def home_of(key: str) -> str:
    """The bucket's part of a key: what lives on one shard."""
    return key.partition("}")[0]


def is_function_missing(reply: Reply) -> bool:
    return isinstance(reply, redis.ResponseError) and isinstance(error_from(str(reply)), FunctionMissing)


def checked(replies: list[Reply], breaker: Breaker) -> list[Reply]:
    """The replies, or StoreUnavailable for the first error among them; tells the breaker how the server is."""
    for reply in replies:
        if isinstance(reply, redis.ResponseError):
            if isinstance(reply, _DOWN_REPLIES) or means_down(str(reply)):
                breaker.failed()
            raise StoreUnavailable(f"the counter store answered: {reply}") from reply
    breaker.succeeded()
    return replies
