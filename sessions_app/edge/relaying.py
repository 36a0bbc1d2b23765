"""Tells the relay that a threshold was crossed, so that nobody waits for its schedule. Never on the request's path.

The event itself is in the store's outbox already (rule 7.4): a poke that fails costs seconds, not the event.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from celery import current_app
from kombu.exceptions import KombuError

from sessions_app.edge import metrics

RELAY_TASK = "monitors_app.tasks.relay"
RELAY_QUEUE = "relay"

log = logging.getLogger(__name__)
_executor = ThreadPoolExecutor(1, thread_name_prefix="tollgate-relay-poke")
_waiting: set[int] = set()
_lock = Lock()


def poke(bucket: int) -> None:
    """Asks for a relay run of this bucket, soon. Many crossings at once ask once."""
    with _lock:
        if bucket in _waiting:
            return
        _waiting.add(bucket)
    _executor.submit(_send, bucket)


def _send(bucket: int) -> None:
    with _lock:
        _waiting.discard(bucket)  # before sending: a crossing from now on may come too late for this run
    try:
        current_app.send_task(RELAY_TASK, args=[bucket], queue=RELAY_QUEUE)
    except (KombuError, OSError) as error:
        metrics.RELAY_POKE_FAILURES.inc()
        log.warning("the relay was not poked, its schedule will find the event: %s", error)
