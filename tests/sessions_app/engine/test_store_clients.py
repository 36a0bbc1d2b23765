"""Both clients of the store when things go wrong: timeouts, disconnects, a full or frozen server."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import hiredis
import pytest

from sessions_app.engine import counters, names
from sessions_app.engine.library import LIBRARY
from sessions_app.engine.store_async import open_async_store
from sessions_app.engine.store_sync import open_store
from sessions_app.engine.types import Grant, StoreUnavailable
from sessions_app.engine.wire import Call, Reply
from tests.sessions_app.engine.servers import Server, running, running_cluster, running_sentinel, wait_for
from tests.sessions_app.engine.world import grant_of, key_counter, new_organisation, prepare, quota

TIMEOUT_MS = 150


class Client:
    """A client behind one blocking face; the async one runs on a loop in a thread of its own."""

    def __init__(self, kind: str, url: str, timeout_ms: int = TIMEOUT_MS) -> None:
        self._loop = asyncio.new_event_loop() if kind == "async" else None
        if self._loop is not None:
            self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
            self._thread.start()
        self.store: Any = open_async_store(url, timeout_ms) if self._loop else open_store(url, timeout_ms)

    def _wait(self, result: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(result, self._loop).result(30) if self._loop else result

    def call(self, call: Call) -> Reply:
        return self._wait(self.store.call(call))

    def call_many(self, calls: Sequence[Call]) -> list[Reply]:
        replies: list[Reply] = self._wait(self.store.call_many(calls))
        return replies

    def close(self) -> None:
        self._wait(self.store.close())
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    def answers(self, call: Call) -> bool:
        try:
            self.call(call)
        except StoreUnavailable:
            return False
        return True


OpenClient = Callable[..., Client]


@pytest.fixture(params=["sync", "async"])
def open_client(request: pytest.FixtureRequest) -> Iterator[OpenClient]:
    opened: list[Client] = []

    def open_one(url: str, timeout_ms: int = TIMEOUT_MS) -> Client:
        opened.append(Client(request.param, url, timeout_ms))
        return opened[-1]

    yield open_one
    for client in opened:
        client.close()


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    """A server of our own, healthy and empty when the test begins."""
    yield shared_server
    shared_server.stop()
    shared_server.start()


def some_grant() -> Grant:
    organisation = new_organisation()
    return grant_of(organisation, [quota(key_counter(organisation), 1000)])


def used(server: Server, grant: Grant) -> int:
    return int(server.client().hget(grant.limits[0].counter, "u") or 0)


def test_functions_are_loaded_when_they_are_missing(server: Server, open_client: OpenClient) -> None:
    client, grant = open_client(server.url, 2000), some_grant()
    prepare(client, grant)
    server.client().function_flush()
    assert client.call(counters.consume(grant))[2] == 1
    server.client().function_flush()
    assert [reply[2] for reply in client.call_many([counters.consume(grant)] * 20)] == [1] * 20
    assert used(server, grant) == 21


def test_a_frozen_server_costs_one_timeout_and_then_nothing(server: Server, open_client: OpenClient) -> None:
    client, grant = open_client(server.url), some_grant()
    prepare(client, grant)
    server.freeze()
    began = time.monotonic()
    for _ in range(50):
        with pytest.raises(StoreUnavailable):
            client.call(counters.consume(grant))
    # Without a breaker each would take a timeout.
    assert TIMEOUT_MS / 1000 <= time.monotonic() - began < 25 * TIMEOUT_MS / 1000


def test_a_call_that_timed_out_is_never_sent_again(server: Server, open_client: OpenClient) -> None:
    client, grant = open_client(server.url), some_grant()
    prepare(client, grant)
    server.freeze()
    with pytest.raises(StoreUnavailable):
        client.call(counters.consume(grant))
    server.thaw()
    wait_for(lambda: client.answers(counters.peek(grant)))
    assert used(server, grant) <= 1


def test_a_server_that_comes_back_is_used_again_within_two_seconds(server: Server, open_client: OpenClient) -> None:
    client, grant = open_client(server.url), some_grant()
    prepare(client, grant)
    server.stop()
    with pytest.raises(StoreUnavailable):
        client.call(counters.consume(grant))
    server.start()
    began = time.monotonic()
    wait_for(lambda: client.answers(counters.publish_grant(grant)))
    assert time.monotonic() - began < 2


def test_a_server_that_was_restarted_between_two_calls_costs_no_more_than_one(
    server: Server, open_client: OpenClient
) -> None:
    client, grant = open_client(server.url, 2000), some_grant()
    prepare(client, grant)
    server.stop()
    server.start()
    client.answers(counters.publish_grant(grant))
    wait_for(lambda: client.answers(counters.publish_grant(grant)), 3)


def test_a_full_server_is_unavailable_until_it_has_room(server: Server, open_client: OpenClient) -> None:
    client, grant = open_client(server.url), some_grant()
    prepare(client, grant)
    server.client().config_set("maxmemory", "1")
    with pytest.raises(StoreUnavailable, match=r"OOM|maxmemory"):
        client.call(counters.consume(grant))
    server.client().config_set("maxmemory", "0")
    wait_for(lambda: client.answers(counters.consume(grant)), 3)
    assert used(server, grant) == 1


def test_a_replica_is_unavailable(server: Server, open_client: OpenClient) -> None:
    client, grant = open_client(server.url), some_grant()
    prepare(client, grant)
    server.client().replicaof("127.0.0.1", "1")
    with pytest.raises(StoreUnavailable):
        client.call(counters.consume(grant))
    server.client().replicaof("NO", "ONE")
    wait_for(lambda: client.answers(counters.consume(grant)), 3)


def test_a_call_that_was_wrong_does_not_open_the_breaker(server: Server, open_client: OpenClient) -> None:
    client, grant = open_client(server.url, 2000), some_grant()
    prepare(client, grant)
    server.client().set(grant.limits[0].counter + "x", "no hash")
    wrong = quota(grant.limits[0].counter + "x")
    with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
        client.call(counters.reset(wrong))
    assert client.call(counters.consume(grant))[2] == 1


def test_a_wrong_password_is_unavailable(server: Server, open_client: OpenClient) -> None:
    server.client().execute_command("ACL", "SETUSER", "gate", "on", ">right", "~*", "+@all")
    good = server.url.replace("//", "//gate:right@")
    assert open_client(good, 2000).answers(counters.publish_grant(some_grant()))
    assert not open_client(good.replace("right", "wrong"), 2000).answers(counters.publish_grant(some_grant()))


def test_the_database_of_the_url_is_used(server: Server, open_client: OpenClient) -> None:
    client, grant = open_client(server.url.replace("/0", "/3"), 2000), some_grant()
    client.call(counters.publish_grant(grant))
    assert server.client().info("keyspace")["db3"]["keys"] == 3


def test_a_unix_socket_serves_as_well(tmp_path: Path, open_client: OpenClient) -> None:
    path = tmp_path / "s"
    with running(tmp_path, "--unixsocket", str(path)):
        assert open_client(f"unix://{path}", 2000).answers(counters.publish_grant(some_grant()))


def test_many_calls_come_back_in_order(server: Server, open_client: OpenClient) -> None:
    client, grant = open_client(server.url, 5000), some_grant()
    prepare(client, grant)
    replies = client.call_many([counters.consume(grant)] * 300)
    assert sorted(reply[5] for reply in replies) == list(range(1, 301))
    assert client.call_many([]) == []


class TestSentinel:
    def test_the_master_is_found(self, server: Server, tmp_path: Path, open_client: OpenClient) -> None:
        with running_sentinel(tmp_path, server) as sentinel:
            client, grant = open_client(f"redis+sentinel://{sentinel}/counters/2", 2000), some_grant()
            prepare(client, grant)
            assert client.call(counters.consume(grant))[2] == 1
        assert server.client().info("keyspace")["db2"]["keys"] >= 4

    def test_an_unknown_master_is_unavailable(self, server: Server, tmp_path: Path, open_client: OpenClient) -> None:
        with running_sentinel(tmp_path, server) as sentinel:
            client = open_client(f"redis+sentinel://{sentinel}/strangers", 500)
            assert not client.answers(counters.publish_grant(some_grant()))


class TestCluster:
    @pytest.fixture(scope="class")
    @classmethod
    def nodes(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
        with running_cluster(tmp_path_factory.mktemp("cluster")) as nodes:
            yield nodes

    def url(self, nodes: list[Server]) -> str:
        return f"redis+cluster://127.0.0.1:{nodes[0].port},127.0.0.1:{nodes[1].port}"

    def test_every_bucket_counts_wherever_it_lives(self, nodes: list[Server], open_client: OpenClient) -> None:
        client = open_client(self.url(nodes), 3000)
        for node in nodes:
            node.client().function_flush()
        grants = [some_grant() for _ in range(20)]
        for grant in grants:
            prepare(client, grant)
        replies = client.call_many([counters.consume(grant) for grant in grants])
        assert [reply[2] for reply in replies] == [1] * 20
        assert all(node.client().dbsize() for node in nodes)

    def test_a_bucket_that_moved_is_followed(self, nodes: list[Server], open_client: OpenClient) -> None:
        client, grant = open_client(self.url(nodes), 3000), some_grant()
        prepare(client, grant)
        slot = nodes[0].client().cluster("KEYSLOT", names.outbox(grant.bucket))
        here, there = nodes if slot < 8192 else reversed(nodes)
        _move_slot(int(slot), here, there)
        try:
            assert client.call(counters.publish_grant(grant)) == 3  # the slot is empty over there: the call went there
        finally:
            _move_slot(int(slot), there, here)

    def test_one_frozen_shard_does_not_shadow_the_other(self, nodes: list[Server], open_client: OpenClient) -> None:
        client = open_client(self.url(nodes), 300)
        grants = [some_grant() for _ in range(30)]
        for grant in grants:
            prepare(client, grant)
        keyslot = nodes[0].client().cluster
        frozen = next(grant for grant in grants if keyslot("KEYSLOT", names.outbox(grant.bucket)) >= 8192)
        other = next(grant for grant in grants if keyslot("KEYSLOT", names.outbox(grant.bucket)) < 8192)
        nodes[1].freeze()
        try:
            assert not client.answers(counters.consume(frozen))
            assert client.answers(counters.consume(other))
            began = time.monotonic()
            assert not any(client.answers(counters.consume(frozen)) for _ in range(40))
            assert time.monotonic() - began < 20 * 0.3  # of 40 timeouts
        finally:
            nodes[1].thaw()
        wait_for(lambda: client.answers(counters.consume(frozen)))


def _move_slot(slot: int, source: Server, target: Server) -> None:
    """Gives a slot away, and what was in it up."""
    client = source.client()
    while keys := client.cluster("GETKEYSINSLOT", slot, 100):
        client.delete(*keys)
    identity = target.client().cluster("MYID")
    for node in (target, source):
        node.client().execute_command("CLUSTER", "SETSLOT", slot, "NODE", identity)


class TestOneConnection:
    """What only the multiplexed client has to get right."""

    def run(self, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run(story())

    def test_a_caller_that_goes_away_does_not_shift_the_answers(self, server: Server) -> None:
        async def story() -> None:
            store = open_async_store(server.url, 5000)
            await store.call(counters.publish_gateway(4)[0])
            calls = [asyncio.ensure_future(store.call(counters.publish_gateway(number)[0])) for number in (3, 9, 2, 10)]
            await asyncio.sleep(0)
            calls[1].cancel()
            assert [await calls[0], await calls[2], await calls[3]] == [0, 0, 1]
            await store.close()

        self.run(story)

    def test_concurrent_calls_are_written_together_on_one_connection(self, server: Server) -> None:
        async def story() -> None:
            store = open_async_store(server.url, 5000)
            await asyncio.gather(*(store.call(counters.publish_gateway(1)[0]) for _ in range(100)))
            before = server.client().info("stats")["total_reads_processed"]
            await asyncio.gather(*(store.call(counters.publish_gateway(1)[0]) for _ in range(100)))
            assert server.client().info("stats")["total_reads_processed"] - before < 20
            await store.close()

        connections = server.client().info("stats")["total_connections_received"]
        self.run(story)
        assert server.client().info("stats")["total_connections_received"] - connections <= 4

    def test_a_timeout_fails_all_in_flight_and_sends_none_again(self) -> None:
        received: list[list[bytes]] = []

        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            parser = hiredis.Reader()
            while data := await reader.read(65536):
                parser.feed(data)
                while (command := parser.gets()) is not False:
                    received.append(command)
            writer.close()

        async def story() -> None:
            listener = await asyncio.start_server(mute, "127.0.0.1", 0)
            port = listener.sockets[0].getsockname()[1]
            store = open_async_store(f"redis://127.0.0.1:{port}", 80)
            call = counters.consume(some_grant())
            results = await asyncio.gather(*(store.call(call) for _ in range(10)), return_exceptions=True)
            assert all(isinstance(result, StoreUnavailable) for result in results)
            await asyncio.sleep(0.3)
            await store.close()
            listener.close()

        self.run(story)
        calls = [command for command in received if command[0] == b"FCALL"]
        assert len(calls) == 10
        assert {command[0] for command in received} <= {b"FCALL", b"PING"}

    def test_a_disconnect_in_the_middle_of_an_answer_fails_the_call(self) -> None:
        async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(65536)
            writer.write(b"*4\r\n:0\r\n:1")
            writer.close()

        async def story() -> None:
            listener = await asyncio.start_server(rude, "127.0.0.1", 0)
            store = open_async_store(f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}", 3000)
            with pytest.raises(StoreUnavailable, match="closed the connection"):
                await store.call(counters.consume(some_grant()))
            await store.close()
            listener.close()

        self.run(story)

    def test_nonsense_from_the_server_fails_the_call(self) -> None:
        async def babbling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(65536)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        async def story() -> None:
            listener = await asyncio.start_server(babbling, "127.0.0.1", 0)
            store = open_async_store(f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}", 3000)
            with pytest.raises(StoreUnavailable, match="no reply"):
                await store.call(counters.consume(some_grant()))
            await store.close()
            listener.close()

        self.run(story)

    def test_a_store_may_be_used_by_one_event_loop_after_another(self, server: Server) -> None:
        store = open_async_store(server.url, 5000)

        async def story() -> None:
            await store.call(counters.publish_gateway(1)[0])

        self.run(story)
        self.run(story)


def test_the_library_is_named_after_its_code(server: Server, open_client: OpenClient) -> None:
    open_client(server.url, 2000).answers(counters.publish_grant(some_grant()))
    assert [library[1] for library in server.client().function_list()] == [LIBRARY]
