"""`manage.py up`: starts everything, stops everything, and never leaves an orphan."""

import os
import signal
import socket
from collections.abc import Iterator

import pytest
import redis

from gateway_project.store import free_port
from tests.whole_gateway import Up, parent_of, wait_for

pytestmark = pytest.mark.journey
SERVICES = {"store", "web", "worker", "sender", "beat"}


@pytest.fixture
def up(tmp_path) -> Iterator[Up]:
    gateway = Up(tmp_path / "var", free_port())
    yield gateway
    gateway.stop()


def test_it_becomes_ready_and_a_termination_stops_every_child(up):
    up.wait_ready()
    assert up.get("/healthz") == 200
    wait_for(lambda: {path.stem for path in (up.var_dir / "log").glob("*.log")} == SERVICES, 5)
    # As process managers and `make` do: the whole group gets the signal, and `up` gets it twice.
    os.killpg(up.process.pid, signal.SIGTERM)
    os.killpg(up.process.pid, signal.SIGTERM)
    assert up.process.wait(20) == 0
    assert up.children() == {}
    assert "Tollgate runs on" in up.output()


def test_a_kept_alive_connection_does_not_hold_up_the_stop(up):
    up.wait_ready()
    with socket.create_connection(("127.0.0.1", up.port)) as idle:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" in idle.recv(100)
        up.process.terminate()
        assert up.process.wait(15) == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("web", "granian"),
        ("worker", "worker --hostname worker@"),
        ("sender", "worker --hostname sender@"),
        ("beat", "beat --pidfile"),
        ("store", "valkey-server"),
    ],
)
def test_one_dead_child_stops_all_and_is_named(up, name, words):
    up.wait_ready()
    wait_for(lambda: up.service(words), 5)
    os.kill(up.service(words), signal.SIGKILL)
    assert up.process.wait(20) == 1
    assert up.children() == {}
    assert f"{name} was ended by signal 9; everything stops" in up.output()


def test_a_web_server_that_lost_its_workers_stops_all(up):
    up.wait_ready()
    web = up.service("granian")
    os.kill(next(pid for pid in up.children() if parent_of(pid) == web), signal.SIGKILL)
    assert up.process.wait(20) == 1
    assert up.children() == {}
    assert "web ended with status" in up.output()


def test_children_do_not_survive_a_kill_of_their_supervisor(up):
    up.wait_ready()
    wait_for(lambda: len(up.children()) >= len(SERVICES), 5)
    up.process.kill()
    up.process.wait()
    wait_for(lambda: up.children() == {}, 15)


def test_counters_and_secrets_survive_a_restart(up):
    up.wait_ready()
    address = (up.var_dir / "store" / "url").read_text()
    with redis.Redis.from_url(address) as client:
        client.set("a-counter", "7")
    up.process.terminate()
    up.process.wait(20)
    again = Up(up.var_dir, up.port)
    try:
        again.wait_ready()
        with redis.Redis.from_url((up.var_dir / "store" / "url").read_text()) as client:
            assert client.get("a-counter") == b"7"
    finally:
        again.process.terminate()
        again.process.wait(20)


def test_a_taken_port_is_said_clearly(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        gateway = Up(tmp_path / "var", other.getsockname()[1])
        assert gateway.process.wait(30) == 1
        assert f"Port {gateway.port} is taken" in gateway.output()


def test_a_second_gateway_on_the_same_state_is_refused(up):
    up.wait_ready()
    second = Up(up.var_dir, free_port())
    assert second.process.wait(40) == 1
    assert "Another gateway runs with the state in" in second.output()
    assert up.get("/readyz") == 200
