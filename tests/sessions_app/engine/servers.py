"""Counter servers that a test may stop, freeze and break: one alone, a cluster, and a master with its sentinel."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

from gateway_project.store import free_port, server_binary, server_command, store_url, wait_until_ready


class Server:
    """A server on a port of its own that can be started again there."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.port = free_port()
        self.url = store_url(self.port)
        self._command = [*server_command(self.port, directory, durable=False), *options]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        assert wait_until_ready(self.url, lambda: self._process is not None and self._process.poll() is None)

    def stop(self) -> None:
        if self._process is not None:
            self.thaw()
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def freeze(self) -> None:
        """It keeps its connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, decode_responses=True)


@contextmanager
def running(directory: Path, *options: str) -> Iterator[Server]:
    directory.mkdir(exist_ok=True)
    server = Server(directory, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def running_cluster(directory: Path) -> Iterator[list[Server]]:
    """Two primaries, half of the slots each."""
    with ExitStack() as stack:
        options = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no")
        ports = [free_port() for _ in range(2)]  # a bus port is by default 10000 above the other: too high for some
        nodes = [
            stack.enter_context(running(directory / f"node-{port}", *options, "--cluster-port", str(port)))
            for port in ports
        ]
        for node, (first, last) in zip(nodes, ((0, 8191), (8192, 16383)), strict=True):
            node.client().execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        nodes[0].client().execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[1].port, ports[1])
        wait_for(lambda: all(_knows_all_slots(node) for node in nodes))
        yield nodes


def _knows_all_slots(node: Server) -> bool:
    info: dict[str, str] = node.client().cluster("INFO")
    return info["cluster_slots_ok"] == "16384" and info["cluster_state"] == "ok"


@contextmanager
def running_sentinel(directory: Path, master: Server) -> Iterator[str]:
    """A sentinel that watches `master` as "counters"; its host and port."""
    port, directory = free_port(), directory / "sentinel"
    directory.mkdir()
    configuration = directory / "sentinel.conf"
    configuration.write_text(f"port {port}\nbind 127.0.0.1\nsentinel monitor counters 127.0.0.1 {master.port} 1\n")
    process = subprocess.Popen([server_binary(), str(configuration), "--sentinel"], stdout=subprocess.DEVNULL)
    try:
        assert wait_until_ready(store_url(port), lambda: process.poll() is None)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    """Polls until the condition holds; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
