"""Telling a worker that a delivery is due.

Only a hint: what the broker loses, the sweep finds in the database (rule 9.4).
"""

import logging

from celery import current_app
from kombu.exceptions import KombuError
from prometheus_client import Counter

from monitors_app.models import Delivery

logger = logging.getLogger(__name__)

DELIVER = "monitors_app.tasks.deliver"
QUEUES = {Delivery.Channel.WEBHOOK.value: "deliveries", Delivery.Channel.EMAIL.value: "mail"}
# Longer waits stay in the database: a worker would keep them in memory, and lose them with it.
MAX_COUNTDOWN_SECONDS = 60
LOST = Counter("tollgate_wakeups_lost_total", "Wake-up calls that the broker did not take.")


def wake(delivery_id: int, channel: str, wait_seconds: float = 0) -> bool:
    """Asks for `deliver(delivery_id)` after this wait.

    False if the wait is the sweep's, or the broker did not take it.
    """
    if wait_seconds > MAX_COUNTDOWN_SECONDS:
        return False
    return _publish(DELIVER, delivery_id, QUEUES[channel], wait_seconds)


def _publish(task: str, row_id: int, queue: str, wait_seconds: float) -> bool:
    try:
        # With the settings' one quick retry: a broker closes idle connections, and the first call on one is lost.
        current_app.send_task(task, args=[row_id], queue=queue, countdown=wait_seconds or None)
    except (KombuError, OSError) as error:
        LOST.inc()
        logger.warning(
            "broker did not take a wake-up call", extra={"task_name": task, "row": row_id, "problem": str(error)}
        )
        return False
    return True
