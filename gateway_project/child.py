"""One child process: in a session of its own, logged to a file, and never an orphan."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

LOG_FILE_MAX_BYTES = 5_000_000
TAIL_LINES = 30
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class Child:
    """A started process. Its output goes line by line to `log_path` and, if given, to `echo`.

    Start children in the main thread: Linux sends the parent-death signal when the *thread* that started one ends.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log_path: Path,
        environment: Mapping[str, str] | None = None,
        echo: Callable[[str], None] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._log = _open_log(log_path)
        self._echo = echo
        self._process = subprocess.Popen(  # noqa: S603 - every command is our own
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # a Ctrl-C or a signal to our group reaches us alone: we stop the children in order
            preexec_fn=_die_with(os.getpid()) if _libc else None,
            pass_fds=pass_fds,
        )
        self.pid = self._process.pid
        self._pump = threading.Thread(target=self._copy_output, name=f"log of {name}", daemon=True)
        self._pump.start()

    def exit_status(self) -> int | None:
        """None while it runs, else its exit status; negative: the signal that ended it."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        if self.exit_status() is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it ended within this time."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def finish(self) -> None:
        """Ends what is left of its process group, also helpers that outlived it, and closes its log."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._pump.join(1)
        self._log.close()

    def _copy_output(self) -> None:
        output: IO[str] | None = self._process.stdout
        assert output is not None  # noqa: S101 - Popen was given a pipe
        with output:
            for line in output:
                self.tail.append(line.rstrip("\n"))
                if not self._log.closed:
                    self._log.write(line)
                    self._log.flush()
                if self._echo:
                    self._echo(line.rstrip("\n"))


def _open_log(path: Path) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_FILE_MAX_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    return path.open("a", encoding="utf-8", errors="replace")


def _die_with(parent_pid: int) -> Callable[[], None]:
    """What the child does before it becomes the program: asks for SIGTERM when its parent dies, however it dies."""

    def prepare() -> None:
        assert _libc is not None  # noqa: S101 - only called where it is loaded
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent_pid:  # it died before we asked
            os._exit(1)

    return prepare
