"""What is asked of the counter store and what its answers mean: commands and readings, without any I/O.

The command of a grant is constant, so it is packed once and remembered with the grant.
"""

from collections.abc import Mapping, Sequence

from sessions_app.engine import names
from sessions_app.engine.types import (
    NO_NOTE,
    Crossing,
    Grant,
    Limit,
    LimitName,
    LimitReading,
    Note,
    QuotaLimit,
    QuotaReading,
    RateLimit,
    RateReading,
    Reading,
    Snapshot,
    Status,
    StoreUnavailable,
)
from sessions_app.engine.wire import Call, Reply, make_call, pack

_ORGANISATION_LIMITS = (LimitName.ORG_RATE, LimitName.ORG_QUOTA)
_NUMBERS_PER_LIMIT = 4
_FIRST_LIMIT_AT = 4

# Lua counts in doubles. Beyond these no whole number is safe; no real limit comes near (300 years, 9e15 requests).
_LONGEST_MS = 10**13
_GREATEST_MAX = 2**53 - 1

Arguments = list[bytes | str | int]


# --- judging a request ------------------------------------------------------------------------------------------------


def consume(grant: Grant, cost: int = 1, now_ms: int = 0, *, compared: bool = True) -> Call:
    """Judges one request of `cost` >= 1 units and counts it if all limits admit it. `now_ms` 0 is the store's clock.

    Not `compared`: whatever newer configuration the store has heard of, this grant counts.
    """
    if cost != 1 or now_ms or not compared:
        return _consume(grant, cost, now_ms, compared)
    call: Call | None = grant.memo.get("consume")
    if call is None:
        call = grant.memo["consume"] = _consume(grant, 1, 0, compared)
    return call


def _consume(grant: Grant, cost: int, now_ms: int, compared: bool) -> Call:
    if cost < 1:
        raise ValueError(f"cost must be at least 1, not {cost}")
    head: Arguments = [now_ms, cost, 0, grant.expires_at_ms, *_versions_to_compare(grant, compared)]
    return _judgement("consume", grant, grant.limits, head)


def peek(grant: Grant, cost: int = 1, now_ms: int = 0, *, lenient: bool = False) -> Call:
    """The same judgement without any write, even if the credential has expired; versions are not compared.

    `lenient`: a missing counter is a fresh one.
    """
    head: Arguments = [now_ms, cost, int(lenient), 0, *_versions_to_compare(grant, compared=False)]
    return _judgement("peek", grant, grant.limits, head)


def verify(grant: Grant, now_ms: int = 0, *, compared: bool = True) -> Call:
    """Asks only whether the grant is current (if `compared`) and whether its credential has expired."""
    head: Arguments = [now_ms, 1, 0, grant.expires_at_ms, *_versions_to_compare(grant, compared)]
    return _judgement("peek", grant, (), head)


def _judgement(verb: str, grant: Grant, limits: Sequence[Limit], head: Arguments) -> Call:
    counters = _distinct_counters(limits)
    bucket = grant.bucket
    hours = (names.hourly(bucket), names.touched_hours(bucket))
    keys = (*version_keys(grant), names.outbox(bucket), names.dirty(bucket), *hours, *counters)
    subject = names.usage_subject(grant.organisation_id, grant.key_id, grant.api_id)
    arguments = [*head, subject, grant.event_context]
    for limit in limits:
        arguments += _limit_arguments(limit, counters.index(limit.counter) + 1)
    return make_call(verb, keys, arguments, read_only=verb == "peek")


def _distinct_counters(limits: Sequence[Limit]) -> list[str]:
    """Raises ValueError if two limits of one kind would count on one counter: a request would cost two units there."""
    kinds = [(type(limit), limit.counter) for limit in limits]
    if len(set(kinds)) < len(kinds):
        raise ValueError(f"two limits of one kind on one counter: {[limit.counter for limit in limits]}")
    return list(dict.fromkeys(limit.counter for limit in limits))


def _limit_arguments(limit: Limit, place: int) -> Arguments:
    maximum = min(limit.max, _GREATEST_MAX)
    if isinstance(limit, RateLimit):
        return ["r", place, maximum, min(limit.window_ms, _LONGEST_MS)]
    kind = "org" if limit.name in _ORGANISATION_LIMITS else "key"
    thresholds: Arguments = []
    for threshold in sorted(limit.thresholds, key=lambda each: each.needed):
        thresholds += [threshold.label, threshold.needed, int(threshold.own)]
    return [
        "q", place, maximum, min(limit.period_ms, _LONGEST_MS), kind, limit.source, names.source_mark(limit.source),
        len(limit.boundaries_ms), *limit.boundaries_ms, len(limit.thresholds), *thresholds,
    ]  # fmt: skip


def parse_reading(reply: Reply, grant: Grant) -> Reading:
    """The answer to consume, peek or verify of this grant. Raises StoreUnavailable for what no such function says."""
    try:
        status = Status(reply[0])
        if status is not Status.JUDGED:
            missing = tuple(grant.limits[place].counter for place in reply[2:])
            return Reading(status, reply[1], missing=missing)
        if len(reply) == _FIRST_LIMIT_AT:  # of a grant without limits, or verify
            return Reading(status, reply[1], admitted=True)
        limits = tuple(_limit_reading(limit, reply, place) for place, limit in enumerate(grant.limits))
        return Reading(status, reply[1], reply[2] == 1, limits, reply[3])
    except (TypeError, ValueError, IndexError) as error:
        raise StoreUnavailable(f"the counter store gave an answer that makes no sense: {reply!r}") from error


