"""The gateway's health: each part with its state, and what to do when it is red. The home of the admin shows all of it,
`/readyz` tells what is not good, `/metrics` counts it.
"""

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from threading import Lock

import redis
from django.conf import settings
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException

from gateway_project.celery_settings import beat_schedule, task_routes
from monitors_app.backlog import STUCK_SECONDS, backlog, queue_lengths
from policies_app.durations import wait_text
from sessions_app import periodic_runs
from sessions_app.engine.store_sync import open_store
from sessions_app.engine.types import StoreUnavailable

OK = "ok"
GOOD, WARNING, BAD = "good", "warning", "bad"
PATIENCE = timedelta(seconds=30)  # beside three periods: workers start, and tasks take their time
SNAPSHOTS = "sessions_app.tasks.snapshot_usage"
BROKER_PATIENCE_SECONDS = 2
PROBE_PATIENCE_SECONDS = 0.2  # who asks `/readyz` waits for a second at most, and a broker is nothing to wait for
BROKER_PAUSE_SECONDS = 5  # between two questions to the broker, whoever asks
STORE_TIMEOUT_MS = 1000  # longer than a request's: a slow store is still there


@dataclass(frozen=True, slots=True)
class Check:
    """`advice` is empty unless the state asks for something."""

    name: str
    state: str
    finding: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.finding}." + (f" {self.advice}" if self.advice else "")


# Told by `outages`, which answers in place of every page then: who may look is known to the database alone.
DATABASE_DOWN = Check(
    "Database",
    BAD,
    "does not answer",
    "Requests of keys that were used lately are served and limited, other keys are turned away. Start the database "
    "that DATABASE_URL names, and see that this machine reaches it.",
)
STORE_ADVICE = (
    "APIs that are open on failure pass requests uncounted, the others answer 503. Start the store that REDIS_URL "
    "names, and see that this machine reaches it. Usage comes back from the last snapshots."
)


def checks(now: datetime) -> list[Check]:
    """Asks everything now: a part that is down takes its time-out, so pages ask for this after they are shown.
    Raises DatabaseError.
    """
    state, evicting = store_state()
    if state == OK:
        store = [Check("Counter store", GOOD, "answers"), _eviction(evicting)]
    else:
        store = [Check("Counter store", BAD, state, STORE_ADVICE)]
    return [Check("Database", GOOD, "answers"), *store, *_behind_requests(now, BROKER_PATIENCE_SECONDS)]


def warnings(evicting: list[str], now: datetime) -> list[str]:
    """What is not good beside what makes a process unready, in words, where store and database answer. Asked often: 3
    statements, and next to no time for a broker that hangs. Raises DatabaseError.
    """
    found = [_eviction(evicting), *_behind_requests(now, PROBE_PATIENCE_SECONDS)]
    return [str(check) for check in found if check.state != GOOD]


def _behind_requests(now: datetime, broker_patience_seconds: float) -> Iterator[Check]:
    """What requests do not need: they are served and limited without it."""
    runs = periodic_runs.last_runs()
    yield _broker(broker_patience_seconds)
    yield _workers(runs, now)
    yield from _queues(now)
    yield _snapshots(runs, now)


# --- counter store ----------------------------------------------------------------------------------------------------


def store_state() -> tuple[str, list[str]]:
    """ "ok" or what is wrong, and the eviction policies that may delete counters."""
    try:
        client = _store_client(settings.GATEWAY_STORE_URL)
        client.ping()
        memory = client.info("memory")
    except (redis.RedisError, RedisClusterException, OSError) as error:
        return f"does not answer: {type(error).__name__}", []
    # A cluster answers for each node.
    nodes = [memory] if "maxmemory_policy" in memory else [node for node in memory.values() if isinstance(node, dict)]
    return OK, sorted({str(node.get("maxmemory_policy", "noeviction")) for node in nodes} - {"noeviction"})


@lru_cache(maxsize=1)
def _store_client(store_url: str) -> redis.Redis | RedisCluster:
    """Not the client of the enforcement: its circuit breaker would answer instead of the store."""
    return open_store(store_url, STORE_TIMEOUT_MS).client


def _eviction(policies: list[str]) -> Check:
    if not policies:
        return Check("Eviction", GOOD, "off: counters are never deleted for space")
    advice = "A full store would delete counters, and quotas begin anew. Set maxmemory-policy to noeviction."
    return Check("Eviction", WARNING, f"the store's maxmemory-policy is {', '.join(policies)}", advice)


