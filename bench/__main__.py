"""`python -m bench`: measures every scenario after another, each on a server of its own, and prints the report as Markdown."""

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import report, scenarios
from bench.load import Load, LoadError, put_load, require_wrk
from bench.scenarios import SCENARIOS, Scenario, Seeded
from bench.servers import ServerError, require_ok, running_server
from gateway_project.store import StoreError, running_store

README = Path(__file__).parent.parent / "README.md"
WARM_UP_SECONDS = 1
# What the developer's shell says about their own gateway must not reach the measured one.
NOT_INHERITED = ("DATABASE_URL", "GATEWAY_RESPONSES", "GATEWAY_DECIDE_NETS")


@dataclass(frozen=True)
class Bench:
    """The surroundings of one run: a store, an upstream, a seeded database, and a folder for all of it."""

    directory: Path
    environment: Mapping[str, str]
    seeded: Seeded

    def measure(self, scenario: Scenario, seconds: float) -> Load:
        print(f"{scenario.name} ...", file=sys.stderr)
        environment = {**self.environment, "DJANGO_SETTINGS_MODULE": scenario.settings}
        headers = scenario.headers(self.seeded)
        with running_server(scenario.application, scenario.interface, environment, self._log(scenario)) as base:
            require_ok(base + scenario.path, headers)
            put_load(base + scenario.path, headers, WARM_UP_SECONDS)
            return put_load(base + scenario.path, headers, seconds)

    def _log(self, scenario: Scenario) -> Path:
        return self.directory / f"{scenario.name}.log"


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    try:
        require_wrk()
        with _bench() as bench:
            loads = {each.name: bench.measure(each, options.seconds) for each in SCENARIOS if each.name in options.only}
        text = report.render(loads, options.seconds)
        print(text)
        if options.readme:
            report.replace_in(README, text)
    except (LoadError, ServerError, StoreError, report.ReadmeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=int, default=6, help="length of each measurement (default: 6)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--readme", action="store_true", help="also write the report into README.md")
    return parser.parse_args(arguments)


@contextmanager
def _bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        directory = Path(name)
        with running_store(directory) as store_url:
            environment = _environment(directory, store_url)
            with running_server(*scenarios.BARE_ASGI[:2], environment, directory / "upstream.log") as upstream:
                yield Bench(directory, environment, _seed(environment, upstream))


def _environment(directory: Path, store_url: str) -> dict[str, str]:
    """A gateway as in production, with all its state in this run's folder."""
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    own = {
        "DEBUG": "false",
        "GATEWAY_DEMO": "0",
        "GATEWAY_VAR_DIR": str(directory),
        "REDIS_URL": store_url,
        "CELERY_BROKER_URL": "memory://localhost",
        "EMAIL_URL": "dummymail://",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "GATEWAY_KEY_PEPPER": secrets.token_urlsafe(48),
        "GATEWAY_DECIDE_TOKEN": secrets.token_urlsafe(24),
        "DJANGO_SETTINGS_MODULE": scenarios.GATEWAY_SETTINGS,
    }
    return inherited | own


def _seed(environment: Mapping[str, str], upstream: str) -> Seeded:
    command = [sys.executable, "-m", "bench.seed", f"{upstream}/"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerError(f"The seed failed:\n{done.stderr}")
    return Seeded(**json.loads(done.stdout))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
