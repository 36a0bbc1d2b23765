"""Engine, relay, ledger and deliveries against a model, killed between any two steps: none lost, none doubled.

A random story of requests, renewals, resets and changed limits runs through the real counter function, the real relay
and the real deliveries, which die wherever a fuse says. `GATEWAY_MODEL_STEPS=100000` makes the story long; without it
there are some thousand steps.
"""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from django.db.models import Count
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from monitors_app import attempts, claims, delivery, ledger, outbox, relay, retention, transports, wakeups
from monitors_app.models import Attempt, Delivery, Monitor, Pacing, TriggerEvent
from monitors_app.transports import Answer, TransportError, Webhook
from organisations_app import sealing
from policies_app.limits import threshold_label
from sessions_app.engine import counters, names
from sessions_app.engine.store_sync import ServerStore
from sessions_app.engine.types import Grant, QuotaLimit, Status
from tests.factories import MonitorFactory
from tests.sessions_app.engine import reference
from tests.sessions_app.engine.conftest import counters_store as counters_store
from tests.sessions_app.engine.test_reference_model import BEGIN_MS, Plan, quotas, rates
from tests.sessions_app.engine.world import consume, grant_of, new_organisation, prepare

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.services]
STEPS = int(os.environ.get("GATEWAY_MODEL_STEPS", "1500"))
STEPS_PER_STORY = 50
PACE_SECONDS = 20
GRANTS = 3


class Killed(BaseException):
    """kill -9: no handler of ours runs; the database rolls back what was not committed."""