# --- broker, workers, queues ------------------------------------------------------------------------------------------

_broker_lock = Lock()
_broker_asked: tuple[float, "Future[dict[str, int | None]]"] | None = None


def _asked_broker() -> "Future[dict[str, int | None]]":
    """The answer of the broker, or the wait for it, which all share. In a thread: a broker that hangs keeps its client
    for longer than anybody may wait.
    """
    global _broker_asked
    with _broker_lock:
        now = time.monotonic()
        if _broker_asked and not (_broker_asked[1].done() and now - _broker_asked[0] > BROKER_PAUSE_SECONDS):
            return _broker_asked[1]
        asking = ThreadPoolExecutor(max_workers=1)
        answer = asking.submit(queue_lengths)
        asking.shutdown(wait=False)
        _broker_asked = now, answer
        return answer


def _broker(patience_seconds: float) -> Check:
    try:
        lengths = _asked_broker().result(patience_seconds)
    except TimeoutError:
        lengths = {"": None}
    if None in lengths.values():
        advice = (
            "Requests are unaffected; events wait in the counter store. Start the broker that CELERY_BROKER_URL names."
        )
        return Check("Broker", BAD, "does not answer", advice)
    waiting = {name: length for name, length in lengths.items() if length}
    told = ", ".join(f"{length:,} in {name}" for name, length in waiting.items())
    return Check("Broker", GOOD, f"answers; tasks waiting: {told}" if told else "answers; no task waits")


def _workers(runs: dict[str, datetime], now: datetime) -> Check:
    late = {
        task
        for task, entry in beat_schedule(settings.GATEWAY_SNAPSHOT_SECONDS).items()
        if _is_late(runs, task, entry["schedule"], now)
    }
    if not late:
        return Check("Workers and beat", GOOD, "every periodic task runs in time")
    queues = sorted({(task_routes(task) or {"queue": "celery"})["queue"] for task in late})
    names = ", ".join(sorted(task.rpartition(".")[2] for task in late))
    return Check(
        "Workers and beat",
        BAD,
        f"late: {names}" if runs else "no periodic task has run yet",
        f"Requests are unaffected. See that beat runs, and a worker for the queues {', '.join(queues)}.",
    )


def _is_late(runs: dict[str, datetime], task: str, period_seconds: float, now: datetime) -> bool:
    """A task that never ran counts from the start of beat."""
    last = runs.get(task) or runs.get(periodic_runs.BEAT)
    return last is None or now - last > 3 * timedelta(seconds=period_seconds) + PATIENCE


def _queues(now: datetime) -> Iterator[Check]:
    try:
        waiting = backlog(now)
    except StoreUnavailable:
        yield Check("Outbox", WARNING, "cannot be read while the counter store does not answer")
        return
    yield _queue(
        "Outbox",
        f"{waiting.unrelayed:,} threshold events wait for the ledger",
        waiting.unrelayed_seconds,
        "No event is lost. Does a worker serve the queue relay?",
    )
    yield _queue(
        "Deliveries",
        f"{waiting.due:,} are due",
        waiting.due_seconds,
        "None is lost. Do workers serve the queues deliveries, mail and housekeeping? Is a receiver slow?",
    )


def _queue(name: str, finding: str, oldest_seconds: float, advice: str) -> Check:
    if not oldest_seconds:
        return Check(name, GOOD, "nothing waits")
    finding = f"{finding}, the oldest for {oldest_seconds:,.0f} s"
    return Check(name, BAD, finding, advice) if oldest_seconds >= STUCK_SECONDS else Check(name, GOOD, finding)


def _snapshots(runs: dict[str, datetime], now: datetime) -> Check:
    last = runs.get(SNAPSHOTS)
    advice = "If the counter store lost its data now, usage since then would be lost. See that beat and a worker run."
    if last is None:
        return Check("Snapshots", BAD, "none was taken yet", advice)
    finding = f"taken {wait_text((now - last).total_seconds())} ago"
    is_late = _is_late(runs, SNAPSHOTS, settings.GATEWAY_SNAPSHOT_SECONDS, now)
    return Check("Snapshots", BAD if is_late else GOOD, finding, advice if is_late else "")
