"""Jobs: one act on so many keys that no request can wait for it. A worker does them lot by lot.

A lot is one transaction: its acts, what is left to do, and the numbers that people see. A worker that dies loses the
lot it was at, and the sweep hands the job to another one.
"""

import logging
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from celery import current_app
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from kombu.exceptions import KombuError

from organisations_app.audit import Actor
from organisations_app.documents import DocumentError
from sessions_app.engine.types import StoreUnavailable
from sessions_app.key_acts import ACTS
from sessions_app.models import Key, KeyJob, KeyJobItem

log = logging.getLogger(__name__)

TASK = "sessions_app.tasks.work_on_keys"
KEYS_PER_LOT = 100
SECONDS_PER_TURN = 20  # then the queue's other tasks have theirs
CLAIM = timedelta(seconds=60)
MOST_ERRORS_KEPT = 50
KEPT = timedelta(days=30)


@transaction.atomic
def start(act: str, keys: QuerySet[Key], by: Actor, reason: str, given: Mapping[str, Any]) -> KeyJob:
    """A job for all of `keys`, noted in one statement; a worker begins when the transaction commits."""
    job = KeyJob.objects.create(act=act, given=dict(given), reason=reason, actor=by.name)
    chosen, values = keys.order_by().values("id").query.sql_with_params()
    table = KeyJobItem._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (job_id, key_id) SELECT %s, chosen.id FROM ({chosen}) AS chosen",  # noqa: S608 - Django's
            [job.pk, *values],
        )
    job.total = job.items.count()
    job.save(update_fields=["total"])
    transaction.on_commit(lambda: wake(job.pk))
    return job


def wake(job_id: int) -> None:
    """Only a hint: what the broker loses, the sweep finds."""
    try:
        current_app.send_task(TASK, args=[job_id], queue="housekeeping")
    except (KombuError, OSError) as error:
        log.warning("broker did not take a job on keys; the sweep will start it: %s", error)


def sweep() -> None:
    """Wakes jobs that nobody works on, and forgets old ones."""
    now = timezone.now()
    KeyJob.objects.filter(finished_at__lt=now - KEPT).delete()
    for job_id in KeyJob.objects.filter(_unclaimed(), finished_at=None).values_list("pk", flat=True):
        wake(job_id)


def work(job_id: int) -> None:
    """One turn at a job. Does nothing while another worker is at it."""
    if not _claim(job_id):
        return
    end = time.monotonic() + SECONDS_PER_TURN
    try:
        while time.monotonic() < end:
            if _finished_after_lot(job_id):
                return
    except StoreUnavailable as error:
        log.warning("a job on keys waits for the counter store: %s", error)
        return  # the claim runs out, and the sweep tries again
    KeyJob.objects.filter(pk=job_id).update(claimed_until=None)
    wake(job_id)


def _unclaimed() -> Q:
    return Q(claimed_until=None) | Q(claimed_until__lt=timezone.now())


def _claim(job_id: int) -> bool:
    free = KeyJob.objects.filter(_unclaimed(), pk=job_id, finished_at=None)
    return bool(free.update(claimed_until=timezone.now() + CLAIM))


@transaction.atomic
def _finished_after_lot(job_id: int) -> bool:
    job = KeyJob.objects.select_for_update().get(pk=job_id)
    items = list(job.items.order_by("pk")[:KEYS_PER_LOT])
    keys = Key.objects.select_related("organisation").in_bulk([item.key_id for item in items])
    for item in items:
        _act_on(job, item.key_id, keys.get(item.key_id))
    job.items.filter(pk__in=[item.pk for item in items]).delete()
    job.done += len(items)
    job.claimed_until = timezone.now() + CLAIM
    if len(items) < KEYS_PER_LOT:
        job.claimed_until, job.finished_at = None, timezone.now()
    job.save()
    return job.finished_at is not None


def _act_on(job: KeyJob, key_id: str, key: Key | None) -> None:
    try:
        if key is None:
            raise ValidationError("The key does not exist any more.")
        with transaction.atomic():
            ACTS[job.act].do(key, Actor(job.actor), job.reason, job.given)
    except (ValidationError, DocumentError) as error:
        job.failed += 1
        if len(job.errors) < MOST_ERRORS_KEPT:
            job.errors.append([key_id, words_of(error)])


def words_of(error: ValidationError | DocumentError) -> str:
    """What is wrong, for people."""
    return " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