class Fuse:
    """Kills before or after one of the steps that it was wrapped around."""

    def __init__(self) -> None:
        self.left: int | None = None

    @contextmanager
    def burning(self, steps: int | None) -> Iterator[None]:
        """The process that runs inside lives for this many half steps; None: to its end."""
        self.left = steps
        with suppress(Killed):
            yield
        self.left = None

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            self._tick()
            result = function(*args, **kwargs)
            self._tick()
            return result

        return step

    def unless_dead(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """For what runs while an exception passes: a killed process would not."""
        return lambda *args: None if self.left == -1 else function(*args)

    def _tick(self) -> None:
        if self.left is None:
            return
        self.left -= 1
        if self.left < 0:
            self.left = -1
            raise Killed


class Network:
    """Takes webhooks and remembers them; answers what it is told to."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now, self.is_well = now, True
        self.times: Counter[str] = Counter()
        self.bodies: dict[str, set[bytes]] = defaultdict(set)
        self.first_at: dict[str, datetime] = {}

    def send(self, webhook: Webhook) -> Answer:
        message_id = webhook.headers["webhook-id"]
        self.times[message_id] += 1
        self.bodies[message_id].add(webhook.body)
        self.first_at.setdefault(message_id, self.now())
        if not self.is_well:
            raise TransportError("out of order", answer=Answer(500))
        return Answer(200)


percents = st.lists(st.sampled_from([1, 10, 20, 33, 50, 80, 90, 100]), unique=True, min_size=1, max_size=5).map(tuple)
busy_quotas = st.tuples(st.integers(1, 9), st.sampled_from([-1, 0, 1, 90, 400]), percents)
plans = st.builds(
    Plan, busy_quotas, st.none() | rates, st.none() | quotas, st.none(), st.sampled_from(["key:1", "free"])
)
fuses = st.none() | st.integers(0, 14)


class Gateway(RuleBasedStateMachine):
    """The whole gateway and what must be true of it."""

    store: ServerStore
    steps = 0
    events = 0
    kills = 0

    def __init__(self) -> None:
        super().__init__()
        self.patches = ExitStack()
        self.fuse, self.model = Fuse(), reference.Store()
        self.now_ms, self.clock = BEGIN_MS, datetime(2026, 3, 1, tzinfo=UTC)
        self.network = Network(lambda: self.clock)
        self._wire()

    def _wire(self) -> None:
        """The real functions, each of them a place to die; a clock; no broker at all: every wake-up call is lost."""
        replace = self.patches.enter_context
        replace(patch("django.utils.timezone.now", lambda: self.clock))
        replace(patch.object(wakeups, "_publish", lambda *args: False))
        replace(patch.object(transports, "send", self.fuse.around(self.network.send)))
        replace(patch.object(outbox, "_give_back", self.fuse.unless_dead(outbox._give_back)))
        replace(patch.object(outbox, "TURN_MS", 1))
        places: tuple[tuple[Any, str], ...] = (
            (outbox, "read"), (outbox, "remove"), (ledger, "record"), (ledger, "audience_of"),
            (claims, "claim"), (claims, "take_due"), (attempts, "record"), (attempts, "write_attempt"),
            (attempts, "erase_key"),
        )  # fmt: skip
        for module, name in places:
            replace(patch.object(module, name, self.fuse.around(getattr(module, name))))

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
        self.store.client.delete(names.outbox(self.bucket))
        self.grants = [self._grant(plan) for plan in three]

    def _grant(self, plan: Plan) -> Grant:
        context = {"org": self.organisation, "key": "key_1", "api": "echo", "sealed": sealing.seal("raw-key")}
        grant = grant_of(
            self.organisation, plan.grant(self.organisation).limits, event_context=json.dumps(context).encode()
        )
        prepare(self.store, grant, self.now_ms)
        return grant

    def _quotas(self, number: int) -> list[QuotaLimit]:
        quotas = [limit for limit in self.grants[number].limits if isinstance(limit, QuotaLimit)]
        return [limit for limit in quotas if not reference.outdated(limit, self.now_ms)]

    # --- what happens to the gateway ----------------------------------------------------------------------------------

    @rule(number=st.integers(0, GRANTS - 1), cost=st.sampled_from([1, 1, 1, 2, 5]))
    def request(self, number: int, cost: int) -> None:
        Gateway.steps += 1
        expected = reference.consume(self.model, self.grants[number], self.now_ms, cost)
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
        self.grants[number] = self._grant(plan)

    @precondition(lambda self: outbox.length(self.bucket) > 0)
    @rule(fuse=st.none() | st.integers(0, 8))
    def relay(self, fuse: int | None) -> None:
        self._run(fuse, lambda: relay.relay(self.bucket))
        self._ledger_is_a_beginning_of_the_model()

    @rule()
    def two_relays_read_the_same_entries(self) -> None:
        Gateway.steps += 1
        for _ in range(2):
            ledger.record([counters.parse_crossing(entry.fields) for entry in outbox.read(self.bucket, 3)])
        self._ledger_is_a_beginning_of_the_model()

    @precondition(lambda self: TriggerEvent.objects.exists())
    @rule(fuse=fuses, place=st.integers(0, 50), is_well=st.booleans())
    def worker(self, fuse: int | None, place: int, is_well: bool) -> None:
        waiting = list(Delivery.objects.filter(status__in=claims.OPEN).order_by("pk").values_list("pk", flat=True))
        if waiting:
            self.network.is_well = is_well
            self._run(fuse, lambda: delivery.deliver(waiting[place % len(waiting)]))

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
        with self.fuse.burning(fuse):
            process()
        self.store.client.delete(f"{names.outbox(self.bucket)}:turn")

    # --- what must be true --------------------------------------------------------------------------------------------

    def _recorded(self) -> list[tuple[Any, ...]]:
        fields = ("counter", "period_start_ms", "source", "threshold", "used")
        return list(TriggerEvent.objects.order_by("pk").values_list(*fields))

    def _ledger_is_a_beginning_of_the_model(self) -> None:
        recorded = self._recorded()
        assert recorded == self.model.events[: len(recorded)]
        waiting = outbox.length(self.bucket)
        assert len(recorded) + waiting >= len(self.model.events), "an event is in neither place"

    def teardown(self) -> None:
        with self.patches:
            if hasattr(self, "grants"):
                self._everybody_recovers()
                self._all_is_told_once()
                Gateway.events += len(self.model.events)

    def _everybody_recovers(self) -> None:
        self.network.is_well = True
        relay.relay(self.bucket)
        for _ in range(10_000):
            if not Delivery.objects.filter(status__in=claims.OPEN).exists():
                retention.erase_leftover_keys()  # as the task does beside each sweep
                return
            self.clock += timedelta(seconds=PACE_SECONDS)
            for pk, _ in claims.take_due(self.clock):
                delivery.deliver(pk)
        raise AssertionError("deliveries never end")

    def _all_is_told_once(self) -> None:
        assert self._recorded() == self.model.events
        assert outbox.length(self.bucket) == 0
        told = Delivery.objects.order_by("pk").values_list("event", "monitor", "message_id", "status", "attempt_count")
        wanted = [
            (event.pk, monitor.pk)
            for event in TriggerEvent.objects.all()
            for monitor in self.monitors
            if event.is_own or threshold_label(monitor.global_trigger_limit) == event.threshold
        ]
        assert Counter((event, monitor) for event, monitor, *_ in told) == Counter(wanted)
        # With eight attempts over hours some failed for good; what is said to be delivered was.
        assert {status for *_, status, _ in told} <= {"delivered", "failed"}
        assert all(1 <= count <= self.network.times[message_id] for _, _, message_id, _, count in told)
        assert all(len(bodies) == 1 for bodies in self.network.bodies.values()), "each attempt says the same"
        assert not Delivery.objects.annotate(tried=Count("attempts")).exclude(tried__in=range(1, 9)).exists()
        assert not TriggerEvent.objects.exclude(key_sealed="").exists()
        self._order_and_pace_are_kept(told)

    def _order_and_pace_are_kept(self, told: Any) -> None:
        for monitor in self.monitors:
            for subject in Delivery.objects.values_list("subject", flat=True).distinct():
                mine = Delivery.objects.filter(monitor=monitor, subject=subject).order_by("pk")
                at = [self.network.first_at[message_id] for message_id in mine.values_list("message_id", flat=True)]
                pace = timedelta(seconds=monitor.event_timeout)
                assert all(later - earlier >= pace for earlier, later in pairwise(at))


def test_none_is_lost_and_none_doubled_whoever_dies_whenever(counters_store, store, capsys):
    Gateway.store = counters_store
    Gateway.steps = Gateway.events = 0
    options = hypothesis_settings(
        max_examples=max(1, STEPS // STEPS_PER_STORY),
        stateful_step_count=STEPS_PER_STORY,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    while Gateway.steps < STEPS:
        run_state_machine_as_test(Gateway, settings=options)
    assert Gateway.events > Gateway.steps // 50, "a story in which hardly anything is told proves nothing"
    with capsys.disabled():
        print(f"\n{Gateway.steps} steps, {Gateway.events} events, each told once")
