"""What the engine speaks of: limits, grants, readings and decisions. Frozen values only; standard library only.

Times are integers: `*_ms` are unix milliseconds of the store's clock, `*_seconds` are durations.
Readings and decisions, made anew with each request, are NamedTuples: those take a fraction of the time to make.
"""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple


class StoreUnavailable(Exception):
    """The counter store did not answer, or refused to count. The call may have been counted; it is never sent again."""


class LimitName(StrEnum):
    """The four limits a caller can meet, in the order in which they are reported (rule 2.8)."""

    ORG_RATE = "org-rate"
    ORG_QUOTA = "org-quota"
    KEY_RATE = "key-rate"
    KEY_QUOTA = "key-quota"


class Refusal(StrEnum):
    """Why a request is turned away before any limit is looked at (rule 1.4); consumes nothing."""

    MISSING_KEY = "missing_key"
    UNKNOWN_KEY = "unknown_key"
    EXPIRED_KEY = "expired_key"
    INACTIVE_KEY = "inactive_key"
    INACTIVE_ORGANISATION = "inactive_organisation"
    API_FORBIDDEN = "api_forbidden"
    UNKNOWN_API = "unknown_api"
    TOO_MANY_UNKNOWN_KEYS = "too_many_unknown_keys"  # from one address: not even looked at (rule 1.6)


class Outcome(StrEnum):
    PASSED = "passed"
    DENIED = "denied"  # by one or more limits
    REFUSED = "refused"  # see Refusal
    UNAVAILABLE = "unavailable"  # the counter store did not answer


@dataclass(frozen=True, slots=True)
class Threshold:
    """A share of a quota that somebody wants to hear about (rule 7.2).

    `needed` is the usage that reaches it, `ceil(quota_max * t / 100)`; `label` is the percentage as printed ("80",
    "12.5"); `own`: the key, policy or organisation asked for it, else only a monitor's global limit did.
    """

    label: str
    needed: int
    own: bool


@dataclass(frozen=True, slots=True)
class QuotaLimit:
    """At most `max` units per period on one counter (section 2). -1 never gets here: unlimited is no limit.

    The period is rolling (`period_ms` > 0), a calendar one (`boundaries_ms`: ascending starts of consecutive periods,
    the last one is where they have to be computed anew), or endless (neither).
    `source` names whose limit this is ("key", "org", or a policy's id): thresholds fire once per source (rule 7.3).
    """

    name: LimitName
    counter: str
    max: int
    period_ms: int
    source: str
    boundaries_ms: tuple[int, ...] = ()
    thresholds: tuple[Threshold, ...] = ()


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `max` units per sliding window on one counter (rule 4.1)."""

    name: LimitName
    counter: str
    max: int
    window_ms: int
    source: str


Limit = QuotaLimit | RateLimit


@dataclass(frozen=True, slots=True)
class Versions:
    """The configuration that a grant was compiled from; compared inside the counter function (rule 1.5)."""

    gateway: int
    organisation: int
    key: int


@dataclass(frozen=True, slots=True)
class Throttle:
    """Hold a rate-denied request and try again (rule 4.3)."""

    interval_ms: int
    retry_limit: int


@dataclass(frozen=True, slots=True)
class Grant:
    """What one credential may do on one API: everything a decision needs, so that reading it costs no I/O.

    `event_context` is constant JSON that travels with each threshold event: organisation, key, api, alias, key_mask and
    the raw key encrypted (rule 7.6). `expires_at_ms` 0 never expires. `refusal`: an inactive/forbidden one or None.
    """

    organisation_id: str
    bucket: int
    key_id: str
    api_id: str
    versions: Versions
    limits: tuple[Limit, ...]
    event_context: bytes
    expires_at_ms: int = 0
    refusal: Refusal | None = None
    throttle: Throttle | None = None
    fail_open: bool = True
    # What is derived from the grant alone, such as its packed command: lives with it, a changed copy starts empty.
    memo: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)


class Status(IntEnum):
    """What the counter function answers."""

    JUDGED = 0
    STALE = 1  # the grant's configuration is older than the store's, or the store does not know it: load and publish
    MISSING = 2  # a quota counter does not exist: restore it from its snapshot
    OUTDATED = 3  # a calendar period lies past the grant's boundaries: compile the grant anew
    EXPIRED = 4  # the credential has expired, by the store's clock


class QuotaReading(NamedTuple):
    """A quota counter after the judgement. `period_start_ms` 0: no period runs (it starts with the next request).

    `period_end_ms` 0: never, or no rolling period runs. A calendar period has an end even before its first request.
    """

    allowed: bool
    used: int
    period_start_ms: int
    period_end_ms: int


class RateReading(NamedTuple):
    """A rate counter after the judgement: the two buckets of the sliding window."""

    allowed: bool
    previous: int
    current: int
    window_start_ms: int


LimitReading = QuotaReading | RateReading


class Reading(NamedTuple):
    """The counter function's answer. `limits` are in the grant's order; `crossed` thresholds this request fired."""

    status: Status
    now_ms: int
    admitted: bool = False
    limits: tuple[LimitReading, ...] = ()
    crossed: int = 0
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LimitState:
    """One limit as the caller sees it (section 8). A time is None if the quota never renews or no rolling period runs.

    Of a rate limit, `used` is the weighted usage of the sliding window; the times are those of the aligned window.
    """

    name: LimitName
    max: int
    used: int
    remaining: int
    window_seconds: int | None
    reset_seconds: int | None
    resets_at: int | None
    denies: bool


class Decision(NamedTuple):
    """The engine's judgement of one request. `retry_after_seconds` is None when waiting does not help."""

    outcome: Outcome
    states: tuple[LimitState, ...] = ()
    violated: tuple[LimitName, ...] = ()
    refusal: Refusal | None = None
    retry_after_seconds: int | None = None
    crossed: int = 0
    grant: Grant | None = None


class Snapshot(NamedTuple):
    """What a quota counter held when it was copied to the database (rule 9.2)."""

    used: int
    period_start_ms: int
    fired: str


NO_SNAPSHOT = Snapshot(0, -1, "")


class Note(NamedTuple):
    """What a verb leaves in the store in the step in which it changes a counter. `field` names it; "": no note."""

    field: str
    text: str


NO_NOTE = Note("", "")


@dataclass(frozen=True, slots=True)
class Crossing:
    """One threshold event as it stands in the outbox (rule 7.4). `period_end_ms` 0: the quota never renews.

    (`counter`, `period_start_ms`, `source`, `threshold`) is unique for ever. `own` as in Threshold; `context` is the
    grant's `event_context`.
    """

    kind: str  # "key" or "org"
    counter: str
    period_start_ms: int
    period_end_ms: int
    threshold: str
    own: bool
    source: str
    used: int
    quota_max: int
    occurred_at_ms: int
    context: bytes
