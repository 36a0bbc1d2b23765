"""Days are the sums of their hours, whoever writes them, however often, and beside whom."""

import threading
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.db import close_old_connections, connection
from django.db.models import Sum

from sessions_app import history, usage_days
from sessions_app.engine.rollup import HourOfUsage
from sessions_app.models import UsageDay, UsageHour
from tests.factories import AcmeFactory, GlobexFactory

pytestmark = pytest.mark.django_db

HOUR_MS = 3_600_000
FIRST = date(1970, 1, 1)


def hour(number: int, passed: int, denied: int = 0, key: str = "k", organisation: str = "acme") -> HourOfUsage:
    """The hour `number` after the first midnight."""
    return HourOfUsage(organisation, key, "a", number * HOUR_MS, 1, passed, denied)


def days() -> dict[tuple[str, str], tuple[int, int]]:
    return {(row.organisation_id, f"{row.day:%d}"): (row.passed, row.denied) for row in UsageDay.objects.all()}


def test_hours_add_up_to_days_of_their_organisation() -> None:
    AcmeFactory.create(), GlobexFactory.create()
    history.save_hours(
        [hour(0, 5, 1), hour(23, 7), hour(23, 1, key="other"), hour(24, 2), hour(3, 9, organisation="globex")]
    )
    assert days() == {("acme", "01"): (13, 1), ("acme", "02"): (2, 0), ("globex", "01"): (9, 0)}


def test_repeating_a_copy_adds_nothing_and_growing_adds_the_difference() -> None:
    AcmeFactory.create()
    for passed in (5, 5, 8, 6):
        history.save_hours([hour(1, passed)])
    assert days() == {("acme", "01"): (8, 0)}


def test_recounting_finds_what_was_written_past_the_days() -> None:
    acme = AcmeFactory.create()
    history.save_hours([hour(1, 5), hour(30, 4)])
    for at in (datetime(1970, 1, 1, 2, tzinfo=UTC), datetime(1970, 1, 2, 7, tzinfo=UTC)):
        UsageHour.objects.create(organisation=acme, key_id="k", api_id="b", hour=at, passed=10, denied=1)
    assert usage_days.recount(date(1970, 1, 2)) == 1
    assert days() == {("acme", "01"): (5, 0), ("acme", "02"): (14, 1)}
    assert usage_days.recount() == 2
    assert days() == {("acme", "01"): (15, 1), ("acme", "02"): (14, 1)}


def test_totals_are_of_all_organisations_since_a_day() -> None:
    AcmeFactory.create(), GlobexFactory.create()
    history.save_hours([hour(0, 5, 1), hour(3, 9, organisation="globex"), hour(25, 2)])
    assert usage_days.daily_totals(UsageDay.objects.all(), FIRST) == {FIRST: (14, 1), date(1970, 1, 2): (2, 0)}
    assert usage_days.daily_totals(UsageDay.objects.all(), date(1970, 1, 2)) == {date(1970, 1, 2): (2, 0)}


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time anyway")
def test_two_workers_that_copy_the_same_hours_add_them_once() -> None:
    AcmeFactory.create()
    begin = threading.Barrier(4)

    def copy() -> Any:
        begin.wait()
        for passed in range(1, 21):
            history.save_hours([hour(number, passed) for number in range(30)])
        close_old_connections()

    workers = [threading.Thread(target=copy) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    stored = UsageHour.objects.aggregate(total=Sum("passed"))["total"]
    assert stored == 600
    assert sum(passed for passed, _ in days().values()) == stored
