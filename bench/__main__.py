"""`python -m bench`: measures all scenarios in turn, each on its own server, and prints the report as Markdown."""

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import redis

from bench import report, scenarios
from bench.findings import Findings, Kept, Told, findings_from, told_from
from bench.load import Load, LoadError, put_load, require_wrk
from bench.scenarios import SCENARIOS, Scenario, Seeded
from bench.servers import ServerError, running_server
from gateway_project.store import StoreError, running_store

README = Path(__file__).parent.parent / "README.md"
PROBE, DELIVERIES, KEYS = "probe", "deliveries", "keys"
# All that a gateway needs of its surroundings; what the shell says of the developer's own gateway must not reach it.
INHERITED = ("PATH", "HOME", "TMPDIR", "LANG", "PYTHONPATH")


@dataclass(frozen=True)
class Bench:
    """The surroundings of one run: a store, an upstream, a seeded database, and a folder for all of it."""

    directory: Path
    environment: Mapping[str, str]
    seeded: Seeded
    upstream: str

    def measure(self, chosen: Sequence[Scenario], rounds: int) -> dict[str, list[Load]]:
        """Loads of each round by the scenario's name. In turn, because no machine is always equally fast."""
        with ExitStack() as servers:
            urls = {each: servers.enter_context(self._server(each)) for each in chosen}
            measured = [self._round(urls, number) for number in range(rounds + 1)][1:]  # the first one warms up
        return {each.name: [loads[each.name] for loads in measured] for each in chosen}

    def _server(self, scenario: Scenario) -> AbstractContextManager[str]:
        log, headers = self.directory / f"{scenario.name}.log", scenario.headers(self.seeded)
        return running_server(scenario.server, self.environment, log, scenario.path, headers)

    def _round(self, urls: Mapping[Scenario, str], number: int) -> dict[str, Load]:
        print(f"round {number or 'to warm up'}: {', '.join(each.name for each in urls)}", file=sys.stderr)
        return {each.name: self._put_load(each, url) for each, url in urls.items()}

    def _put_load(self, scenario: Scenario, url: str) -> Load:
        judged = self._judged()
        load = put_load(url, scenario.headers(self.seeded))
        if scenario.judges and self._judged() - judged < load.requests:
            raise LoadError(f"{scenario.name}: requests passed uncounted, the store was too slow.")
        return load

    def _judged(self) -> int:
        """How often the store was asked to judge."""
        with redis.Redis.from_url(self.environment["REDIS_URL"]) as store:
            return int(store.info("commandstats").get("cmdstat_fcall", {}).get("calls", 0))

    def probe(self, seconds: float) -> Findings:
        print("a look inside", file=sys.stderr)
        environment = {**self.environment, "DJANGO_SETTINGS_MODULE": scenarios.ENFORCED_SETTINGS}
        return findings_from(
            _run("bench.probe", json.dumps(asdict(self.seeded)), str(seconds), environment=environment)
        )

    def deliveries(self) -> Told:
        """With the database that `BENCH_DATABASE_URL` names, if any: PostgreSQL and SQLite differ here."""
        print("monitors: relay, first attempts, deliveries", file=sys.stderr)
        own = {"CELERY_BROKER_URL": self.environment["REDIS_URL"], "GATEWAY_WEBHOOK_ALLOWED_NETS": "127.0.0.0/8"}
        given = {"DATABASE_URL": os.environ["BENCH_DATABASE_URL"]} if "BENCH_DATABASE_URL" in os.environ else {}
        return told_from(_run("bench.deliveries", self.upstream, environment={**self.environment, **own, **given}))

    def keys(self) -> Kept:
        """As `deliveries`."""
        print("keys: made one by one and in bulk, listed", file=sys.stderr)
        own = {"GATEWAY_ADMIN_SECRET": secrets.token_urlsafe(24), "ALLOWED_HOSTS": "*"}
        given = {"DATABASE_URL": os.environ["BENCH_DATABASE_URL"]} if "BENCH_DATABASE_URL" in os.environ else {}
        passed_on = {name: os.environ[name] for name in ("BENCH_KEYS",) if name in os.environ}
        return Kept(**_run("bench.keys", environment={**self.environment, **own, **given, **passed_on}))


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    try:
        chosen = [each for each in SCENARIOS if each.name in options.only]
        if chosen:
            require_wrk()
        with _bench() as bench:
            loads = bench.measure(chosen, options.seconds) if chosen else {}
            findings = bench.probe(options.seconds / 3) if PROBE in options.only else None
            told = bench.deliveries() if DELIVERIES in options.only else None
            kept = bench.keys() if KEYS in options.only else None
        text = report.render(loads, findings, options.seconds, told, kept)
        print(text)
        if options.readme:
            report.replace_in(README, text)
    except (LoadError, ServerError, StoreError, report.ReadmeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    names = [*(scenario.name for scenario in SCENARIOS), PROBE, DELIVERIES, KEYS]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=int, default=6, help="under load, of each scenario (default 6)")
    only = f"measure these only, of {', '.join(names)}"
    # The speed of these is promised on PostgreSQL, so they are measured when one is given.
    usual = [name for name in names if name not in (DELIVERIES, KEYS) or "BENCH_DATABASE_URL" in os.environ]
    parser.add_argument("--only", nargs="+", choices=names, default=usual, metavar="NAME", help=only)
    parser.add_argument("--readme", action="store_true", help="also write the report into README.md")
    return parser.parse_args(arguments)


@contextmanager
def _bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name:
        directory = Path(name)
        with running_store(directory) as store_url:
            environment = _environment(directory, store_url)
            with running_server(scenarios.BARE_ASGI, environment, directory / "upstream.log", "/", {}) as upstream:
                yield Bench(directory, environment, _seed(environment, upstream), upstream)


def _environment(directory: Path, store_url: str) -> dict[str, str]:
    """A gateway as in production, with all its state in this run's folder."""
    inherited = {name: value for name, value in os.environ.items() if name in INHERITED}
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
    return Seeded(**_run("bench.seed", upstream, environment=environment))


def _run(module: str, *arguments: str, environment: Mapping[str, str]) -> Any:
    """The JSON that a module of ours prints; in a process of its own, because it needs Django with these settings."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerError(f"{module} failed:\n{done.stderr}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
