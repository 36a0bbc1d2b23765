"""Jobs, turn by turn. Each task may be repeated."""

from celery import shared_task

from organisations_app import jobs


@shared_task
def work_on_job(job_id: int) -> None:
    """A turn at a job."""
    jobs.work(job_id)


@shared_task
def sweep_jobs() -> None:
    """Jobs whose worker died, or whose wake-up call was lost."""
    jobs.sweep()
