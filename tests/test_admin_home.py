"""The first page of the admin, and the health that it asks for."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from celery.signals import beat_init, task_success
from django.conf import settings as project
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from gateway_project import health_checks
from gateway_project.celery_settings import beat_schedule
from gateway_project.health_checks import BAD, GOOD, WARNING, checks
from monitors_app.models import Delivery, TriggerEvent
from sessions_app import periodic_runs
from sessions_app.models import UsageDay, UsageSnapshot
from sessions_app.nearest import nearest_to_limit
from tests.factories import AcmeFactory, AppFactory, GlobexFactory, KeyFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


@pytest.fixture(autouse=True)
def forget_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_checks, "_broker_asked", None)


NOWHERE = "redis://127.0.0.1:1/0"
NO_REQUESTS = "No requests yet."


def state(name: str) -> Any:
    return next(check for check in checks(timezone.now()) if check.name == name)


def every_task_ran(age: timedelta = timedelta(0)) -> None:
    for task in beat_schedule(project.GATEWAY_SNAPSHOT_SECONDS):
        periodic_runs.record(task, timezone.now() - age)


def full(key: Any, percent: int, scope: str = "", **fields: Any) -> None:
    values = {
        "used": percent,
        "period_start_ms": 0,
        "taken_at": timezone.now(),
        "ends_at": timezone.now() + timedelta(hours=1),
    }
    UsageSnapshot.objects.create(counter=f"{key.pk}{scope}", key_id=key.pk, percent=percent, **(values | fields))


# --- the page ---------------------------------------------------------------------------------------------------------


def test_an_empty_gateway_is_told_what_to_do(admin_client: Client) -> None:
    page = admin_client.get("/admin/").content.decode()
    assert NO_REQUESTS in page
    assert "No key has used any of its quota" in page


def test_requests_of_all_organisations_are_added_up(admin_client: Client) -> None:
    today = timezone.now().date()
    for organisation, passed in ((AcmeFactory.create(), 1_200), (GlobexFactory.create(), 34)):
        UsageDay.objects.create(organisation=organisation, day=today, passed=passed, denied=6)
        UsageDay.objects.create(organisation=organisation, day=today - timedelta(days=13), passed=1)
        UsageDay.objects.create(organisation=organisation, day=today - timedelta(days=14), passed=10**6)
    chart = admin_client.get("/admin/").context["chart"]
    assert (chart.today.passed, chart.today.denied) == (1_234, 12)
    assert (chart.passed, chart.denied, chart.denied_percent) == (1_236, 12, "1.0")


def test_the_page_costs_a_dozen_queries_whatever_it_shows(
    admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    now = timezone.now()
    for number in range(30):
        key = KeyFactory.create(application=AppFactory.create(), alias=f"Key {number}")
        full(key, number + 50)
        numbers = {"period_start_ms": number, "threshold": "80", "used": 8, "quota_max": 10, "occurred_at": now}
        event = TriggerEvent.objects.create(kind="key", counter="c", source="s", organisation_id="acme", **numbers)
        Delivery.objects.create(event=event, channel="email", recipient="x@y.example", status="failed", subject=key.pk)
    with django_assert_max_num_queries(12):
        page = admin_client.get("/admin/")
    assert len(page.context["events"]) == len(page.context["failed_deliveries"]) == len(page.context["nearest"]) == 6


def test_each_part_is_for_those_who_may_see_its_lists(client: Client) -> None:
    client.force_login(User.objects.create_user("new", is_staff=True))
    context = client.get("/admin/").context
    assert not [name for name in ("chart", "nearest", "events", "failed_deliveries") if name in context]


# --- full keys --------------------------------------------------------------------------------------------------------


def test_the_fullest_keys_of_running_periods_come_first() -> None:
    now = timezone.now()
    keys = {alias: KeyFactory.create(alias=alias) for alias in ("half", "full", "over", "endless", "revoked", "unused")}
    keys["revoked"].revoked_at = now
    keys["revoked"].save()
    full(keys["half"], 50)
    full(keys["half"], 20, "|api:x")
    full(keys["full"], 100)
    full(keys["over"], 99, ends_at=now - timedelta(seconds=1))
    full(keys["endless"], 70, ends_at=None)
    full(keys["revoked"], 98)
    full(keys["unused"], 0)
    near = nearest_to_limit(None, now, 6)
    assert [(each.key.alias, each.percent, each.level) for each in near] == [
        ("full", 100, "spent"),
        ("endless", 70, "ok"),
        ("half", 50, "ok"),
    ]
    assert [each.key.alias for each in nearest_to_limit(None, now, 1)] == ["full"]
    assert nearest_to_limit(frozenset({"globex"}), now, 6) == []
    assert len(nearest_to_limit(frozenset({"acme"}), now, 6)) == 3


# --- health -----------------------------------------------------------------------------------------------------------


def test_all_is_green_when_every_task_ran(admin_client: Client) -> None:
    every_task_ran()
    found = {check.name: check.state for check in checks(timezone.now())}
    assert {name for name, state in found.items() if state != GOOD} <= {"Broker"}  # tests have none
    page = admin_client.get("/admin/health/").content.decode()
    assert "every periodic task runs in time" in page and "taken 0 s ago" in page


def test_a_store_that_is_down_is_red_with_advice_and_hides_nothing_else(admin_client: Client, settings: Any) -> None:
    every_task_ran()
    settings.GATEWAY_STORE_URL = NOWHERE
    assert (state("Counter store").state, state("Outbox").state) == (BAD, WARNING)
    assert "REDIS_URL" in state("Counter store").advice
    assert state("Workers and beat").state == GOOD
    page = admin_client.get("/admin/health/")
    assert page.status_code == 200 and "does not answer" in page.content.decode()
    assert admin_client.get("/admin/").status_code == 200


def test_a_store_that_evicts_is_a_warning(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_checks, "store_state", lambda: (health_checks.OK, ["allkeys-lru"]))
    assert (state("Eviction").state, "noeviction" in state("Eviction").advice) == (WARNING, True)


@pytest.mark.parametrize(("lengths", "expected"), [({"relay": None}, BAD), ({"relay": 0, "mail": 3}, GOOD)])
def test_a_broker_that_does_not_answer_is_red(monkeypatch: pytest.MonkeyPatch, lengths: Any, expected: str) -> None:
    monkeypatch.setattr(health_checks, "queue_lengths", lambda: lengths)
    assert state("Broker").state == expected
    assert (expected == BAD) == bool(state("Broker").advice)
    assert expected == BAD or "3 in mail" in state("Broker").finding


def test_a_broker_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(health_checks, "BROKER_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(health_checks, "queue_lengths", lambda: release.wait(30) and {})
    assert state("Broker").state == BAD
    release.set()


def test_workers_that_stopped_are_told_by_their_queues() -> None:
    assert (state("Workers and beat").finding, state("Snapshots").state) == ("no periodic task has run yet", BAD)
    every_task_ran()
    periodic_runs.record("monitors_app.tasks.relay_all", timezone.now() - timedelta(minutes=5))
    late = state("Workers and beat")
    assert (late.state, late.finding) == (BAD, "late: relay_all")
    assert "queues relay." in late.advice
    assert state("Snapshots").state == GOOD


def test_a_task_that_never_ran_is_late_only_when_beat_is_there_for_long() -> None:
    beat_init.send(sender=None)
    assert state("Workers and beat").state == GOOD
    periodic_runs.record(periodic_runs.BEAT, timezone.now() - timedelta(minutes=5))
    assert "relay_all" in state("Workers and beat").finding
    assert "prune" not in state("Workers and beat").finding  # runs once an hour


def test_old_snapshots_are_red() -> None:
    every_task_ran(age=timedelta(minutes=10))
    assert (state("Snapshots").state, state("Snapshots").finding) == (BAD, "taken 10 min ago")


def test_the_end_of_a_periodic_task_is_remembered_and_of_others_not() -> None:
    for name in ("sessions_app.tasks.snapshot_usage", "monitors_app.tasks.deliver"):
        task_success.send(sender=type("Sent", (), {"name": name}), result=None)
    assert set(periodic_runs.last_runs()) == {"sessions_app.tasks.snapshot_usage"}


def test_health_is_for_staff_who_see_all(client: Client) -> None:
    assert client.get("/admin/health/").status_code == 302
