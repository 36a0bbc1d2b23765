"""A whole gateway, started with `manage.py up` as its users do."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from gateway_project.environment import BASE_DIR


class Up:
    """A gateway started with its own state and port, without demo data unless `demo`."""

    def __init__(self, var_dir: Path, port: int, *, demo: bool = False, **variables: str) -> None:
        self.var_dir, self.port = var_dir, port
        environment = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
        environment |= {"GATEWAY_VAR_DIR": str(var_dir), "PORT": str(port), "DEBUG": "true"}
        environment |= {
            "DJANGO_SETTINGS_MODULE": "gateway_project.settings",
            "GATEWAY_DEMO": "1" if demo else "0",
            **variables,
        }
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", *(() if demo else ("--no-demo",))],
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

    def stop(self) -> None:
        """Stops it as Ctrl-C would, and fails if anything of it is left."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(25)
        leftovers = self.children()
        for pid in leftovers:
            os.kill(pid, signal.SIGKILL)
        assert not leftovers

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
