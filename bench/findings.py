"""What the probe finds out, in a form that crosses from its process to the report."""

from collections.abc import Mapping
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
class Told:
    """How fast thresholds are told, on this database. `first_attempt_p95_ms`: from the crossing to the begin of the
    first attempt, with an idle worker; the rates are of one worker process.
    """

    database: str
    relayed_per_second: float
    first_attempt_p95_ms: float
    delivered_per_second: float


def findings_from(document: Mapping[str, Any]) -> Findings:
    return Findings(**{**document, "middleware": Work(**document["middleware"]), "decide": Work(**document["decide"])})
