"""`manage.py up`: the whole gateway in the foreground - counter store, web server, Celery worker and beat."""

import fcntl
import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand, CommandParser

from gateway_project import checks, store
from gateway_project.celery_settings import DELIVERY_QUEUES, OTHER_QUEUES
from gateway_project.child import Child
from gateway_project.environment import BASE_DIR
from gateway_project.supervisor import Supervisor
from organisations_app.commands import unapplied_migrations

LOCK_WAIT_SECONDS = 10.0
DEMO_WEBHOOK_NETS = "127.0.0.0/8,::1/128"  # the demo's inbox is on this machine
CELERY = (sys.executable, "-m", "celery", "--quiet", "--app", "gateway_project")
# Threads by worker and the queues that it serves. Each may hold a database connection: they are fewer than a process's
# pool has (settings). Receivers of webhooks that keep us waiting hold none.
WORKERS = {"worker": (8, OTHER_QUEUES), "sender": (12, DELIVERY_QUEUES)}


class Stopped(Exception):
    """We were asked to stop before everything ran."""


class Command(BaseCommand):
    help = "Starts the whole gateway in the foreground; Ctrl-C or SIGTERM stops it."
    # The worker runs all checks when it starts; here the environment is enough, and saves half a second.
    requires_system_checks = [checks.TAG]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--no-demo", action="store_true", help="start without demo data")

    def handle(self, *args: Any, no_demo: bool, **options: Any) -> None:
        demo = settings.GATEWAY_DEMO and not no_demo
        with (
            _lock(settings.GATEWAY_VAR_DIR / "up.lock") as lock_fd,
            Supervisor(settings.GATEWAY_VAR_DIR / "log") as crew,
        ):
            _refuse_taken_port(settings.GATEWAY_PORT)
            try:
                dead = self._run(crew, _child_environment(demo), lock_fd, demo)
            except Stopped:
                return
            finally:
                store.forget_address(settings.GATEWAY_VAR_DIR / "store")
            if dead:
                raise CommandError(_obituary(dead))
            self.stdout.write("\nStopping.")

    def _run(self, crew: Supervisor, environment: dict[str, str], lock_fd: int, demo: bool) -> Child | None:
        """Starts everything and waits. Returns the child that died, None after a request to stop."""
        if not environment.get("REDIS_URL"):
            environment["REDIS_URL"] = _start_store(crew, environment, lock_fd)
        new_database = _migrate()
        if not settings.DEBUG:
            call_command("collectstatic", interactive=False, verbosity=0)
        if demo and (new_database or _demo_port() != settings.GATEWAY_PORT):
            _seed_demo(crew, environment)
        _start_services(crew, environment)
        if not _wait_until_ready(crew):
            return crew.dead_child()
        _start_followers(crew, environment)
        self._welcome(demo)
        return crew.wait()

    def _welcome(self, demo: bool) -> None:
        base = f"http://127.0.0.1:{settings.GATEWAY_PORT}"
        lines = [
            "",
            f"Tollgate runs on {base}   (Ctrl-C stops it)",
            "",
            f"  Admin   {base}/admin/",
            f"  Portal  {base}/portal/",
        ]
        lines += [f"  API     {base}/api/v1/docs/"]
        if settings.DEBUG and settings.GATEWAY_ADMIN_SECRET:
            lines += [f"  Secret  {settings.GATEWAY_ADMIN_SECRET}   (GATEWAY_ADMIN_SECRET: /api/v1 and /tyk)"]
        if demo:
            lines += _demo_lines(base)
        self.stdout.write("\n".join([*lines, ""]))
        self.stdout.flush()


def _demo_lines(base: str) -> list[str]:
    keys = json.loads(_demo_file().read_text())
    return [
        f"  Inbox   {base}/demo/inbox/   (webhooks and e-mails as they arrive)",
        "",
        "  Logins  admin / demo-admin (admin), developer / demo-developer (portal);",
        "          by role: operator / demo-operator, support / demo-support, auditor / demo-auditor (admin)",
        f"  Free    {keys['free_key']}   (10 requests a minute, told at 50 % and 80 %)",
        f"  Pro     {keys['pro_key']}",
        "",
        "  Try eleven times:",
        f"    curl -i -H 'Authorization: {keys['free_key']}' {base}/echo/",
    ]


def _demo_port() -> int | None:
    """The port that the demo's addresses were made for; None if there is no demo yet."""
    try:
        port: int | None = json.loads(_demo_file().read_text()).get("port")
    except (OSError, ValueError):
        return None
    return port


def _demo_file() -> Path:
    path: Path = settings.GATEWAY_VAR_DIR / "demo.json"
    return path


