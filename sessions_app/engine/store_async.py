"""The client of the counter store for an event loop: the data plane's. One multiplexed connection, made when needed.

A call that timed out may have been counted, so it is never sent again: it fails, and what that means is the edge's
decision (rule 9.1).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import hiredis
import redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.sentinel import Sentinel

from sessions_app.engine.address import Address, Kind, parse_address
from sessions_app.engine.breaker import Breaker
from sessions_app.engine.connection import Connection
from sessions_app.engine.dialling import introduction, tls_context
from sessions_app.engine.store_sync import (
    BROKEN,
    checked,
    client_options,
    home_of,
    is_function_missing,
    sentinel_options,
)
from sessions_app.engine.types import StoreUnavailable
from sessions_app.engine.wire import (
    LOAD_LIBRARY,
    PACKED_LOAD_LIBRARY,
    Call,
    FunctionMissing,
    Reply,
    error_from,
    means_down,
    means_moved,
    pack,
)

# Making a connection may take longer than one call is ready to wait; it goes on for the calls after it.
_CONNECT_SECONDS = 2.0


def open_async_store(url: str, timeout_ms: int) -> "AsyncServerStore | AsyncClusterStore":
    """A store for the calls of one event loop. Does not connect yet. Raises ValueError for a URL of another kind.

    `timeout_ms` bounds waiting for a connection and waiting for an answer, each.
    """
    address = parse_address(url)
    return (AsyncClusterStore if address.kind is Kind.CLUSTER else AsyncServerStore)(address, timeout_ms / 1000)


class AsyncProber:
    """Tries in a task of its own, until the store answers. One task at a time; another is started if its loop died."""

    def __init__(self, attempt: Callable[[], Awaitable[Any]]) -> None:
        self.breaker = Breaker(self._start)
        self._attempt = attempt
        self._task: asyncio.Task[None] | None = None

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._task = loop.create_task(self._run())

    def stop(self) -> None:
        self.breaker.succeeded()
        if self._task is not None and not self._task.get_loop().is_closed():
            self._task.cancel()

    async def _run(self) -> None:
        while self.breaker.is_open:
            await asyncio.sleep(self.breaker.next_pause())
            try:
                await self._attempt()
            except (StoreUnavailable, *BROKEN):
                continue
            self.breaker.succeeded()


class AsyncServerStore:
    """One server, or the master that sentinels name."""

    def __init__(self, address: Address, timeout_seconds: float) -> None:
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[Connection] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._prober = AsyncProber(self._ping)
        self._breaker = self._prober.breaker

    async def call(self, call: Call) -> Reply:
        if self._breaker.refuses():
            raise StoreUnavailable("the counter store is down; it is tried again in the background")
        try:
            reply = await self._exchange(call.packed)
            if isinstance(reply, hiredis.ReplyError):
                reply = await self._second_opinion(call, reply)
        except StoreUnavailable:
            self._breaker.failed()
            raise
        if isinstance(reply, hiredis.ReplyError):
            self._reject(reply)
        self._breaker.succeeded()
        return reply

    async def call_many(self, calls: Sequence[Call]) -> list[Reply]:
        return list(await asyncio.gather(*map(self.call, calls)))

    async def load_library(self) -> None:
        """Loads our functions; done by itself when they are missing. Raises StoreUnavailable."""
        reply = await self._exchange(PACKED_LOAD_LIBRARY)
        if isinstance(reply, hiredis.ReplyError):
            raise StoreUnavailable(f"the counter store refused our functions: {reply}")

    async def close(self) -> None:
        self._prober.stop()
        if self._connecting is not None and not self._connecting.get_loop().is_closed():
            self._connecting.cancel()
        if self._connection is not None:
            self._connection.close()

    async def _exchange(self, packed: bytes) -> Reply:
        connection = self._connection
        if connection is None or connection.is_closed or connection.loop is not asyncio.get_running_loop():
            connection = await self._connected()
        return await connection.send(packed)

    async def _second_opinion(self, call: Call, reply: Reply) -> Reply:
        """Only a call that found no function is sent again: it was not executed. All such wait for one loading."""
        if not isinstance(error_from(str(reply)), FunctionMissing):
            return reply
        loop = asyncio.get_running_loop()
        if self._loading is None or self._loading.done() or self._loading.get_loop() is not loop:
            self._loading = loop.create_task(self.load_library())
        await asyncio.shield(self._loading)
        return await self._exchange(call.packed)

    def _reject(self, reply: Reply) -> None:
        text = str(reply)
        if means_down(text):
            self._breaker.failed()
        if means_moved(text) and self._connection is not None:
            self._connection.close()
        raise error_from(text)

    async def _ping(self) -> None:
        await self._exchange(pack([b"PING"]))

    # --- connecting ---------------------------------------------------------------------------------------------------

    async def _connected(self) -> Connection:
        """The connection, made by whoever comes first; the others wait for it, none longer than a call may take."""
        loop = asyncio.get_running_loop()
        if self._connecting is None or self._connecting.done() or self._connecting.get_loop() is not loop:
            self._connecting = loop.create_task(self._connect(loop))
            self._connecting.add_done_callback(_retrieve)
        try:
            return await asyncio.wait_for(asyncio.shield(self._connecting), self._timeout_seconds)
        except (TimeoutError, OSError, *BROKEN) as error:
            raise StoreUnavailable(
                f"the counter store cannot be reached: {error or 'no connection in time'}"
            ) from error

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> Connection:
        async with asyncio.timeout(_CONNECT_SECONDS):
            connection = await self._dial(loop)
            try:
                await self._introduce(connection)
            except BaseException:
                connection.close()
                raise
        self._connection = connection
        return connection

    async def _dial(self, loop: asyncio.AbstractEventLoop) -> Connection:
        address = self._address

        def protocol() -> Connection:
            return Connection(loop, self._timeout_seconds)

        if address.path:
            return (await loop.create_unix_connection(protocol, address.path))[1]
        host, port = await self._server()
        return (await loop.create_connection(protocol, host, port, ssl=tls_context(address) if address.tls else None))[
            1
        ]

    async def _server(self) -> tuple[str, int]:
        address = self._address
        if address.kind is not Kind.SENTINEL:
            return address.hosts[0]
        sentinels = Sentinel(list(address.hosts), sentinel_kwargs=sentinel_options(address, self._timeout_seconds))
        try:
            host, port = await sentinels.discover_master(address.master_name)
        finally:
            for sentinel in sentinels.sentinels:
                await sentinel.aclose()
        return str(host), int(port)

    async def _introduce(self, connection: Connection) -> None:
        """Password and database, in one round trip."""
        replies = await asyncio.gather(*map(connection.send, introduction(self._address)))
        for reply in replies:
            if isinstance(reply, hiredis.ReplyError):
                raise StoreUnavailable(f"the counter store refused the connection: {reply}")


def _retrieve(task: "asyncio.Task[Connection]") -> None:
    """All who waited may have given up: then nobody else looks at the error."""
    if not task.cancelled():
        task.exception()


class AsyncClusterStore:
    """A Redis Cluster, on redis-py. One breaker per bucket: one shard that is down does not shadow the others."""

    def __init__(self, address: Address, timeout_seconds: float) -> None:
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._probers: dict[str, AsyncProber] = {}
        self._client: tuple[asyncio.AbstractEventLoop, RedisCluster] | None = None

    async def call(self, call: Call) -> Reply:
        breaker = self._breaker_of(call.key)
        if breaker.refuses():
            raise StoreUnavailable("this part of the counter store is down; it is tried again in the background")
        try:
            async with asyncio.timeout(self._timeout_seconds):
                reply = await self._execute(call)
                if is_function_missing(reply):
                    await self.load_library()
                    reply = await self._execute(call)
        except BROKEN as error:  # TimeoutError is an OSError
            breaker.failed()
            raise StoreUnavailable(f"the counter store did not answer: {error or 'not in time'}") from error
        return checked([reply], breaker)[0]

    async def call_many(self, calls: Sequence[Call]) -> list[Reply]:
        return list(await asyncio.gather(*map(self.call, calls)))

    async def load_library(self) -> None:
        """Loads our functions on every primary. Raises what redis-py raises."""
        await self._cluster().execute_command(*LOAD_LIBRARY, target_nodes=RedisCluster.PRIMARIES)

    async def close(self) -> None:
        for prober in self._probers.values():
            prober.stop()
        if self._client is not None:
            await self._client[1].aclose()

    def _cluster(self) -> RedisCluster:
        loop = asyncio.get_running_loop()
        if self._client is None or self._client[0] is not loop:
            options = client_options(self._address, self._timeout_seconds)
            options.pop("db", None)
            nodes = [ClusterNode(host, port) for host, port in self._address.hosts]
            self._client = (loop, RedisCluster(startup_nodes=nodes, require_full_coverage=False, **options))
        return self._client[1]

    async def _execute(self, call: Call) -> Reply:
        client = await self._cluster().initialize()
        # With a named node redis-py neither asks the server for the command's keys nor retries.
        node = client.get_node_from_key(call.key)
        try:
            return await client.execute_command(*call.command, target_nodes=node)
        except redis.ResponseError as error:
            return error

    def _breaker_of(self, key: str) -> Breaker:
        home = home_of(key)
        if home not in self._probers:
            self._probers[home] = AsyncProber(partial(self._probe, key))
        return self._probers[home].breaker

    async def _probe(self, key: str) -> None:
        await self._cluster().execute_command("EXISTS", key)
