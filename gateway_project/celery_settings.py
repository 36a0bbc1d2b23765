"""What Celery runs, where and when: queues by task name, the beat schedule, and options of each kind of broker."""

from typing import Any
from urllib.parse import urlsplit

# Deliveries wait for strangers' servers: a worker of their own runs them, so that the relay never waits behind them.
# The other queues are short and quick; `mail` is slow only when the mail server is.
DELIVERY_QUEUES = ("deliveries",)
OTHER_QUEUES = ("relay", "housekeeping", "mail", "celery")
QUEUES = (*OTHER_QUEUES, *DELIVERY_QUEUES)

# A task killed with its worker is handed out again after this long. No task runs longer than a delivery attempt
# (10 s), and the database's own claims say who may work, so an early second hand-out is harmless.
REDELIVER_AFTER_SECONDS = 120


def task_routes(name: str, *_args: Any, **_kwargs: Any) -> dict[str, str] | None:
    """The queue of a task.

    Slow targets fill `deliveries`, slow mail servers `mail`; neither may hold up `relay` or the sweep of both.
    """
    app, _, function = name.rpartition(".tasks.")
    if not app:
        return None
    if "relay" in function:
        return {"queue": "relay"}
    if "mail" in function or "digest" in function:
        return {"queue": "mail"}
    if "deliver" in function and not function.startswith("sweep"):
        return {"queue": "deliveries"}
    return {"queue": "housekeeping"}


def beat_schedule(snapshot_seconds: int) -> dict[str, dict[str, Any]]:
    """Every periodic task. A run that no worker took before the next one is due expires, so that none pile up."""
    every_seconds = {
        "monitors_app.tasks.relay_all": 5,
        "monitors_app.tasks.sweep_deliveries": 2,
        "monitors_app.tasks.prune": 3600,
        "sessions_app.tasks.snapshot_usage": snapshot_seconds,
        "sessions_app.tasks.roll_up_usage": 15,
        "sessions_app.tasks.sweep_usage": 900,
        "sessions_app.tasks.sweep_corrections": 60,
        "sessions_app.tasks.publish_pending": 5,
        "organisations_app.tasks.sweep_jobs": 30,
    }
    return {
        task: {"task": task, "schedule": float(seconds), "options": {"expires": seconds}}
        for task, seconds in every_seconds.items()
    }


def broker_options(broker_url: str) -> dict[str, Any]:
    """Transport options: who publishes a task gives up within about a second when the broker is gone (rule 9.4)."""
    scheme = urlsplit(broker_url).scheme
    give_up = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1}
    if scheme.startswith("amqp"):
        return give_up | {"confirm_publish": True, "connect_timeout": 1, "read_timeout": 5, "write_timeout": 5}
    if scheme == "memory":
        return {}
    return give_up | {
        "visibility_timeout": REDELIVER_AFTER_SECONDS,
        "socket_connect_timeout": 1,
        "socket_timeout": 5,  # above the one second for which a worker's BRPOP waits
        "socket_keepalive": True,
    }
