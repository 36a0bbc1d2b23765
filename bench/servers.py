"""Granian servers for measurements: one worker each, on a free loopback port, for as long as a context lasts."""

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.scenarios import Server
from gateway_project.child import Child
from gateway_project.store import free_port

START_SECONDS = 30
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a configured proxy


class ServerError(Exception):
    """The server does not start, or does not answer 200. The text has what it said."""


@contextmanager
def running_server(server: Server, environment: Mapping[str, str], log: Path) -> Iterator[str]:
    """Serves with the options of `manage.py up`; gives the base URL once it listens. Raises ServerError."""
    port = free_port()
    environment = {**environment, "DJANGO_SETTINGS_MODULE": server.settings}
    child = Child(server.application, _command(server, port), log, environment)
    try:
        base = f"http://127.0.0.1:{port}"
        _wait_until_listening(base, child)
        yield base
    finally:
        child.ask_to_stop()
        child.wait(10)
        child.finish()


def require_ok(url: str, headers: Mapping[str, str]) -> None:
    """One request, answered 200: a wrong one must not be measured for its speed. Raises ServerError."""
    try:
        with _direct.open(urllib.request.Request(url, headers=dict(headers)), timeout=10) as answer:
            if answer.status != 200 or answer.url != url:
                raise ServerError(f"{url} answered {answer.status} from {answer.url}, not 200")
    except urllib.error.HTTPError as error:
        raise ServerError(f"{url} answered {error.code}, not 200: {error.read(500).decode(errors='replace')}") from None


def _command(server: Server, port: int) -> list[str]:
    what = f"{server.application} --interface {server.interface} --host 127.0.0.1 --port {port}"
    how = "--workers 1 --loop uvloop --no-ws --log-level warning"
    return [sys.executable, "-m", "granian", *what.split(), *how.split()]


def _wait_until_listening(base: str, child: Child) -> None:
    deadline = time.monotonic() + START_SECONDS
    while child.exit_status() is None and time.monotonic() < deadline:
        try:
            with _direct.open(base, timeout=5):
                return
        except urllib.error.HTTPError:
            return  # any answer: it listens
        except OSError:
            time.sleep(0.05)
    raise ServerError("\n".join([f"{child.name} did not start:", *child.tail]))
