"""The Markdown that `make bench` prints and the README shows."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.load import CONNECTIONS, Load
from bench.scenarios import COUNTER_BYTES_AT_MOST, SCENARIOS, TARGETS, Scenario, Target

BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
LABELS = {scenario.name: scenario.label.replace("*", "") for scenario in SCENARIOS}


class ReadmeError(Exception):
    """The README has no place for the report."""


def render(loads: Mapping[str, Load], seconds: float) -> str:
    """`loads` by the scenario's name; what was not measured is left out."""
    tables = [
        _table(("", "requests/s", "median ms", "p99 ms"), [_load_row(each, loads[each.name]) for each in SCENARIOS if each.name in loads]),
        _table(("ratio", "measured", "target", ""), [_ratio_row(each, loads) for each in TARGETS if {each.scenario, each.peer} <= set(loads)]),
    ]
    return "\n\n".join([_conditions(seconds), *(table for table in tables if table)])


def replace_in(readme: Path, report: str) -> None:
    """Writes the report between the README's markers. Raises ReadmeError."""
    text = readme.read_text()
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ReadmeError(f"{readme.name} has no line {BEGIN} followed by a line {END}: nothing was written.")
    readme.write_text(f"{head}{BEGIN}\n{report}\n{END}{tail}")


def _conditions(seconds: float) -> str:
    return (
        f"{CONNECTIONS} connections of wrk for {seconds:g} s each, one Granian worker; server, store (Valkey) and load share "
        f"{os.cpu_count()} cores. Python {platform.python_version()}, {platform.system()} {platform.machine()}."
    )


def _load_row(scenario: Scenario, load: Load) -> tuple[str, ...]:
    return scenario.label, f"{load.requests_per_second:,.0f}", f"{load.median_ms:.1f}", f"{load.p99_ms:.1f}"


def _ratio_row(target: Target, loads: Mapping[str, Load]) -> tuple[str, ...]:
    ratio = loads[target.scenario].requests_per_second / loads[target.peer].requests_per_second
    name = f"{LABELS[target.scenario]} : {LABELS[target.peer]}"
    if target.at_least is None:
        return name, f"{ratio:.2f}", "", ""
    return name, f"{ratio:.2f}", f"≥ {target.at_least:g}", verdict(ratio >= target.at_least)


def verdict(reached: bool) -> str:
    return "ok" if reached else "MISSED"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    rule = "|".join(["---", *("---:" for _ in head[1:])])
    return "\n".join([f"| {' | '.join(head)} |", f"|{rule}|", *lines]) if lines else ""
