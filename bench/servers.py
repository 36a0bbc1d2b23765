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
def running_server(
    server: Server, environment: Mapping[str, str], log: Path, path: str, headers: Mapping[str, str]
) -> Iterator[str]:
    """Serves with the options of `manage.py up`; gives the URL of `path` once that answers 200. Raises ServerError."""
    port = free_port()
    environment = {**environment, "DJANGO_SETTINGS_MODULE": server.settings}
    child = Child(server.application, _command(server, port), log, environment)
    try:
        url = f"http://127.0.0.1:{port}{path}"
        _wait_for_answer(url, headers, child)
        yield url
    finally:
        child.ask_to_stop()
        child.wait(10)
        child.finish()


def _command(server: Server, port: int) -> list[str]:
    what = f"{server.application} --interface {server.interface} --host 127.0.0.1 --port {port}"
    how = "--workers 1 --loop uvloop --no-ws --log-level warning"
    return [sys.executable, "-m", "granian", *what.split(), *how.split()]


def _wait_for_answer(url: str, headers: Mapping[str, str], child: Child) -> None:
    """The answer must be the right one: a refusal is not to be measured for its speed."""
    request, deadline = urllib.request.Request(url, headers=dict(headers)), time.monotonic() + START_SECONDS
    while child.exit_status() is None and time.monotonic() < deadline:
        try:
            with _direct.open(request, timeout=10) as answer:
                if answer.status != 200 or answer.url != url:
                    raise ServerError(f"{url} answered {answer.status} from {answer.url}, not 200")
                return
        except urllib.error.HTTPError as error:
            said = error.read(500).decode(errors="replace")
            raise ServerError("\n".join([f"{url} answered {error.code}, not 200: {said}", *child.tail])) from None
        except OSError:
            time.sleep(0.05)
    raise ServerError("\n".join([f"{child.name} did not start:", *child.tail]))
