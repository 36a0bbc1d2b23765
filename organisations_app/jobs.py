"""Jobs: work that no request can wait for. A worker does them lot by lot.

A lot is prepared, which may take calls of the network, and then finished: one transaction for what it writes, what is
left to do, and the numbers that people see. A worker that dies loses the lot that it was at, and the sweep hands the
job to another one. So preparing a lot again must do nothing twice.

Who stops a job only says so: the worker ends it after the lot that it is at, so that what was done is known.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from celery import current_app
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from kombu.exceptions import KombuError

from organisations_app import audit
from organisations_app.audit import Actor, Subject
from organisations_app.models import Job

log = logging.getLogger(__name__)

TASK = "organisations_app.tasks.work_on_job"
SECONDS_PER_TURN = 20  # then the queue's other tasks have theirs
CLAIM = timedelta(seconds=60)
MOST_ERRORS_KEPT = 50
KEPT = timedelta(days=30)


class Later(Exception):
    """The lot cannot be done now, as when the counter store is down. The job waits for the sweep."""


class Failed(Exception):
    """The job cannot be done, now or later; the words are for people."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What the jobs of an act do. `title` and `unit` ("keys", "rows") are for people; the pages of these jobs belong to
    the admin of `model`.

    `prepare` answers the next lot, outside of any transaction; it may raise Later or Failed. `finish` does it and moves
    the job's numbers, in the transaction that saves the job; it answers whether that was the last lot. `forget` removes
    what was written down for a job that ends early; one that must not is not `can_stop`. `if_stopped` says what becomes
    of what was begun.
    """

    title: str
    unit: str
    model: str
    prepare: Callable[[Job], Any]
    finish: Callable[[Job, Any], bool]
    forget: Callable[[Job], object] = lambda job: None
    can_stop: bool = True
    if_stopped: str = "What was done stays done; the rest is not done."


_kinds: dict[str, Kind] = {}


def register(act: str, kind: Kind) -> None:
    """Called once for each act, at start."""
    _kinds[act] = kind


def kind_of(job: Job) -> Kind:
    """Of an act that this release does not know, one that fails."""
    return _kinds.get(job.act) or Kind(f"“{job.act}”", "steps", "", partial(_refuse, job.act), lambda job, _: True)


def belonging_to(model: str) -> Q:
    """Jobs of the acts that belong to the admin of `model`. Those of unknown acts are shown by all, lest by none."""
    here = [act for act, kind in _kinds.items() if kind.model == model]
    return Q(act__in=here) | ~Q(act__in=list(_kinds))


def _refuse(act: str, job: Job) -> None:
    raise Failed(
        f"This release does not know the act “{act}”: an older or a newer one began it. If it is still wanted, "
        "begin it anew once all servers and workers run the same release."
    )


@transaction.atomic
def start(act: str, by: Actor, reason: str, given: Mapping[str, Any]) -> Job:
    """A worker begins when the transaction commits."""
    job = Job.objects.create(act=act, given=dict(given), reason=reason[:500], actor=by.name)
    transaction.on_commit(lambda: wake(job.pk))
    return job


@transaction.atomic
def stop(job: Job, by: Actor, reason: str) -> bool:
    """Whoever works on the job ends it after its lot, else the next worker does. False if it has ended, is being
    stopped, or must not be.
    """
    going_on = Job.objects.filter(pk=job.pk, finished_at=None, stop_asked_by="")
    if not kind_of(job).can_stop or not going_on.update(stop_asked_by=by.name):
        return False
    seen = {"act": job.act, "begun_by": job.actor, "done": job.done, "total": job.total}
    audit.record(by, "stop", Subject("job", str(job.pk), ""), reason, before=seen)
    transaction.on_commit(lambda: wake(job.pk))
    return True


def wake(job_id: int) -> None:
    """Only a hint: what the broker loses, the sweep finds."""
    try:
        current_app.send_task(TASK, args=[job_id], queue="housekeeping")
    except (KombuError, OSError) as error:
        log.warning("broker did not take a job; the sweep will start it: %s", error)


def sweep() -> None:
    """Wakes jobs that nobody works on, and forgets old ones."""
    now = timezone.now()
    Job.objects.filter(finished_at__lt=now - KEPT).delete()
    for job_id in Job.objects.filter(_unclaimed(), finished_at=None).values_list("pk", flat=True):
        wake(job_id)


def work(job_id: int) -> None:
    """One turn at a job. Does nothing while another worker is at it."""
    end = time.monotonic() + SECONDS_PER_TURN
    claim = _claim(job_id)
    try:
        while claim is not None and time.monotonic() < end:
            claim = _after_lot(job_id, claim)
    except (Later, IntegrityError) as error:  # somebody may write what the lot erases
        log.warning("a job waits: %s", error)
        return  # the claim runs out, and the sweep tries again
    if claim is not None:
        Job.objects.filter(pk=job_id, claimed_until=claim).update(claimed_until=None)
        wake(job_id)


def note_failure(job: Job, subject: str, words: str) -> None:
    """To be called in `finish`."""
    job.failed += 1
    if len(job.errors) < MOST_ERRORS_KEPT:
        job.errors.append([subject, words])


def check_claim(job: Job) -> None:
    """To be called in `prepare` before each step that another worker must not have done: whoever stood still for so
    long that one may be at it raises Later.
    """
    if job.claimed_until is None or job.claimed_until <= timezone.now():
        raise Later(f"the claim on job {job.pk} ran out")


def _unclaimed() -> Q:
    return Q(claimed_until=None) | Q(claimed_until__lt=timezone.now())


def _claim(job_id: int) -> datetime | None:
    """Until when the job is ours; None if it is finished or somebody else's."""
    until = timezone.now() + CLAIM
    free = Job.objects.filter(_unclaimed(), pk=job_id, finished_at=None)
    return until if free.update(claimed_until=until) else None


def _after_lot(job_id: int, claim: datetime) -> datetime | None:
    """Does a lot. Answers the renewed claim; None if nothing is left, or if the job is somebody else's by now."""
    job = Job.objects.get(pk=job_id)
    if job.claimed_until != claim:
        return None
    why = f"Stopped by {job.stop_asked_by}."
    if not job.stop_asked_by:
        try:
            return _do_lot(job, claim)
        except Failed as error:
            why = str(error)
    _end_early(job_id, claim, why)
    return None


def _do_lot(job: Job, claim: datetime) -> datetime | None:
    kind = kind_of(job)
    lot = kind.prepare(job)
    with transaction.atomic():
        job = Job.objects.select_for_update().get(pk=job.pk)
        if job.claimed_until != claim:
            return None
        if kind.finish(job, lot):
            job.claimed_until, job.finished_at = None, timezone.now()
        else:
            job.claimed_until = timezone.now() + CLAIM
        job.save()
    return job.claimed_until


def _end_early(job_id: int, claim: datetime, why: str) -> None:
    with transaction.atomic():
        job = Job.objects.select_for_update().get(pk=job_id)
        if job.claimed_until == claim:
            kind_of(job).forget(job)
            job.claimed_until, job.finished_at, job.ended_early = None, timezone.now(), why
            job.save()
