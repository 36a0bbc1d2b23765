"""Remembers when each periodic task ended well, for the health that the admin shows."""

from typing import Any

from celery.signals import beat_init, task_success
from django.conf import settings
from django.utils import timezone

from sessions_app import periodic_runs


@task_success.connect
def record_run(sender: Any, **_: Any) -> None:
    if sender.name in settings.CELERY_BEAT_SCHEDULE:
        periodic_runs.record(sender.name, timezone.now())


@beat_init.connect
def record_start(**_: Any) -> None:
    """A task that never ran is late only when beat has been there for long enough."""
    periodic_runs.record(periodic_runs.BEAT, timezone.now())
