"""When each periodic task last ended well. Who looks after a gateway sees from it that workers and beat are alive."""

from datetime import datetime

from sessions_app.models import PeriodicRun

BEAT = "beat"  # stands among the tasks: when beat began


def record(task: str, ended_at: datetime) -> None:
    """Called with the end of each run of a task that beat starts."""
    PeriodicRun.objects.bulk_create(
        [PeriodicRun(task=task, ended_at=ended_at)],
        update_conflicts=True,
        unique_fields=["task"],
        update_fields=["ended_at"],
    )


def last_runs() -> dict[str, datetime]:
    """By task. One that never ran is missing."""
    return dict(PeriodicRun.objects.values_list("task", "ended_at"))
