"""The table of jobs changed its app, with what it held: there and back."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from organisations_app.models import Job
from sessions_app.models import KeyJobItem

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def _as_it_was() -> Iterator[None]:
    yield
    call_command("migrate", verbosity=0)


def rows_of(table: str, columns: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM {table} ORDER BY id")
        return list(cursor.fetchall())


@pytest.mark.usefixtures("_as_it_was")
def test_jobs_and_their_items_survive_the_way_back_and_forth() -> None:
    job = Job.objects.create(act="revoke", actor="admin:root", total=2, done=1)
    uncounted = Job.objects.create(act="block", actor="admin:root")
    KeyJobItem.objects.create(job=job, key_id="key_1")
    call_command("migrate", "sessions_app", "0006", verbosity=0)
    assert rows_of("sessions_app_keyjob", "id, act, total") == [(job.pk, "revoke", 2), (uncounted.pk, "block", 0)]
    assert rows_of("sessions_app_keyjobitem", "job_id, key_id") == [(job.pk, "key_1")]
    call_command("migrate", verbosity=0)
    assert list(Job.objects.order_by("pk").values_list("act", "total", "done")) == [("revoke", 2, 1), ("block", 0, 0)]
    assert [(item.job, item.key_id) for item in KeyJobItem.objects.select_related("job")] == [(job, "key_1")]
    assert Job.objects.create(act="revoke", actor="admin:root").pk > uncounted.pk