def _limit_reading(limit: Limit, reply: Reply, place: int) -> LimitReading:
    at = _FIRST_LIMIT_AT + _NUMBERS_PER_LIMIT * place
    if isinstance(limit, QuotaLimit):
        return QuotaReading(reply[at] == 1, reply[at + 1], reply[at + 2], reply[at + 3])
    return RateReading(reply[at] == 1, reply[at + 1], reply[at + 2], reply[at + 3])


# --- versions ---------------------------------------------------------------------------------------------------------


def version_keys(grant: Grant) -> tuple[str, str, str]:
    organisation_id = grant.organisation_id
    return (
        names.gateway_version(grant.bucket),
        names.organisation_version(organisation_id),
        names.key_version(organisation_id, grant.key_id),
    )


def _version_numbers(grant: Grant) -> tuple[int, int, int]:
    return grant.versions.gateway, grant.versions.organisation, grant.versions.key


def _versions_to_compare(grant: Grant, compared: bool) -> Sequence[int | str]:
    return _version_numbers(grant) if compared else ("", "", "")


def publish_grant(grant: Grant) -> Call:
    """Tells the store the versions that a grant was compiled from. A newer one in the store stays."""
    return make_call("publish", version_keys(grant), _version_numbers(grant))


def publish_gateway(number: int) -> list[Call]:
    """The gateway's version, for all buckets."""
    return [make_call("publish", [names.gateway_version(bucket)], [number]) for bucket in range(names.BUCKETS)]


def read_version(key: str) -> Call:
    """Asks for one version by its name in the store."""
    return Call(pack((b"GET", key.encode())), key)


def read_gateway() -> Call:
    """Asks for the gateway's version. One bucket stands for all: it is the first that a change is published to."""
    return read_version(names.gateway_version(0))


def read_credentials(shard: str) -> Call:
    """Asks for the version of a shard of credentials."""
    return read_version(names.credentials_version(shard))


def publish_credentials(shard: str, number: int) -> Call:
    return make_call("publish", [names.credentials_version(shard)], [number])


def parse_version(reply: Reply) -> int | None:
    """The answer to `read_gateway` or `read_credentials`; None if the store knows none. Raises StoreUnavailable for
    what is no version.
    """
    try:
        return None if reply is None else int(reply)
    except (TypeError, ValueError) as error:
        raise StoreUnavailable(f"the counter store gave a version that makes no sense: {reply!r}") from error


def publish_organisation(organisation_id: str, number: int) -> Call:
    return make_call("publish", [names.organisation_version(organisation_id)], [number])


def publish_key(organisation_id: str, key_id: str, number: int) -> Call:
    return make_call("publish", [names.key_version(organisation_id, key_id)], [number])


# --- verbs on one quota counter ---------------------------------------------------------------------------------------


def restore(limit: QuotaLimit, snapshot: Snapshot, now_ms: int = 0) -> Call:
    """Creates the limit's counter from a snapshot unless it exists. Answers 1 if it was created, else 0."""
    head: Arguments = [now_ms, snapshot.used, snapshot.period_start_ms, snapshot.fired]
    return make_call("restore", [limit.counter], head + _limit_arguments(limit, 1))


def reset(limit: QuotaLimit, now_ms: int = 0, note: Note = NO_NOTE) -> Call:
    """Usage 0, nothing fired, a new period with the next request (rule 2.10)."""
    return make_call("reset", _verb_keys(limit), [now_ms, *note, *_limit_arguments(limit, 1)])


def assign(limit: QuotaLimit, used: int, now_ms: int = 0, note: Note = NO_NOTE) -> Call:
    """Sets usage within the period, or begins one (rule 2.12). What fired in the period stays fired."""
    if used < 0:
        raise ValueError(f"used must not be negative, but is {used}")
    return make_call("assign", _verb_keys(limit), [now_ms, *note, used, *_limit_arguments(limit, 1)])


def adopt(limit: QuotaLimit, elsewhere: Snapshot, now_ms: int = 0) -> Call:
    """Takes over what another gateway counted: the greater count stays, so that nothing is given back or taken away."""
    head: Arguments = [now_ms, elsewhere.used, elsewhere.period_start_ms, elsewhere.fired]
    return make_call("adopt", _verb_keys(limit)[:2], head + _limit_arguments(limit, 1))


def _verb_keys(limit: QuotaLimit) -> list[str]:
    bucket = names.bucket_of_counter(limit.counter)
    return [limit.counter, names.dirty(bucket), names.notes(bucket)]


def parse_verb(reply: Reply) -> tuple[Status, int]:
    """(status, units used before) of reset, assign and adopt."""
    try:
        status = Status(reply[0])
        return status, reply[2] if status is Status.JUDGED else 0
    except (TypeError, ValueError, IndexError) as error:
        raise StoreUnavailable(f"the counter store gave an answer that makes no sense: {reply!r}") from error


# --- the outbox -------------------------------------------------------------------------------------------------------


def parse_crossing(entry: Mapping[bytes, bytes]) -> Crossing:
    """A threshold event from the fields of its stream entry. Raises KeyError or ValueError for what is none."""
    return Crossing(
        kind=entry[b"kind"].decode(),
        counter=entry[b"counter"].decode(),
        period_start_ms=int(entry[b"start"]),
        period_end_ms=int(entry[b"end"]),
        threshold=entry[b"threshold"].decode(),
        own=entry[b"own"] == b"1",
        source=entry[b"source"].decode(),
        used=int(entry[b"used"]),
        quota_max=int(entry[b"max"]),
        occurred_at_ms=int(entry[b"at"]),
        context=entry[b"ctx"],
    )
