"""The gateway's health as a Prometheus gauge, for who alerts on it without reading `/readyz`."""

from django.db import DatabaseError, close_old_connections
from django.utils import timezone
from prometheus_client import Gauge

from gateway_project.health_checks import DATABASE_DOWN, GOOD, Check, checks
from monitors_app import metrics as backlog_metrics

IS_GOOD = Gauge(
    "tollgate_part_good", "1 for each part that the home of the admin shows green, 0 for yellow and red.", ["part"]
)


def measure() -> None:
    """Sets all gauges that somebody has to ask for, unless they are as good as new. To be called in a thread."""
    try:
        if backlog_metrics.measure():
            _show(_found())
    finally:
        close_old_connections()


def _found() -> list[Check]:
    try:
        return checks(timezone.now())
    except DatabaseError:
        return [DATABASE_DOWN]


def _show(found: list[Check]) -> None:
    """What could not be looked at keeps its last value."""
    for check in found:
        IS_GOOD.labels(check.name).set(check.state == GOOD)
