"""The Markdown that `make bench` prints and the README shows."""

import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.findings import Findings, Kept, Told
from bench.load import CONNECTIONS, Load, median
from bench.scenarios import (
    COUNTER_BYTES_AT_MOST,
    ROUND_TRIPS_AT_MOST,
    SCENARIOS,
    STATEMENTS_AT_MOST,
    TARGETS,
    Scenario,
    Target,
)

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
LABELS = {scenario.name: scenario.label.replace("*", "") for scenario in SCENARIOS}


Loads = Mapping[str, Sequence[Load]]


DATABASES = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
CREATED_AT_LEAST, CREATION_STATEMENTS_AT_MOST, PAGE_MS_AT_MOST = 150, 20, 100
RELAYED_AT_LEAST, FIRST_ATTEMPT_MS_AT_MOST, DELIVERED_AT_LEAST = 1000, 1000, 100


class ReadmeError(Exception):
    """The README has no place for the report."""


def render(
    loads: Loads, findings: Findings | None, seconds: int, told: Told | None = None, kept: Kept | None = None
) -> str:
    """`loads` of each round by the scenario's name; what was not measured is left out."""
    measured = [_load_row(scenario, median(loads[scenario.name])) for scenario in SCENARIOS if scenario.name in loads]
    ratios = [_ratio_row(target, loads) for target in TARGETS if {target.scenario, target.peer} <= set(loads)]
    texts = [
        _table(("server", "requests/s", "median ms", "p99 ms"), measured),
        _table(("ratio of requests/s", "measured", "target", ""), ratios),
    ]
    if findings:
        texts += [
            _table(("call of the store", "median µs", "calls/s, 64 in flight"), _call_rows(findings)),
            _table(("economy", "measured", "target", ""), _economy_rows(findings)),
            f"The relay takes {findings.relayed_per_second:,.0f} threshold events a second to the ledger, one worker.",
        ]
    if told:
        head = (f"monitors, one worker process, {DATABASES[told.database]}", "measured", "target", "")
        texts.append(_table(head, _told_rows(told)))
    if kept:
        head = (f"keys, one WSGI process, {kept.keys:,} keys, {DATABASES[kept.database]}", "measured", "target", "")
        texts.append(_table(head, _kept_rows(kept)))
    return "\n\n".join([_conditions(seconds), *(text for text in texts if text)])


def replace_in(readme: Path, report: str) -> None:
    """Writes the report between the README's markers. Raises ReadmeError."""
    text = readme.read_text()
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ReadmeError(f"{readme.name} has no line {BEGIN} followed by a line {END}: nothing was written.")
    readme.write_text(f"{head}{BEGIN}\n{report}\n{END}{tail}")


def _conditions(seconds: int) -> str:
    load = f"{CONNECTIONS} connections of wrk; medians of {seconds} rounds in turn, one second each"
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{load}; one Granian worker each; server, Valkey and wrk share {os.cpu_count()} cores ({machine})."


def _load_row(scenario: Scenario, load: Load) -> tuple[str, ...]:
    return scenario.label, f"{load.requests_per_second:,.0f}", f"{load.median_ms:.1f}", f"{load.p99_ms:.1f}"


def _ratio_row(target: Target, loads: Loads) -> tuple[str, ...]:
    pairs = zip(loads[target.scenario], loads[target.peer], strict=True)
    ratio = statistics.median(ours.requests_per_second / theirs.requests_per_second for ours, theirs in pairs)
    name = f"{LABELS[target.scenario]} : {LABELS[target.peer]}"
    if target.at_least is None:
        return name, f"{ratio:.2f}", "", ""
    return name, f"{ratio:.2f}", f"≥ {target.at_least:g}", _verdict(ratio >= target.at_least)


def _call_rows(findings: Findings) -> list[tuple[str, ...]]:
    labels = {"increment": "`INCR`, for comparison", "one": "one limit", "four": "four limits, all or none"}
    return [
        (label, f"{findings.call_us[name]:.0f}", f"{findings.calls_per_second[name]:,.0f}")
        for name, label in labels.items()
    ]


def _economy_rows(findings: Findings) -> list[tuple[str, ...]]:
    faces = (("`/decide/forward-auth`", findings.decide), ("the middleware", findings.middleware))
    rows = []
    for face, work in faces:
        rows.append(_ceiling_row(f"round trips per warm decision, {face}", work.round_trips, ROUND_TRIPS_AT_MOST))
        rows.append(_ceiling_row(f"SQL statements per warm decision, {face}", work.statements, STATEMENTS_AT_MOST))
    subjects = {"key": "a key", "org": "an organisation"}
    for subject, label in subjects.items():
        what = f"bytes of the counter of {label} (quota, rate, fired thresholds)"
        rows.append(_ceiling_row(what, findings.counter_bytes[subject], COUNTER_BYTES_AT_MOST))
    return rows


def _told_rows(told: Told) -> list[tuple[str, ...]]:
    rows = [
        _floor_row("threshold events to the ledger, a second", told.relayed_per_second, RELAYED_AT_LEAST),
        _ceiling_row("crossing to first attempt, p95 ms", round(told.first_attempt_p95_ms), FIRST_ATTEMPT_MS_AT_MOST),
        _floor_row("webhooks delivered to one fast target, a second", told.delivered_per_second, DELIVERED_AT_LEAST),
        ("SQL statements for each of these", f"{told.statements:.1f}", "", ""),
    ]
    if told.cpu_ms is not None:
        rows.append(("ms of the worker's processor time for each of these", f"{told.cpu_ms:.1f}", "", ""))
    for wait in told.waits:
        what = f"crossing to arrival at {100 - wait.hanging} targets, {wait.hanging} others hang: median, p95 ms"
        rows.append((what, f"{wait.median_ms:.0f}, {wait.p95_ms:.0f}", "", ""))
    return rows


def _kept_rows(kept: Kept) -> list[tuple[str, ...]]:
    return [
        _floor_row("keys made by `POST /api/v1/keys`, a second", kept.created_per_second, CREATED_AT_LEAST),
        _ceiling_row("SQL statements for each of these", kept.statements, CREATION_STATEMENTS_AT_MOST),
        ("1,000 keys in one `POST /api/v1/keys/bulk`, seconds", f"{kept.bulk_seconds:.1f}", "", ""),
        _ceiling_row("50 keys of the list, first page, ms", round(kept.first_page_ms), PAGE_MS_AT_MOST),
        _ceiling_row("50 keys of the list, last page, ms", round(kept.last_page_ms), PAGE_MS_AT_MOST),
    ]


def _floor_row(what: str, measured: float, at_least: float) -> tuple[str, ...]:
    return what, f"{measured:,.0f}", f"≥ {at_least:,.0f}", _verdict(measured >= at_least)


def _ceiling_row(what: str, measured: float, at_most: float) -> tuple[str, ...]:
    return what, f"{measured:g}", f"≤ {at_most:g}", _verdict(measured <= at_most)


def _verdict(reached: bool) -> str:
    return "ok" if reached else "MISSED"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    rule = "|".join(["---", *("---:" for _ in head[1:])])
    return "\n".join([f"| {' | '.join(head)} |", f"|{rule}|", *lines]) if lines else ""
