"""Engine, relay, ledger and deliveries against a model, killed between any two steps: none lost, none doubled.

A random story of requests, renewals, resets, changed limits and lost counters runs through the real arithmetic of
thresholds, the real counter function, the real relay and the real deliveries, which die wherever a fuse says.
`GATEWAY_MODEL_STEPS=100000` makes the story long; without it there are some thousand steps.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from django.db.models import Case, F, Min, When
from django.db.models.functions import Coalesce, Greatest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from monitors_app import attempts, claims, delivery, ledger, network, outbox, relay, retention, transports, wakeups
from monitors_app.models import Attempt, Delivery, Monitor, Pacing, TriggerEvent
from monitors_app.transports import Answer, Webhook
from organisations_app import sealing
from policies_app.limits import threshold_label
from sessions_app.engine import counters, names, rollup
from sessions_app.engine.store_sync import ServerStore
from sessions_app.engine.types import Grant, Limit, QuotaLimit, Snapshot, Status, Threshold
from sessions_app.grants import thresholds
from sessions_app.watch import Watch
from tests.factories import MonitorFactory
from tests.monitors_app.fuses import Fuse, Network
from tests.sessions_app.engine import reference
from tests.sessions_app.engine.conftest import counters_store as counters_store
from tests.sessions_app.engine.test_reference_model import BEGIN_MS, Plan, quotas, rates
from tests.sessions_app.engine.world import consume, grant_of, new_organisation, prepare

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.services]
STEPS = int(os.environ.get("GATEWAY_MODEL_STEPS", "1500"))
# With pytest-xdist each part may run on a processor of its own.
PARTS = 2
RULES_PER_STORY = 60
PACE_SECONDS = 20
GRANTS = 3
RAW_KEY = "raw-key"
# Asked for by a monitor only: the first by "Fast", the other by one that does not listen any more.
GLOBAL_PERCENTS = (33, 1)

# 7.2 and 10.4 % of 125 are whole numbers that floats miss; 33 % of most quotas is none.
percents = st.lists(st.sampled_from([1, 7.2, 10.4, 12.5, 20, 33, 50, 80, 90, 100]), unique=True, min_size=1, max_size=5)
busy_quotas = st.tuples(
    st.integers(1, 9) | st.just(125), st.sampled_from([-1, 0, 1, 90, 400]), percents.map(tuple)
)  # fmt: skip
plans = st.builds(
    Plan, busy_quotas, st.none() | rates, st.none() | quotas, st.none(), st.sampled_from(["key:1", "free"])
)
fuses = st.none() | st.integers(0, 14)


def exact(quota_max: int, percent: float) -> Threshold:
    """What a threshold must be, by other means than the code's: whole tenths of a percent, divided upwards."""
    return Threshold(
        threshold_label(percent), -(-quota_max * Fraction(str(percent)) // 100), percent not in GLOBAL_PERCENTS
    )


def real(quota_max: int, percents: Sequence[float]) -> tuple[Threshold, ...]:
    """The same threshold, as the code makes it."""
    own = tuple(percent for percent in percents if percent not in GLOBAL_PERCENTS)
    watched = tuple(percent for percent in percents if percent in GLOBAL_PERCENTS)
    return thresholds(quota_max, own, Watch(True, watched))


def at_once(coroutine: Coroutine[Any, Any, None]) -> Future[None]:
    """Instead of the event loop's thread: this network lets nobody wait."""
    done: Future[None] = Future()
    with suppress(StopIteration):
        coroutine.send(None)
    done.set_result(None)
    return done


class Gateway(RuleBasedStateMachine):
    """The whole gateway and what must be true of it."""

    store: ServerStore
    steps = 0
    events = 0

    def __init__(self) -> None:
        super().__init__()
        self.patches = ExitStack()
        self.fuse, self.model = Fuse(), reference.Store()
        self.now_ms, self.clock = BEGIN_MS, datetime(2026, 3, 1, tzinfo=UTC)
        self.network = Network(lambda: self.clock)
        self.recorded = 0
        self._wire()

    def _wire(self) -> None:
        """The real functions, each of them a place to die; a clock; no broker at all: every wake-up call is lost."""
        replaced = self.patches.enter_context
        replaced(patch("django.utils.timezone.now", lambda: self.clock))
        replaced(patch.object(wakeups, "_publish", lambda *args: False))
        replaced(patch.object(transports, "post", self._post))
        replaced(patch.object(network, "start", at_once))
        replaced(patch.object(outbox, "_give_back", self.fuse.unless_dead(outbox._give_back)))
        replaced(patch.object(outbox, "TURN_MS", 1))
        places: tuple[tuple[Any, str], ...] = (
            (outbox, "read"), (outbox, "remove"), (ledger, "record"), (ledger, "audience_of"), (ledger, "_deliveries"),
            (claims, "claim_for"), (claims, "release"), (claims, "hold"), (claims, "take_due"),
            (attempts, "record"), (attempts, "write_attempts"), (attempts, "erase_keys"),
        )  # fmt: skip
        for module, name in places:
            replaced(patch.object(module, name, self.fuse.around(getattr(module, name))))

    async def _post(self, webhook: Webhook) -> Answer:
        answer: Answer = self.fuse.around(self.network.send)(webhook)
        return answer

    @initialize(three=st.tuples(*[plans] * GRANTS))
    def begin(self, three: tuple[Plan, ...]) -> None:
        for model in (Attempt, Delivery, TriggerEvent, Pacing, Monitor):
            model.objects.all().delete()
        self.monitors = [
            MonitorFactory.create(name="Fast", target_path="http://fast.example/", global_trigger_limit=33),
            MonitorFactory.create(name="Paced", target_path="http://paced.example/", event_timeout=PACE_SECONDS),
        ]
        self.organisation = new_organisation()
        self.bucket = names.bucket_of(self.organisation)
        self.store.client.delete(names.outbox(self.bucket), names.dirty(self.bucket))
        self.grants: dict[int, Grant] = {}
        self.expected: dict[int, Grant] = {}
        for number, plan in enumerate(three):
            self._set_limits(number, plan)
        self.snapshots: dict[str, Snapshot] = {}
        self.remembered: dict[str, reference.Counter] = {}

    def _set_limits(self, number: int, plan: Plan) -> None:
        """Two grants of one plan: as the code makes its thresholds, and as they must be."""
        context = {"org": self.organisation, "key": "key_1", "api": "echo", "sealed": sealing.seal(RAW_KEY)}
        limits = plan.grant(self.organisation).limits
        changes = {"event_context": json.dumps(context).encode()}
        self.grants[number] = grant_of(self.organisation, [_watched(limit, plan, real) for limit in limits], **changes)
        self.expected[number] = grant_of(self.organisation, [_watched(limit, plan, _all_exact) for limit in limits])
        prepare(self.store, self.grants[number], self.now_ms)

    def _quotas(self, number: int) -> list[QuotaLimit]:
        quotas = [limit for limit in self.grants[number].limits if isinstance(limit, QuotaLimit)]
        return [limit for limit in quotas if not reference.outdated(limit, self.now_ms)]

    # --- what happens to the gateway ----------------------------------------------------------------------------------

    @rule(number=st.integers(0, GRANTS - 1), cost=st.sampled_from([1, 1, 1, 2, 5]))
    def request(self, number: int, cost: int) -> None:
        Gateway.steps += 1
        expected = reference.consume(self.model, self.expected[number], self.now_ms, cost)
        assert consume(self.store, self.grants[number], self.now_ms, cost) == expected

    @rule(number=st.integers(0, GRANTS - 1), costs=st.lists(st.sampled_from([1, 1, 3]), min_size=2, max_size=8))
    def burst(self, number: int, costs: list[int]) -> None:
        for cost in costs:
            self.request(number, cost)

    @rule(milliseconds=st.sampled_from([1, 7, 40, 130, 400]))
    def time_passes_and_periods_renew(self, milliseconds: int) -> None:
        Gateway.steps += 1
        self.now_ms += milliseconds

    @rule(number=st.integers(0, GRANTS - 1))
    def reset(self, number: int) -> None:
        Gateway.steps += 1
        for limit in self._quotas(number):
            expected = reference.reset(self.model, limit, self.now_ms)
            assert counters.parse_verb(self.store.call(counters.reset(limit, self.now_ms))) == (Status.JUDGED, expected)

    @rule(number=st.integers(0, GRANTS - 1), used=st.integers(0, 9))
    def correct(self, number: int, used: int) -> None:
        Gateway.steps += 1
        for limit in self._quotas(number):
            expected = reference.assign(self.model, limit, self.now_ms, used)
            answer = counters.parse_verb(self.store.call(counters.assign(limit, used, self.now_ms)))
            assert answer == (Status.JUDGED, expected)

    @rule(number=st.integers(0, GRANTS - 1), plan=plans)
    def change_limits(self, number: int, plan: Plan) -> None:
        Gateway.steps += 1
        self._set_limits(number, plan)

    @rule()
    def snapshots_are_taken(self) -> None:
        Gateway.steps += 1
        watched = sorted({limit.counter for grant in self.grants.values() for limit in grant.limits})
        (taken,) = rollup.read_counters(self.store, watched)
        self.snapshots = taken.snapshots
        self.remembered = deepcopy({name: self.model.of(name) for name in taken.snapshots})

    @rule()
    def counters_are_lost(self) -> None:
        """They come back as their snapshots say: usage, period and what fired in it (rule 9.2)."""
        Gateway.steps += 1
        limits = [limit for grant in self.grants.values() for limit in grant.limits if isinstance(limit, QuotaLimit)]
        for limit in {limit.counter: limit for limit in limits if limit.counter in self.snapshots}.values():
            self.store.client.delete(limit.counter)
            self.store.call(counters.restore(limit, self.snapshots[limit.counter], self.now_ms))
            self.model.counters[limit.counter] = deepcopy(self.remembered[limit.counter])
            self.model.counters[limit.counter].windows = {}

    @precondition(lambda self: self.model.events)
    @rule(fuse=st.none() | st.integers(0, 8))
    def relay(self, fuse: int | None) -> None:
        self._run(fuse, lambda: relay.relay(self.bucket))
        self._ledger_is_a_beginning_of_the_model()

    @precondition(lambda self: self.model.events)
    @rule()
    def two_relays_read_the_same_entries(self) -> None:
        Gateway.steps += 1
        for _ in range(2):
            ledger.record(self._crossings())
        self._ledger_is_a_beginning_of_the_model()

    @precondition(lambda self: self.model.events)
    @rule()
    def two_relays_record_at_the_same_moment(self) -> None:
        """Both looked before either wrote: only the database can tell."""
        Gateway.steps += 1
        crossings, look = self._crossings(), ledger._unrecorded

        def look_and_be_overtaken(events: Sequence[TriggerEvent]) -> list[TriggerEvent]:
            unrecorded = look(events)
            with patch.object(ledger, "_unrecorded", look):
                ledger.record(crossings)
            overtaken.enter_context(patch.object(ledger, "_unrecorded", look))
            return unrecorded

        with ExitStack() as overtaken, patch.object(ledger, "_unrecorded", look_and_be_overtaken):
            ledger.record(crossings)
        self._ledger_is_a_beginning_of_the_model()

    def _crossings(self) -> list[Any]:
        return [counters.parse_crossing(entry.fields) for entry in outbox.read(self.bucket, 3)]

    @precondition(lambda self: self.recorded)
    @rule(
        fuse=fuses,
        place=st.integers(0, 50),
        is_well=st.booleans(),
        whichever=st.sampled_from([False, False, True]),
        has_rival=st.booleans(),
    )
    def worker(self, fuse: int | None, place: int, is_well: bool, whichever: bool, has_rival: bool) -> None:
        """A wake-up call may come for any delivery, also for one that is finished or not due, and to two workers."""
        found = Delivery.objects.order_by("pk") if whichever else Delivery.objects.filter(status__in=claims.OPEN)
        waiting = list(found.order_by("pk").values_list("pk", flat=True))
        if waiting:
            self.network.is_well, called = is_well, waiting[place % len(waiting)]
            self.network.meanwhile = (lambda: delivery.deliver(called)) if has_rival else None
            self._run(fuse, lambda: delivery.deliver(called))
            self.network.meanwhile = None

    @precondition(lambda self: self.recorded)
    @rule(fuse=fuses)
    def sweep(self, fuse: int | None) -> None:
        self._run(fuse, self._deliver_all_that_is_due)

    def _deliver_all_that_is_due(self) -> None:
        for pk, _ in claims.take_due(self.clock):
            delivery.deliver(pk)

    @rule(seconds=st.sampled_from([1, 5, 30, 61, 3600, 40_000]))
    def hours_pass(self, seconds: int) -> None:
        Gateway.steps += 1
        self.clock += timedelta(seconds=seconds)

    def _run(self, fuse: int | None, process: Callable[[], Any]) -> None:
        Gateway.steps += 1
        self.network.a_process_begins()
        with self.fuse.burning(fuse, self.network.its_process_died):
            process()
        self.store.client.delete(f"{names.outbox(self.bucket)}:turn")
        assert self.network.complaints == []

    # --- what must be true --------------------------------------------------------------------------------------------

    def _told(self) -> list[tuple[Any, ...]]:
        """The model's events. What a lost counter fires once more is the same event, whatever usage was then."""
        first: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        for event in self.model.events:
            first.setdefault(event[:4], event)
        return list(first.values())

    def _ledger_is_a_beginning_of_the_model(self) -> None:
        new, told = _rows(self.recorded), self._told()
        assert new == told[self.recorded : self.recorded + len(new)]
        self.recorded += len(new)
        assert self.recorded + outbox.length(self.bucket) >= len(told), "an event is in neither place"

    def teardown(self) -> None:
        with self.patches:
            if hasattr(self, "remembered"):
                self._everybody_recovers()
                self._all_is_told_once()
                Gateway.events += len(self.model.events)

    def _everybody_recovers(self) -> None:
        self.network.is_well = True
        relay.relay(self.bucket)
        for _ in range(1_000):
            waits = Case(When(status="sending", then=F("claimed_until")), default=_when_swept())
            soonest = Delivery.objects.filter(status__in=claims.OPEN).aggregate(at=Min(waits))["at"]
            if soonest is None:
                retention.erase_leftover_keys()  # as the task does beside each sweep
                return
            self.clock = max(self.clock, soonest) + claims.SWEEP_GRACE + timedelta(seconds=1)
            self._deliver_all_that_is_due()
        raise AssertionError("deliveries never end")

    def _all_is_told_once(self) -> None:
        assert self.network.complaints == []
        assert _rows() == self._told()
        assert outbox.length(self.bucket) == 0
        told = list(Delivery.objects.select_related("event", "monitor").prefetch_related("attempts").order_by("pk"))
        wanted = [
            (event.pk, monitor.pk)
            for event in TriggerEvent.objects.all()
            for monitor in self.monitors
            if event.is_own or threshold_label(monitor.global_trigger_limit) == event.threshold
        ]
        assert Counter((each.event_id, each.monitor_id) for each in told) == Counter(wanted)
        for each in told:
            self._is_what_the_receiver_saw(each)
        assert not TriggerEvent.objects.exclude(key_sealed="").exists()
        self._order_and_pace_are_kept(told)

    def _is_what_the_receiver_saw(self, told: Delivery) -> None:
        """With eight attempts over hours some failed for good; what is said to be delivered was."""
        sent, event = self.network.times[told.message_id], told.event
        assert told.status in ("delivered", "failed")
        if told.status == "delivered":
            assert self.network.accepted[told.message_id] > 0
        else:
            assert self.network.accepted[told.message_id] <= self.network.forgotten[told.message_id]
        assert [attempt.number for attempt in told.attempts.all()] == list(range(1, told.attempt_count + 1))
        assert 1 <= told.attempt_count <= 8
        assert told.attempt_count <= sent <= told.attempt_count + self.network.forgotten[told.message_id]
        assert self.network.accepted[told.message_id] <= 1 + self.network.forgotten[told.message_id]
        assert event is not None
        assert self.network.documents(told.message_id) == [
            {
                "event": "TriggerExceeded",
                "message": "Quota trigger reached",
                "org": self.organisation,
                "key": RAW_KEY if event.kind == "key" else "",
                "trigger_limit": event.threshold,
            }
        ]

    def _order_and_pace_are_kept(self, told: list[Delivery]) -> None:
        for monitor in self.monitors:
            for subject in {each.subject for each in told}:
                mine = [each for each in told if each.monitor_id == monitor.pk and each.subject == subject]
                at = [self.network.first_at[each.message_id] for each in mine]
                pace = timedelta(seconds=monitor.event_timeout)
                assert all(later - earlier >= pace for earlier, later in pairwise(at))


def _watched(limit: Limit, plan: Plan, made: Callable[[int, Sequence[float]], tuple[Threshold, ...]]) -> Limit:
    """The same limit with its thresholds made anew."""
    if not isinstance(limit, QuotaLimit):
        return limit
    quota = plan.org_quota if limit.source == "org" else plan.key_quota
    assert quota is not None
    return replace(limit, thresholds=made(limit.max, quota[2]))


def _all_exact(quota_max: int, percents: Sequence[float]) -> tuple[Threshold, ...]:
    return tuple(exact(quota_max, percent) for percent in sorted(percents))


def _rows(skipped: int = 0) -> list[tuple[Any, ...]]:
    fields = ("counter", "period_start_ms", "source", "threshold", "used")
    return list(TriggerEvent.objects.order_by("pk").values_list(*fields)[skipped:])


def _when_swept() -> Any:
    """A delivery that was woken is left alone for a while."""
    return Greatest(F("next_attempt_at"), Coalesce(F("claimed_until"), F("next_attempt_at")))


@pytest.mark.parametrize("part", range(PARTS))
def test_none_is_lost_and_none_doubled_whoever_dies_whenever(part, counters_store, store, capsys):
    Gateway.store = counters_store
    Gateway.steps = Gateway.events = 0
    wanted = STEPS // PARTS
    options = hypothesis_settings(
        max_examples=max(1, wanted // RULES_PER_STORY),
        stateful_step_count=RULES_PER_STORY,
        deadline=None,
        database=None,
        derandomize=False,  # a story of its own each time, also in CI
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    # A story in which hardly anything is told proves nothing.
    while Gateway.steps < wanted or Gateway.events < wanted // 50:
        run_state_machine_as_test(Gateway, settings=options)
    with capsys.disabled():
        print(f"\n{Gateway.steps} steps, {Gateway.events} events, each told once")
