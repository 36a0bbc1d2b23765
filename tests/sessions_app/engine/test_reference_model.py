"""The Lua against the reference model: whatever happens in whatever order, both must say the same and fire the same."""

from collections import Counter
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessions_app.engine import counters, names, rollup
from sessions_app.engine.store_sync import ServerStore
from sessions_app.engine.types import Grant, Limit, LimitName, QuotaLimit, Status
from tests.sessions_app.engine import reference
from tests.sessions_app.engine.world import (
    consume,
    crossings,
    grant_of,
    key_counter,
    new_organisation,
    peek,
    prepare,
    quota,
    rate,
)

BEGIN_MS = 1_800_000_000_000
EDGES = tuple(BEGIN_MS + 150 * step for step in range(-1, 9))


@dataclass(frozen=True)
class Plan:
    """Limits to be built on counters: (max, period in ms or -1 for a calendar, percents) and (max, window in ms)."""

    key_quota: tuple[int, int, tuple[int, ...]] | None
    key_rate: tuple[int, int] | None
    org_quota: tuple[int, int, tuple[int, ...]] | None
    org_rate: tuple[int, int] | None
    source: str

    def grant(self, organisation: str) -> Grant:
        own, whole = names.subject_counter(organisation, "dev"), names.organisation_counter(organisation)
        limits: list[Limit | None] = [
            self.org_rate and rate(whole, *self.org_rate, name=LimitName.ORG_RATE, source="org"),
            self.org_quota and _quota(whole, self.org_quota, LimitName.ORG_QUOTA, "org"),
            self.key_rate and rate(own, *self.key_rate, source=self.source),
            self.key_quota and _quota(own, self.key_quota, LimitName.KEY_QUOTA, self.source),
        ]
        return grant_of(organisation, [limit for limit in limits if limit])


def _quota(counter: str, plan: tuple[int, int, tuple[int, ...]], name: LimitName, source: str) -> QuotaLimit:
    maximum, period_ms, percents = plan
    edges = EDGES if period_ms < 0 else ()
    return quota(
        counter, maximum, max(0, period_ms), name=name, source=source, boundaries_ms=edges, percents=sorted(percents)
    )


percents = st.lists(st.sampled_from([1, 10, 33, 50, 80, 100]), unique=True, max_size=4).map(tuple)
quotas = st.none() | st.tuples(st.integers(1, 9), st.sampled_from([-1, 0, 1, 90, 400]), percents)
rates = st.none() | st.tuples(st.integers(1, 6), st.sampled_from([1, 30, 100, 45]))
plans = st.builds(Plan, quotas, rates, quotas, rates, st.sampled_from(["key:1", "free", "pro"]))

requests = st.tuples(st.just("request"), st.integers(0, 2), st.sampled_from([1, 1, 1, 2, 5]))
steps = st.one_of(
    requests,
    requests,
    requests,
    st.tuples(st.just("wait"), st.sampled_from([0, 1, 7, 40, 130]), st.none()),
    st.tuples(st.just("clock steps back"), st.sampled_from([1, 20, 60]), st.none()),
    st.tuples(st.just("peek"), st.integers(0, 2), st.none()),
    st.tuples(st.just("reset"), st.integers(0, 2), st.none()),
    st.tuples(st.just("assign"), st.integers(0, 2), st.integers(0, 9)),
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(three=st.tuples(plans, plans, plans), story=st.lists(steps, max_size=40))
def test_the_functions_do_what_the_model_does(
    counters_store: ServerStore, three: tuple[Plan, ...], story: list[tuple[str, int, int]]
) -> None:
    organisation = new_organisation()
    grants = [plan.grant(organisation) for plan in three]
    for grant in grants:
        prepare(counters_store, grant, BEGIN_MS)
    model, now = reference.Store(), BEGIN_MS
    for verb, number, amount in story:
        if verb in ("wait", "clock steps back"):
            now += number if verb == "wait" else -number
        else:
            _act(counters_store, model, grants[number], verb, amount, now)
    _same_events(counters_store, model, grants)
    _same_hours(counters_store, model, grants[0])


def _act(store: ServerStore, model: reference.Store, grant: Grant, verb: str, amount: int, now: int) -> None:
    if verb == "request":
        assert consume(store, grant, now, amount) == reference.consume(model, grant, now, amount)
    elif verb == "peek":
        assert peek(store, grant, now) == reference.consume(model, grant, now, 1, commit=False)
    else:
        for limit in grant.limits:
            if isinstance(limit, QuotaLimit) and not reference.outdated(limit, now):
                call = counters.reset(limit, now) if verb == "reset" else counters.assign(limit, amount, now)
                acted = reference.reset if verb == "reset" else reference.assign
                arguments = (now,) if verb == "reset" else (now, amount)
                assert counters.parse_verb(store.call(call)) == (Status.JUDGED, acted(model, limit, *arguments))


def _same_events(store: ServerStore, model: reference.Store, grants: list[Grant]) -> None:
    """The same events in the same order, and each only once."""
    limits = {limit.counter: limit for grant in grants for limit in grant.limits}
    every = grant_of(grants[0].organisation_id, limits.values())
    written = [(e.counter, e.period_start_ms, e.source, e.threshold, e.used) for e in crossings(store, every)]
    assert written == model.events
    assert max(Counter(event[:4] for event in written).values(), default=1) == 1


def _same_hours(store: ServerStore, model: reference.Store, grant: Grant) -> None:
    hours, _ = rollup.read_hours(store, grant.bucket)
    ours = [hour for hour in hours if hour.key_id == grant.key_id]
    assert (sum(hour.passed for hour in ours), sum(hour.denied for hour in ours)) == (model.passed, model.denied)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    maximum=st.integers(1, 8),
    window_ms=st.sampled_from([10, 100, 1000]),
    gaps=st.lists(st.integers(0, 60), min_size=1, max_size=60),
)
def test_no_aligned_window_admits_more_than_the_rate(
    counters_store: ServerStore, maximum: int, window_ms: int, gaps: list[int]
) -> None:
    organisation = new_organisation()
    grant = grant_of(organisation, [rate(key_counter(organisation), maximum, window_ms)])
    prepare(counters_store, grant)
    now, moments = BEGIN_MS, []
    for gap in gaps:
        now += gap
        moments.append(now)
    readings = counters_store.call_many([counters.consume(grant, 1, moment) for moment in moments])
    admitted = Counter(
        moment // window_ms
        for moment, reply in zip(moments, readings, strict=True)
        if counters.parse_reading(reply, grant).admitted
    )
    assert max(admitted.values()) <= maximum
