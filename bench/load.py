"""Load on one URL by wrk: 64 connections that never pause."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONNECTIONS = 64
REPORT = Path(__file__).with_name("wrk.lua")


class LoadError(Exception):
    """There is no valid measurement. The text says why and what to do."""


@dataclass(frozen=True)
class Load:
    """What the server did under load; every answer was a good one."""

    requests: int
    requests_per_second: float
    median_ms: float
    p99_ms: float


def require_wrk() -> None:
    """Raises LoadError."""
    if not shutil.which("wrk"):
        raise LoadError(
            "The load generator wrk is not on PATH. Debian, Ubuntu: apt-get install wrk; macOS: brew install wrk."
        )


def put_load(url: str, headers: Mapping[str, str]) -> Load:
    """Keeps the server busy for a second, the shortest that wrk knows. Raises LoadError if any answer was an error."""
    words = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", "-d1s", "-s", str(REPORT), *words, url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LoadError(f"wrk failed on {url}: {done.stderr.strip()}")
    return _load(json.loads(done.stdout.splitlines()[-1]), url)


def _load(report: Mapping[str, Any], url: str) -> Load:
    if report["refused"] or report["broken"]:
        raise LoadError(
            f"{url}: of {report['requests']} requests {report['refused']} failed, {report['broken']} broke."
        )
    requests = report["requests"]
    return Load(requests, requests / report["duration_us"] * 1e6, report["median_us"] / 1000, report["p99_us"] / 1000)


def median(loads: Sequence[Load]) -> Load:
    """The one with the middle throughput; of an odd number."""
    return sorted(loads, key=lambda load: load.requests_per_second)[len(loads) // 2]
