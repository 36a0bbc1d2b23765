"""What a changed policy would have done, when its keys are too many for a request: a job that only looks.

Lot by lot, so that a worker may die at any time: what was found so far stands in the job. Keys that count for
themselves are counted as they come. What several keys share is written down, key by key, and counted at the end,
counter by counter; so memory does not grow with the policy.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction
from django.db.models import F, QuerySet

from organisations_app import jobs
from organisations_app.audit import Actor
from organisations_app.models import Job
from policies_app.models import Policy
from sessions_app.engine.types import StoreUnavailable
from sessions_app.members import Cohorts
from sessions_app.models import Key, KeyJobShare
from sessions_app.queries import Among
from sessions_app.recount import Recount, Share, shared_taken_up
from sessions_app.tallies import Tally
from sessions_app.whatif import Preview, WhatIf, told

ACT = "what-if"
FIRST_LOT = 250  # keys; one key may have a thousand hours of usage and more
KEYS_PER_LOT = 2_000
SHARES_PER_LOT = 500
MOST_OPEN = 3  # what-ifs of one actor at a time: all jobs share the workers
SECONDS_PER_LOT = 5  # a lot that takes as long as a claim would never be done
KEYS, SHARERS, SHARES = "keys", "sharers", "shares"  # the stages: with the policy; without it; what they share


class Busy(Exception):
    """So many what-ifs of this actor are being counted already."""


def start(policy: Policy, asked: WhatIf, by: Actor, form: Sequence[tuple[str, str]] = ()) -> Job:
    """`form` is what was typed, as it was posted. Raises Busy."""
    if Job.objects.filter(act=ACT, finished_at=None, actor=by.name).count() >= MOST_OPEN:
        raise Busy(f"{MOST_OPEN} what-ifs of yours are still being counted. Wait for one of them, or have one stopped.")
    given = {"policy": policy.pk, "name": policy.name, "asked": asked.written(), "form": list(form)}
    return jobs.start(ACT, by, "", given)


def register() -> None:
    model, without = Policy._meta.label_lower, "Then there is no answer."
    jobs.register(ACT, jobs.Kind("What if", "keys", model, _prepare, _finish, _forget, if_stopped=without))


def may_see(job: Job, organisations: Collection[str] | None) -> bool:
    """Whether all that the job looks at belongs to these organisations; None is every one."""
    asked_of = question_of(job).organisations
    return organisations is None or (asked_of is not None and asked_of <= frozenset(organisations))


def question_of(job: Job) -> WhatIf:
    return WhatIf.taken_up(job.given["asked"])


def answer_of(job: Job) -> Preview | None:
    """None while it is not known, and if the job ended before it was."""
    if job.finished_at is None or job.ended_early:
        return None
    asked = question_of(job)
    return told(asked, Tally.taken_up(asked.recount().quotas, job.found["tally"]))


@dataclass(slots=True)
class _Lot:
    """What a lot found: the job's `found` after it, keys that share counters, keys that are done or to be done anew."""

    found: dict[str, Any]
    shares: list[Share] = field(default_factory=list)
    settled: list[int] = field(default_factory=list)
    done: int = 0
    more: int = 0
    is_last: bool = False


