"""`manage.py up`: starts everything, stops everything, and never leaves an orphan."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from gateway_project.environment import BASE_DIR
from gateway_project.store import free_port

pytestmark = pytest.mark.journey
SERVICES = {"store", "web", "worker", "beat"}


class Up:
    """A gateway started with its own state and port."""

    def __init__(self, var_dir: Path, port: int) -> None:
        self.var_dir, self.port = var_dir, port
        environment = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
        environment |= {"GATEWAY_VAR_DIR": str(var_dir), "PORT": str(port), "DEBUG": "true"}
        environment["DJANGO_SETTINGS_MODULE"] = "gateway_project.settings"
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--no-demo"],
            cwd=BASE_DIR,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def get(self, path: str) -> int:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def children(self) -> dict[int, str]:
        """Every process whose environment names our state folder, except `up` itself."""
        found = {}
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                ours = f"GATEWAY_VAR_DIR={self.var_dir}\0".encode() in (directory / "environ").read_bytes()
                command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if ours and command and int(directory.name) != self.process.pid:
                found[int(directory.name)] = command
        return found

    def service(self, words: str) -> int | None:
        """The process that `up` itself started with these words in its command."""
        for pid, command in self.children().items():
            if words in command and parent_of(pid) == self.process.pid:
                return pid
        return None

    def wait_ready(self) -> None:
        wait_for(lambda: self.get("/readyz") == 200 or self.process.poll() is not None, 60)
        assert self.process.poll() is None, self.output()

    def output(self) -> str:
        assert self.process.stdout
        return str(self.process.stdout.read())


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def wait_for(condition, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


@pytest.fixture
def up(tmp_path) -> Iterator[Up]:
    gateway = Up(tmp_path / "var", free_port())
    yield gateway
    if gateway.process.poll() is None:
        gateway.process.terminate()
        gateway.process.wait(25)
    leftovers = gateway.children()
    for pid in leftovers:
        os.kill(pid, signal.SIGKILL)
    assert not leftovers


def test_it_becomes_ready_and_a_termination_stops_every_child(up):
    up.wait_ready()
    assert up.get("/healthz") == 200
    assert {path.stem for path in (up.var_dir / "log").glob("*.log")} == SERVICES
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
    [("web", "granian"), ("worker", "worker --pool"), ("beat", "beat --pidfile"), ("store", "valkey-server")],
)
def test_one_dead_child_stops_all_and_is_named(up, name, words):
    up.wait_ready()
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
    assert len(up.children()) >= len(SERVICES)
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
