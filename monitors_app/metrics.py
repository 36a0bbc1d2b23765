"""The backlog as Prometheus gauges: measured when somebody looks, at most every few seconds."""

import logging
import time

from django.db import DatabaseError
from django.utils import timezone
from prometheus_client import Gauge

from monitors_app.backlog import backlog
from sessions_app.engine.types import StoreUnavailable

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 5.0
UNRELAYED = Gauge("tollgate_outbox_events", "Threshold events that are not in the ledger yet.")
UNRELAYED_AGE = Gauge("tollgate_outbox_oldest_seconds", "Age of the oldest threshold event outside the ledger.")
DUE = Gauge("tollgate_deliveries_due", "Webhooks and e-mails that are due and not being sent.")
DUE_AGE = Gauge("tollgate_deliveries_oldest_due_seconds", "For how long the oldest delivery has been due.")
FAILED = Gauge("tollgate_deliveries_failed", "Webhooks and e-mails that failed for good and are still kept.")

_measured_at = float("-inf")


def measure() -> bool:
    """Sets the gauges; False if they are as good as new. What cannot be asked keeps its last value."""
    global _measured_at
    if time.monotonic() - _measured_at < PAUSE_SECONDS:
        return False
    _measured_at = time.monotonic()
    try:
        found = backlog(timezone.now())
    except (StoreUnavailable, DatabaseError) as error:
        logger.warning("the backlog cannot be measured: %s", error)
        return True
    UNRELAYED.set(found.unrelayed)
    UNRELAYED_AGE.set(found.unrelayed_seconds)
    DUE.set(found.due)
    DUE_AGE.set(found.due_seconds)
    FAILED.set(found.failed)
    return True