def _prepare(job: Job) -> _Lot:
    """Raises Later, Failed."""
    if not Policy.objects.filter(pk=job.given["policy"]).exists():
        raise jobs.Failed("The policy was deleted meanwhile.")
    asked = question_of(job)
    if job.total is None:
        return _Lot({"stage": KEYS, "after": "", "organisations": []}, more=asked.applied().count())
    recount, cohorts = asked.recount(job.found.get("tally")), Cohorts(asked.end)
    step, most = _step(job.found["stage"])
    size, begin = min(job.found.get("size", FIRST_LOT), most), time.monotonic()
    try:
        lot = step(job, asked, recount, cohorts, size)
    except StoreUnavailable as error:
        raise jobs.Later(str(error)) from error
    is_slow = time.monotonic() - begin > SECONDS_PER_LOT
    lot.found |= {"tally": recount.tally.written(), "size": max(1, size // 2) if is_slow else 2 * size}
    return lot


def _step(stage: str) -> tuple[Callable[[Job, WhatIf, Recount, Cohorts, int], _Lot], int]:
    """What does a lot of this stage, and how much it takes at most."""
    steps = {KEYS: (_keys, KEYS_PER_LOT), SHARERS: (_sharers, KEYS_PER_LOT), SHARES: (_shares, SHARES_PER_LOT)}
    return steps[stage]


def _finish(job: Job, lot: _Lot) -> bool:
    KeyJobShare.objects.bulk_create(
        [KeyJobShare(job=job, counter=share.counter, key_id=share.key_id) for share in lot.shares],
        batch_size=KEYS_PER_LOT,
        ignore_conflicts=True,
    )
    KeyJobShare.objects.filter(pk__in=lot.settled).delete()
    job.found, job.done = lot.found, job.done + lot.done
    job.total = job.done if lot.is_last else (job.total or 0) + lot.more
    return lot.is_last


def _forget(job: Job) -> None:
    KeyJobShare.objects.filter(job=job).delete()


def _keys(job: Job, asked: WhatIf, recount: Recount, cohorts: Cohorts, size: int) -> _Lot:
    key_ids = _next_ids(asked.applied(), "key_id", job.found["after"], size)
    shares = recount.take(cohorts.read(asked.keys(), key_ids))
    sharing = {share.key_id for share in shares}
    organisations = sorted({*job.found["organisations"], *(share.organisation_id for share in shares)})
    found = {"stage": KEYS, "after": key_ids[-1] if key_ids else "", "organisations": organisations}
    is_over = len(key_ids) < size
    if is_over:
        found |= {"stage": SHARERS, "after": ""}
    return _Lot(
        found,
        shares=shares,
        done=len(key_ids) - len(sharing),
        more=len(shares) - len(sharing),
        is_last=is_over and not organisations,
    )


def _sharers(job: Job, asked: WhatIf, recount: Recount, cohorts: Cohorts, size: int) -> _Lot:
    """Of all organisations whose keys share counters, and the policy is not applied to them."""
    key_ids = _next_ids(asked.candidates(job.found["organisations"]), "pk", job.found["after"], size)
    shares = recount.sharers(cohorts.read(Key.objects.all(), key_ids))
    known = KeyJobShare.objects.filter(Among(F("counter"), sorted({share.counter for share in shares})), job=job)
    counters = set(known.values_list("counter", flat=True).distinct())
    shares = [share for share in shares if share.counter in counters]
    is_over = len(key_ids) < size
    then = {"stage": SHARES, "after": ["", ""]} if is_over else {"after": key_ids[-1]}
    return _Lot({**job.found, **then}, shares=shares, more=len(shares))


def _shares(job: Job, asked: WhatIf, recount: Recount, cohorts: Cohorts, size: int) -> _Lot:
    written, after = job.found.get("begun"), job.found["after"]
    rows = _after(job, after, size)
    shares = [Share(row.counter, row.key_id, "") for row in rows]
    members = cohorts.read(Key.objects.all(), sorted({share.key_id for share in shares}))
    is_last = len(rows) < size
    begun = recount.settle(shares, members, written and shared_taken_up(recount.quotas, written), is_last=is_last)
    found = {
        "stage": SHARES,
        "after": [rows[-1].counter, rows[-1].key_id] if rows else after,
        "begun": begun and begun.written(),
    }
    return _Lot(found, settled=[row.pk for row in rows], done=len(rows), is_last=is_last)


def _next_ids(rows: QuerySet[Any], column: str, after: str, size: int) -> list[str]:
    return list(rows.filter(**{f"{column}__gt": after}).order_by(column).values_list(column, flat=True)[:size])


@transaction.atomic
def _after(job: Job, after: Sequence[str], size: int) -> list[KeyJobShare]:
    """The next shares in the order of their counters. Two questions, because with "or" the index is read anew each time
    from its beginning; so it is when PostgreSQL, which has no statistics of these new rows yet, sorts them.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_sort = off")
    counter, key_id = after
    shares = KeyJobShare.objects.filter(job=job).order_by("counter", "key_id")
    rows = list(shares.filter(counter=counter, key_id__gt=key_id)[:size])
    return rows + list(shares.filter(counter__gt=counter)[: size - len(rows)])
