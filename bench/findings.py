"""What the probe finds out, in a form that crosses from its process to the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Work:
    """What one warm decision asks of others."""

    round_trips: float
    statements: float


@dataclass(frozen=True)
class Findings:
    """`call_us`: median of one blocking call, by "increment" (plain INCR, for comparison), "one", "four" limits;
    `calls_per_second`: the same with 64 in flight on one connection; `counter_bytes`: by "key" and "org".
    """

    call_us: Mapping[str, float]
    calls_per_second: Mapping[str, float]
    middleware: Work
    decide: Work
    counter_bytes: Mapping[str, int]
    relayed_per_second: float


@dataclass(frozen=True)
class Wait:
    """Milliseconds from a crossing to its arrival at targets that answer, beside so many of 100 that hang."""

    hanging: int
    median_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Told:
    """How fast thresholds are told, on this database. `first_attempt_p95_ms`: from the crossing to the begin of the
    first attempt, with an idle worker; the rates are of one worker process. `cpu_ms` is the worker's, for a delivery.
    """

    database: str
    relayed_per_second: float
    first_attempt_p95_ms: float
    delivered_per_second: float
    cpu_ms: float | None
    statements: float
    waits: Sequence[Wait]


def told_from(document: Mapping[str, Any]) -> Told:
    return Told(**{**document, "waits": [Wait(**wait) for wait in document["waits"]]})


@dataclass(frozen=True)
class Kept:
    """How fast one WSGI process makes keys and lists them among `keys` others, on this database. `statements` are those
    of one creation; pages have 50 keys.
    """

    database: str
    keys: int
    created_per_second: float
    statements: int
    bulk_seconds: float
    first_page_ms: float
    last_page_ms: float


def findings_from(document: Mapping[str, Any]) -> Findings:
    return Findings(**{**document, "middleware": Work(**document["middleware"]), "decide": Work(**document["decide"])})
