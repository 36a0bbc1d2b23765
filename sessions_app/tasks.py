"""Housekeeping of the counter store. Each task may be repeated, and a run that finds the store down leaves its work
to the next.
"""

import logging

from celery import shared_task

from organisations_app import versions
from sessions_app import correction_notes, history
from sessions_app.engine.names import BUCKETS
from sessions_app.engine.types import StoreUnavailable
from sessions_app.publishing import publish
from sessions_app.store import sync_store

log = logging.getLogger(__name__)


@shared_task
def snapshot_usage() -> None:
    """Copies changed counters to the database (rule 9.2)."""
    try:
        for bucket in range(BUCKETS):
            history.copy_counters(sync_store(), bucket)
    except StoreUnavailable as error:
        log.warning("no snapshot of usage was taken: %s", error)


@shared_task
def roll_up_usage() -> None:
    """Copies usage by the hour to the database."""
    try:
        for bucket in range(BUCKETS):
            history.copy_hours(sync_store(), bucket)
    except StoreUnavailable as error:
        log.warning("hourly usage was not copied: %s", error)


@shared_task
def sweep_usage() -> None:
    """Lets the store forget the hours that are copied and gone by."""
    try:
        for bucket in range(BUCKETS):
            history.copy_all_hours(sync_store(), bucket)
    except StoreUnavailable as error:
        log.warning("hourly usage was not swept: %s", error)


@shared_task
def sweep_corrections() -> None:
    """Enters corrections of usage in the audit whose process died before it could (rule 2.10)."""
    try:
        entered = correction_notes.enter_left_behind()
    except StoreUnavailable as error:
        log.warning("corrections of usage were not swept: %s", error)
    else:
        if entered:
            log.warning("%d corrections of usage got their audit entry late", entered)


@shared_task
def publish_pending() -> None:
    """Publishes configuration whose process died, or whose store was down, before it could (rule 1.5)."""
    if scopes := versions.unpublished():
        publish(scopes)
