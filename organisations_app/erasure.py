"""What owns more than a request can erase is erased by a job: whoever deletes it switches it off at once, then its rows
go lot by lot, and it goes last.
"""

from collections.abc import Callable
from typing import Any

from django.db.models import Model, QuerySet

from organisations_app import jobs
from organisations_app.audit import Actor
from organisations_app.dependents import count_all, dependents_of, erase, prefer_indices
from organisations_app.models import Job

ROWS_PER_LOT = 1_000


def owns_much(row: Model) -> bool:
    """Whether it is too much for a request. Counts no further than it takes to know."""
    return any(each.are_many for each in dependents_of(type(row), [row.pk]))


def erase_later(act: str, row: Model, by: Actor, reason: str, **given: Any) -> Job | None:
    """The job that erases it; None if there is one already. The row must be locked."""
    if is_being_erased(act, row.pk):
        return None
    return jobs.start(act, by, reason, {"row": row.pk, "name": str(row), **given})


def is_being_erased(act: str, pk: Any) -> bool:
    """Whether a job of this act is going to erase the row with this primary key."""
    return pk is not None and Job.objects.filter(act=act, finished_at=None, given__row=pk).exists()


def register(act: str, title: str, model: type[Model], finish: Callable[[Job], bool]) -> None:
    """Called once, at start. `finish` does a lot, as `erase_lot` does, and answers whether that was the last one."""
    kind = jobs.Kind(title, "rows", model._meta.label_lower, lambda _: None, lambda job, _: finish(job), can_stop=False)
    jobs.register(act, kind)


def erase_lot(rows: QuerySet[Any], job: Job) -> bool:
    """A lot of what the job is to erase: these rows with what goes with them. Whether nothing is left."""
    if job.total is None:
        job.total = count_all(rows)
        return job.total == 0
    prefer_indices()
    job.done += erase(rows, ROWS_PER_LOT)
    is_gone = not rows.exists()
    job.total = job.done if is_gone else max(job.total, job.done)
    return is_gone
