"""A PostgreSQL server of a test's own, for what the shared one cannot be asked for: to be gone."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from gateway_project.store import free_port
from tests.needs import need
from tests.whole_gateway import wait_for

PROGRAMS = ("initdb", "postgres")


class Postgres:
    """Its user is `postgres`, without a password."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it takes connections."""
        how = f"-D {self.folder} -p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._process = subprocess.Popen([*_program("postgres"), *how.split()], **_as_postgres(), **_silent())
        wait_for(self._answers, 30)

    def stop(self) -> None:
        """At once, as in a crash."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
            self._process = None

    def do(self, sql: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.encode())

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    need(all(map(shutil.which, PROGRAMS)), "PostgreSQL's initdb and postgres on PATH")
    with tempfile.TemporaryDirectory(prefix="gateway-postgres-") as name:
        if os.getuid() == 0:
            shutil.chown(name, "postgres")  # it refuses to be root
        server = Postgres(Path(name))
        made = [*_program("initdb"), "-D", name, "-A", "trust", "-U", "postgres", "--no-sync"]
        subprocess.run(made, check=True, **_as_postgres(), **_silent())
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _program(name: str) -> list[str]:
    return [str(Path(shutil.which(name) or name).resolve())]


def _as_postgres() -> dict[str, Any]:
    return {"user": "postgres", "group": "postgres", "extra_groups": [], "cwd": "/"} if os.getuid() == 0 else {}


def _silent() -> dict[str, Any]:
    return {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
