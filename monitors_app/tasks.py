"""The worker's entrances.

Arguments are ids only; every task may run twice, late, or not at all, and nothing is lost (rule 9.4).
"""

import logging
from typing import Any

from celery import shared_task
from celery.signals import worker_shutdown
from django.utils import timezone

from monitors_app import delivery, retention, rounds, transports
from monitors_app import relay as relaying
from sessions_app.engine.types import StoreUnavailable

logger = logging.getLogger(__name__)


@shared_task
def relay(bucket: int) -> None:
    """Poked by the request that crossed a threshold."""
    try:
        relaying.relay(bucket)
    except StoreUnavailable as error:
        logger.warning("relay waits for the counter store: %s", error)


@shared_task
def relay_all() -> None:
    try:
        relaying.relay_all()
    except StoreUnavailable as error:
        logger.warning("relay waits for the counter store: %s", error)


@shared_task
def deliver(delivery_id: int) -> None:
    delivery.deliver(delivery_id)


@shared_task
def sweep_deliveries() -> None:
    delivery.sweep()
    retention.erase_leftover_keys()


@shared_task
def prune() -> None:
    retention.prune(timezone.now())


@worker_shutdown.connect
def wait_for_late_answers(**_: Any) -> None:
    """What is still under way ends by itself soon; else it would be sent again by another worker."""
    rounds.late.drain(transports.TOTAL_SECONDS)
