"""Jobs on keys: one act on so many of them that no request can wait for it. Its worker first writes down which keys are
meant.

What is done to counters is done in the store, before the transaction that enters it in the audit. It carries the name
of the job's item, so that the store does it once however often the lot is tried, and gives the same answer again.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from organisations_app import jobs
from organisations_app.audit import Actor
from organisations_app.documents import DocumentError, words_of
from organisations_app.models import Job
from sessions_app import corrections, usage
from sessions_app.correction_notes import RESET, SET_REMAINING, CarriedOut, Correction, enter
from sessions_app.custody import subject_of
from sessions_app.engine.types import StoreUnavailable
from sessions_app.key_acts import ACTS, KeyAct
from sessions_app.models import Key, KeyJobItem

log = logging.getLogger(__name__)

KEYS_PER_LOT = 100
CORRECTIONS = (RESET, SET_REMAINING)
GONE = "The key does not exist any more."
BROKEN = "It failed for a reason that nobody foresaw; the worker's log has it."


def start(act: str, keys: QuerySet[Key], by: Actor, reason: str, given: Mapping[str, Any]) -> Job:
    """A job for all of `keys` as they are now; the request only says which, whatever their number."""
    meant = Key.objects.filter(pk__in=keys.order_by().values("pk"), created_at__lte=timezone.now())
    statement, values = meant.order_by().values("id").query.sql_with_params()
    return jobs.start(act, by, reason, {**given, "keys": [statement, [_plain(value) for value in values]]})


def register_all() -> None:
    for act in ACTS.values():
        kind = jobs.Kind(act.done, "keys", "sessions_app.key", _prepare, partial(_finish, act), _forget)
        jobs.register(act.name, kind)


@dataclass(frozen=True, slots=True)
class _Lot:
    items: Sequence[KeyJobItem] = ()
    carried_out: list[CarriedOut] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


def _prepare(job: Job) -> _Lot:
    if job.total is None:
        return _Lot()
    lot = _Lot(list(job.items.filter(pk__gt=job.position).order_by("pk")[:KEYS_PER_LOT]))
    if job.act in CORRECTIONS:
        _correct(job, lot)
    return lot


def _finish(act: KeyAct, job: Job, lot: _Lot) -> bool:
    if job.total is None:
        job.total = _write_down(job)
        return job.total == 0
    if job.act in CORRECTIONS:
        enter(lot.carried_out)
    else:
        _act(act, job, lot)
    for key_id, words in lot.refused:
        jobs.note_failure(job, key_id, words)
    job.done += len(lot.items)
    job.position = max((item.pk for item in lot.items), default=job.position)
    job.items.filter(pk__lte=job.position).delete()
    return job.done >= job.total or not lot.items


def _forget(job: Job) -> None:
    """What the store did for an item without its entry, because a worker died, is entered by the sweep of notes."""
    job.items.all().delete()


def _write_down(job: Job) -> int:
    """Which keys are meant, in one statement; answers how many."""
    statement, values = job.given["keys"]
    table = KeyJobItem._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (job_id, key_id) SELECT %s, meant.id FROM ({statement}) AS meant",  # noqa: S608 - ours
            [job.pk, *values],
        )
        return int(cursor.rowcount)


def _plain(value: Any) -> Any:
    """As JSON; moments as the database reads them."""
    return value if isinstance(value, int | float | None) else str(value)


def _act(act: KeyAct, job: Job, lot: _Lot) -> None:
    """Locks the keys, so that nobody's change in between is written over. All at once if that works, else one by one:
    what one key breaks does not hold up the others.
    """
    ids = [item.key_id for item in lot.items]
    keys = Key.objects.select_for_update(of=("self",)).select_related("organisation").order_by("pk").in_bulk(ids)
    lot.refused.extend((key_id, GONE) for key_id in ids if key_id not in keys)
    allowed = [key for key in keys.values() if not _is_refused(lot, key, partial(act.check, key))]
    with suppress(_Refused):
        return _try(act, job, allowed)
    for key in Key.objects.select_related("organisation").in_bulk([key.pk for key in allowed]).values():
        _is_refused(lot, key, partial(_try, act, job, [key]))


class _Refused(Exception):
    """In words."""


def _try(act: KeyAct, job: Job, keys: Sequence[Key]) -> None:
    """Raises _Refused; then nothing was done."""
    try:
        with transaction.atomic():
            act.do(keys, Actor(job.actor), job.reason, job.given)
    except (ValidationError, DocumentError) as error:
        raise _Refused(words_of(error)) from error
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        log.exception("a job could not %s %d keys", act.name, len(keys))
        raise _Refused(BROKEN) from error


def _is_refused(lot: _Lot, key: Key, step: Callable[[], None]) -> bool:
    try:
        step()
    except (ValidationError, _Refused) as error:
        lot.refused.append((key.pk, words_of(error) if isinstance(error, ValidationError) else str(error)))
        return True
    return False


def _correct(job: Job, lot: _Lot) -> None:
    """Raises Later."""
    keys = Key.objects.in_bulk([item.key_id for item in lot.items])
    limits = usage.quota_limits_of(keys.values())
    for item in lot.items:
        if (key := keys.get(item.key_id)) is None:
            lot.refused.append((item.key_id, GONE))
            continue
        jobs.check_claim(job)
        remaining = job.given.get("quota_remaining")
        correction = Correction(
            Actor(job.actor), job.act, subject_of(key), job.reason, remaining, id=item.correction_id
        )
        try:
            lot.carried_out.append(corrections.carry_out(correction, limits[key.pk]))
        except ValidationError as error:
            lot.refused.append((item.key_id, words_of(error)))
        except StoreUnavailable as error:
            raise jobs.Later(str(error)) from error
