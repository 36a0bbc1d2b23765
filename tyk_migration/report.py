"""What an import did, or would do: counted by kind, refused with place and reason, and what will be different.

Bounded, whatever the number of keys: of each kind of difference and refusal the first EXAMPLES are kept and the rest is
counted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

EXAMPLES = 20
MOST_REFUSALS = 1_000
KINDS = ("monitor", "organisations", "apis", "policies", "keys", "counters")  # in which order they are told


class Outcome(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row that was not taken. `place` is a file with a line or pointer; `pointer` leads on inside the document."""

    kind: str
    place: str
    name: str
    pointer: str
    reason: str


@dataclass(slots=True)
class Seen:
    """How often something was seen, and where first."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str, most: int) -> None:
        self.count += 1
        if len(self.examples) < most:
            self.examples.append(example)


@dataclass(frozen=True, slots=True)
class Setting:
    """One member of tyk.conf, and why it was taken or not."""

    name: str
    taken: bool
    why: str


@dataclass(slots=True)
class Report:
    """`differences` and `ignored` by what is different, or by (kind, member, why)."""

    is_dry: bool = False
    most_examples: int = EXAMPLES
    tallies: dict[str, Counter[Outcome]] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    differences: defaultdict[str, Seen] = field(default_factory=lambda: defaultdict(Seen))
    ignored: defaultdict[tuple[str, str, str], Seen] = field(default_factory=lambda: defaultdict(Seen))

    def begin(self, kind: str) -> None:
        self.tallies.setdefault(kind, Counter())

    def count(self, kind: str, outcome: Outcome) -> None:
        self.begin(kind)
        self.tallies[kind][outcome] += 1

    def refuse(self, kind: str, place: str, name: str, reason: str, pointer: str = "") -> None:
        """One thing that is wrong in a row; the row is counted by the caller."""
        if len(self.refusals) < MOST_REFUSALS:
            self.refusals.append(Refusal(kind, place, name, pointer, reason))

    def differ(self, what: str, who: str) -> None:
        self.differences[what].add(who, self.most_examples)

    def ignore(self, kind: str, member: str, why: str, who: str) -> None:
        self.ignored[kind, member, why].add(who, self.most_examples)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    @property
    def refused(self) -> int:
        return sum(tally[Outcome.REFUSED] for tally in self.tallies.values())

    @property
    def changes(self) -> int:
        return sum(tally[Outcome.CREATED] + tally[Outcome.CHANGED] for tally in self.tallies.values())


# --- showing ----------------------------------------------------------------------------------------------------------


def as_json(report: Report) -> dict[str, Any]:
    """For programs."""
    return {
        "dry_run": report.is_dry,
        "kinds": {kind: {str(outcome): tally[outcome] for outcome in Outcome} for kind, tally in _tallies(report)},
        "refused": [
            {"kind": each.kind, "place": each.place, "name": each.name, "pointer": each.pointer, "reason": each.reason}
            for each in report.refusals
        ],
        "settings": [{"name": each.name, "taken": each.taken, "why": each.why} for each in report.settings],
        "ignored": [
            {"kind": kind, "member": member, "why": why, "count": seen.count, "examples": seen.examples}
            for (kind, member, why), seen in sorted(report.ignored.items())
        ],
        "differences": [
            {"what": what, "count": seen.count, "examples": seen.examples}
            for what, seen in sorted(report.differences.items())
        ],
        "notes": report.notes,
    }


def as_text(report: Report) -> Iterator[str]:
    """For people, line by line."""
    yield "Dry run: nothing was changed." if report.is_dry else "Import from Tyk"
    for kind, tally in _tallies(report):
        counts = ", ".join(f"{tally[outcome]} {outcome}" for outcome in Outcome if tally[outcome]) or "none found"
        yield f"  {kind}: {counts}"
    yield from _section("Refused, nothing of these was taken", _refusals(report))
    yield from _section("Settings of tyk.conf", _settings(report))
    yield from _section("Will be different", _differences(report))
    yield from _section("Kept and given back, but without effect here", _ignored(report))
    yield from _section("Notes", iter(report.notes))
    if not report.is_dry and not report.changes and not report.refused:
        yield "Everything was unchanged."


def _tallies(report: Report) -> Iterator[tuple[str, Counter[Outcome]]]:
    return ((kind, report.tallies[kind]) for kind in KINDS if kind in report.tallies)


def _section(title: str, lines: Iterator[str]) -> Iterator[str]:
    first = next(lines, None)
    if first is not None:
        yield ""
        yield f"{title}:"
        yield f"  {first}"
        yield from (f"  {line}" for line in lines)


def _refusals(report: Report) -> Iterator[str]:
    for each in report.refusals:
        name = f" {each.name}" if each.name else ""
        yield f"{each.place}{each.pointer and ' at ' + each.pointer}: {each.kind}{name}: {each.reason}"
    if report.refused > len({(each.kind, each.place) for each in report.refusals}):
        yield f"(the first {MOST_REFUSALS} are listed, of {report.refused})"


def _settings(report: Report) -> Iterator[str]:
    for each in report.settings:
        yield f"{'taken  ' if each.taken else 'ignored'} {each.name}: {each.why}"


def _differences(report: Report) -> Iterator[str]:
    for what, seen in sorted(report.differences.items()):
        yield f"{what} ({seen.count})"
        yield from (f"  {example}" for example in seen.examples)
        if seen.count > len(seen.examples):
            yield f"  … and {seen.count - len(seen.examples)} more"


def _ignored(report: Report) -> Iterator[str]:
    for (kind, member, why), seen in sorted(report.ignored.items()):
        yield f"{kind}, {member} ({seen.count}): {why}; first {', '.join(seen.examples[:3])}"
