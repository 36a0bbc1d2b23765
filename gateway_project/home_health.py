"""The gateway's health for people: each part with its state, and what to do when it is red."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from gateway_project.celery_settings import beat_schedule, task_routes
from gateway_project.health import OK, store_state
from monitors_app.backlog import STUCK_SECONDS, backlog, queue_lengths
from policies_app.durations import wait_text
from sessions_app import periodic_runs
from sessions_app.engine.types import StoreUnavailable

GOOD, WARNING, BAD = "good", "warning", "bad"
PATIENCE = timedelta(seconds=30)  # beside three periods: workers start, and tasks take their time
SNAPSHOTS = "sessions_app.tasks.snapshot_usage"
BROKER_PATIENCE_SECONDS = 2


@dataclass(frozen=True, slots=True)
class Check:
    """`advice` is empty unless the state asks for something."""

    name: str
    state: str
    finding: str
    advice: str = ""


# Told by `outages`, which answers in place of every page then: who may look is known to the database alone.
DATABASE_DOWN = Check(
    "Database",
    BAD,
    "does not answer",
    "Requests of keys that were used lately are served and limited, other keys are turned away. Start the database "
    "that DATABASE_URL names, and see that this machine reaches it.",
)


def checks(now: datetime) -> list[Check]:
    """Asks everything now: a part that is down takes its time-out, so pages ask for this after they are shown.
    Raises DatabaseError.
    """
    runs = periodic_runs.last_runs()
    found = [Check("Database", GOOD, "answers"), *_store(), _broker(), _workers(runs, now)]
    return [*found, *_queues(now), _snapshots(runs, now)]


def _store() -> Iterator[Check]:
    state, warnings = store_state()
    if state != OK:
        yield Check(
            "Counter store",
            BAD,
            state,
            "APIs that are open on failure pass requests uncounted, the others answer 503. Start the store that "
            "REDIS_URL names, and see that this machine reaches it. Usage comes back from the last snapshots.",
        )
        return
    yield Check("Counter store", GOOD, "answers")
    if warnings:
        advice = "A full store would delete counters, and quotas begin anew. Set maxmemory-policy to noeviction."
        yield Check("Eviction", WARNING, "; ".join(warnings), advice)
    else:
        yield Check("Eviction", GOOD, "off: counters are never deleted for space")


def _broker() -> Check:
    """In a thread: a broker that hangs keeps its client for longer than a page may wait."""
    asking = ThreadPoolExecutor(max_workers=1)
    try:
        lengths = asking.submit(queue_lengths).result(BROKER_PATIENCE_SECONDS)
    except TimeoutError:
        lengths = {"": None}
    finally:
        asking.shutdown(wait=False)
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
