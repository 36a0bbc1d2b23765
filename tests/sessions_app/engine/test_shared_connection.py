"""Threads that share one connection: who shares a round trip, and what becomes of them when it fails."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from sessions_app.engine import shared_connection
from sessions_app.engine.blocking_connection import BlockingConnection
from sessions_app.engine.shared_connection import SharedConnection
from sessions_app.engine.wire import Reply
from tests.sessions_app.engine.servers import wait_for

# One command is one byte; the reply to it is the byte.


class Server:
    """Makes connections whose first round trip waits until the gate opens, and then ends as it is told to."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.trips: list[bytes] = []
        self.failure: BaseException | None = None
        self.dialled = 0

    def dial(self) -> BlockingConnection:
        self.dialled += 1
        return GatedConnection(self)


class GatedConnection(BlockingConnection):
    def __init__(self, server: Server) -> None:
        self.server = server

    def exchange(self, packed: bytes, count: int) -> list[Reply]:
        server = self.server
        server.trips.append(packed)
        if len(server.trips) == 1:
            assert server.gate.wait(10)
            if server.failure is not None:
                raise server.failure
        assert len(packed) == count
        return [bytes([command]) for command in packed]

    def is_fit(self) -> bool:
        return True

    def close(self) -> None:
        pass


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


def begin(
    threads: ThreadPoolExecutor, shared: SharedConnection, server: Server, *others: bytes
) -> tuple[Future[list[Reply]], list[Future[list[Reply]]]]:
    """A leader who waits at the gate, and others who came meanwhile."""
    leader = threads.submit(shared.exchange, b"L", 1)
    wait_for(lambda: server.trips)
    followers = []
    for place, packed in enumerate(others, 1):
        followers.append(threads.submit(shared.exchange, packed, len(packed)))
        wait_for(lambda place=place: len(shared._waiting) == place)  # type: ignore[misc]
    return leader, followers


def test_those_who_come_during_a_round_trip_share_the_next_one(server: Server, threads: ThreadPoolExecutor) -> None:
    shared = SharedConnection(server.dial, 1)
    leader, followers = begin(threads, shared, server, b"a", b"bcd", b"e")
    server.gate.set()
    assert leader.result(10) == [b"L"]
    assert [follower.result(10) for follower in followers] == [[b"a"], [b"b", b"c", b"d"], [b"e"]]
    assert server.trips == [b"L", b"abcde"]
    assert server.dialled == 1


def test_a_failed_round_trip_fails_all_and_nothing_is_sent_twice(server: Server, threads: ThreadPoolExecutor) -> None:
    shared = SharedConnection(server.dial, 1)
    leader, followers = begin(threads, shared, server, b"a", b"b")
    server.failure = OSError("gone")
    server.gate.set()
    for thread in (leader, *followers):
        with pytest.raises(OSError, match="gone"):
            thread.result(10)
    assert server.trips == [b"L"]
    assert shared.exchange(b"n", 1) == [b"n"]
    assert server.dialled == 2


def test_an_interrupted_leader_strands_nobody(server: Server, threads: ThreadPoolExecutor) -> None:
    shared = SharedConnection(server.dial, 1)
    leader, followers = begin(threads, shared, server, b"a")
    server.failure = KeyboardInterrupt()
    server.gate.set()
    with pytest.raises(KeyboardInterrupt):
        leader.result(10)
    with pytest.raises(ConnectionError):
        followers[0].result(10)
    assert shared.exchange(b"n", 1) == [b"n"]


def test_who_waits_for_a_lost_leader_gives_up_and_the_next_one_leads(
    server: Server, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_connection, "_PATIENCE_SECONDS", 0.05)
    shared = SharedConnection(server.dial, 0)
    leader, followers = begin(threads, shared, server, b"a")
    with pytest.raises(TimeoutError):
        followers[0].result(10)
    assert shared.exchange(b"n", 1) == [b"n"]
    server.gate.set()
    assert leader.result(10) == [b"L"]
    assert server.trips == [b"L", b"n"]
    assert server.dialled == 2, "the lost leader's connection was shared"


def test_a_forked_process_waits_for_nobody_and_has_its_own_connection(
    server: Server, threads: ThreadPoolExecutor
) -> None:
    shared = SharedConnection(server.dial, 1)
    leader, _ = begin(threads, shared, server)
    child = os.fork()
    if child == 0:
        os._exit(0 if shared.exchange(b"c", 1) == [b"c"] and server.dialled == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
    server.gate.set()
    assert leader.result(10) == [b"L"]
    assert server.dialled == 1


def test_many_threads_get_their_own_answers(server: Server, threads: ThreadPoolExecutor) -> None:
    server.gate.set()
    shared = SharedConnection(server.dial, 1)
    asked = [bytes([number % 256]) for number in range(4000)]
    assert list(threads.map(lambda packed: shared.exchange(packed, 1), asked)) == [[packed] for packed in asked]