@contextmanager
def _lock(path: Path) -> Iterator[int]:
    """One `up` per state folder. The store inherits the lock: it is also held while an orphaned store still stops."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise CommandError(
                        f"Another gateway runs with the state in {path.parent}: "
                        "stop it, or set GATEWAY_VAR_DIR to another folder."
                    ) from None
                time.sleep(0.1)
        yield descriptor
    finally:
        os.close(descriptor)


def _refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise CommandError(
                f"Port {port} is taken ({error.strerror}): choose another, such as PORT={port + 1}."
            ) from None


def _child_environment(demo: bool) -> dict[str, str]:
    environment = {**os.environ, "GATEWAY_DEMO": "1" if demo else "0", "PYTHONUNBUFFERED": "1"}
    if demo and not environment.get("GATEWAY_WEBHOOK_ALLOWED_NETS"):
        environment["GATEWAY_WEBHOOK_ALLOWED_NETS"] = DEMO_WEBHOOK_NETS
    return environment


def _start_store(crew: Supervisor, environment: dict[str, str], lock_fd: int) -> str:
    """Starts the embedded store and returns its URL."""
    directory = settings.GATEWAY_VAR_DIR / "store"
    directory.mkdir(mode=0o700, exist_ok=True)
    port = store.free_port()
    try:
        command = store.server_command(port, directory, durable=True)
    except store.StoreError as error:
        raise CommandError(str(error)) from None
    child = crew.start("store", command, environment, stop_last=True, echo=False, pass_fds=[lock_fd])
    url = store.store_url(port)
    if not store.wait_until_ready(url, lambda: child.exit_status() is None and not crew.stop_requested):
        _stop_if_asked(crew)
        raise CommandError(_obituary(child))
    store.write_address(directory, url)
    return url


def _migrate() -> bool:
    """Applies what is missing. True if the database was empty."""
    missing = unapplied_migrations()
    if missing:
        call_command("migrate", interactive=False, verbosity=0)
    return "contenttypes.0001_initial" in missing


def _seed_demo(crew: Supervisor, environment: dict[str, str]) -> None:
    """In a process of its own, which sees the store's address and the demo's settings from its start."""
    seed = crew.run("seed", [sys.executable, str(BASE_DIR / "manage.py"), "seed_demo"], environment)
    _stop_if_asked(crew)
    if seed.exit_status():
        raise CommandError(_obituary(seed))


def _start_services(crew: Supervisor, environment: dict[str, str]) -> None:
    _stop_if_asked(crew)
    crew.start("web", _web_command(), environment)
    crew.start("worker", _worker_command("worker"), environment)


def _start_followers(crew: Supervisor, environment: dict[str, str]) -> None:
    """What nobody misses in the first second; starting it with the others would make them start slower."""
    _stop_if_asked(crew)
    crew.start("sender", _worker_command("sender"), environment)
    crew.start("beat", [*CELERY, "beat", "--pidfile", "", "--loglevel", "WARNING"], environment)


def _worker_command(name: str) -> list[str]:
    threads, queues = WORKERS[name]
    return [
        *(*CELERY, "worker", "--hostname", f"{name}@%h"),
        *("--pool", "threads", "--concurrency", str(threads)),
        *("--queues", ",".join(queues)),
        *("--without-gossip", "--without-mingle"),  # they have nothing to tell each other
        *("--loglevel", "WARNING"),
    ]


def _web_command() -> list[str]:
    return [
        *(sys.executable, "-m", "granian", "gateway_project.asgi:application"),
        *("--interface", "asgi", "--loop", "uvloop", "--no-ws"),
        *("--host", "127.0.0.1", "--port", str(settings.GATEWAY_PORT)),
        *("--workers", str(settings.ENVIRONMENT.web_workers), "--workers-kill-timeout", "8"),
        *("--log-level", "warning"),
    ]


def _wait_until_ready(crew: Supervisor) -> bool:
    """True when the web server says that it is ready; False when we were asked to stop or a child died."""
    url = f"http://127.0.0.1:{settings.GATEWAY_PORT}/readyz"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a configured proxy
    while not crew.stop_requested and crew.dead_child() is None:
        try:
            with direct.open(url, timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            crew.wait_for_news(0.1)
    return False


def _stop_if_asked(crew: Supervisor) -> None:
    if crew.stop_requested:
        raise Stopped


def _obituary(child: Child) -> str:
    status = child.exit_status()
    how = f"was ended by signal {-status}" if status is not None and status < 0 else f"ended with status {status}"
    return "\n".join([f"{child.name} {how}; everything stops. Its last lines:", *(f"  {line}" for line in child.tail)])
