"""A monitor or a developer with more deliveries than a request can erase: switched off at once, erased by a job."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from monitors_app.models import Attempt, Delivery, Monitor, TriggerEvent
from monitors_app.monitors import save_monitor
from organisations_app import dependents, developers, erasure, jobs
from organisations_app.models import Application, AuditEntry, Developer, Job
from sessions_app.keys import create_key
from sessions_app.models import Key
from tests.admin_world import event_of
from tests.administration import Administration
from tests.factories import AcmeFactory, AppFactory, MemberFactory, MonitorFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store")]

MANY = 12


@pytest.fixture(autouse=True)
def _little_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependents, "MOST_COUNTED", 2)
    monkeypatch.setattr(erasure, "ROWS_PER_LOT", 5)
    monkeypatch.setattr(jobs, "wake", lambda job_id: None)


def deliveries(count: int, **to: Any) -> None:
    """Webhooks or e-mails, each with an attempt."""
    AcmeFactory.create()
    channel = "webhook" if "monitor" in to else "email"
    for number in range(count):
        event = event_of("acme", f"{channel}-{number}")
        sent = Delivery.objects.create(event=event, channel=channel, recipient="x@acme.example", subject="k", **to)
        Attempt.objects.create(delivery=sent, number=1, started_at=timezone.now(), duration_ms=1)


@pytest.fixture
def monitor() -> Monitor:
    monitor: Monitor = MonitorFactory.create(name="Hook", target_path="https://hooks.example/")
    deliveries(MANY, monitor=monitor)
    return monitor


@pytest.fixture
def developer() -> Developer:
    developer: Developer = MemberFactory.create()
    deliveries(MANY, developer=developer)
    return developer


def page(row: Any, verb: str = "change") -> str:
    return f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/{verb}/"


def delete(client: Client, row: Any) -> str:
    answer = client.post(page(row, "delete"), {"post": "yes", "audit_reason": "left"}, follow=True)
    return answer.content.decode()


def lots(job: Job) -> int:
    """How many lots the job takes; after each it has written."""
    claim, count = jobs._claim(job.pk), 0
    while claim is not None:
        claim = jobs._after_lot(job.pk, claim)
        count += 1
    return count


# --- monitors ---------------------------------------------------------------------------------------------------------


def test_a_monitor_is_switched_off_at_once_and_erased_in_lots(admin_client: Client, monitor: Monitor) -> None:
    other = MonitorFactory.create(name="Other")
    Delivery.objects.create(monitor=other, channel="webhook", recipient="x", subject="k")
    html = delete(admin_client, monitor)
    job = Job.objects.get()
    assert f"/admin/monitors_app/monitor/jobs/{job.pk}/" in html and "deleted successfully" not in html
    monitor.refresh_from_db()
    assert not monitor.is_enabled and Delivery.objects.filter(monitor=monitor).count() == MANY
    assert lots(job) > 3
    job.refresh_from_db()
    assert job.finished_at is not None and job.done == job.total == 2 * MANY + 1
    assert list(Monitor.objects.all()) == [other] and Delivery.objects.count() == 1 and not Attempt.objects.exists()
    [entry] = AuditEntry.objects.filter(subject_kind="monitor")
    assert (entry.action, entry.before["name"], entry.reason) == ("delete", "Hook", "left")


def test_what_waits_to_be_erased_is_only_shown(admin_client: Client, monitor: Monitor) -> None:
    delete(admin_client, monitor)
    html = admin_client.get(page(monitor)).content.decode()
    assert "This is being deleted" in html and 'name="_save"' not in html and "Delete monitor" not in html
    assert admin_client.post(page(monitor), {"is_enabled": "on"}).status_code == 403
    assert admin_client.post(page(monitor, "delete"), {"post": "yes"}).status_code == 403
    monitor.refresh_from_db()
    monitor.is_enabled = True
    with pytest.raises(ValidationError, match="is being deleted"):
        save_monitor(monitor)
    assert Job.objects.count() == 1


def test_a_monitor_with_few_deliveries_is_gone_at_once(admin_client: Client) -> None:
    monitor = MonitorFactory.create(name="Hook")
    deliveries(2, monitor=monitor)
    assert "deleted successfully" in delete(admin_client, monitor)
    assert not Monitor.objects.exists() and not Delivery.objects.exists() and not Job.objects.exists()


def test_selected_ones_are_deleted_alike(admin_client: Client, monitor: Monitor) -> None:
    MonitorFactory.create(name="Small")
    pks = list(Monitor.objects.values_list("pk", flat=True))
    selected = {"action": "delete_selected", "_selected_action": pks, "post": "yes"}
    admin_client.post("/admin/monitors_app/monitor/", selected)
    assert list(Monitor.objects.all()) == [monitor] and Job.objects.get().given["row"] == monitor.pk


def test_over_rest_a_second_request_begins_no_second_job(rest: Administration, monitor: Monitor) -> None:
    for _ in range(2):
        assert rest.ask("DELETE", f"/monitors/{monitor.pk}").status_code == 204
    assert rest.refused("PATCH", f"/monitors/{monitor.pk}", {"is_enabled": True})[0] == 400
    jobs.work(Job.objects.get().pk)
    assert rest.refused("GET", f"/monitors/{monitor.pk}")[0] == 404


def test_the_request_asks_no_more_for_more(admin_client: Client) -> None:
    """Nor does it write any of their rows."""
    asked = []
    for count in (MANY, 3 * MANY):
        TriggerEvent.objects.all().delete()
        monitor = MonitorFactory.create(name="Hook")
        deliveries(count, monitor=monitor)
        with CaptureQueriesContext(connection) as queries:
            admin_client.post(page(monitor, "delete"), {"post": "yes"})
        asked.append(len(queries))
        written = [query["sql"] for query in queries if query["sql"].startswith(("DELETE", "UPDATE", "INSERT"))]
        assert not any("monitors_app_delivery" in sql or "monitors_app_attempt" in sql for sql in written)
    assert asked[1] <= asked[0]


# --- developers -------------------------------------------------------------------------------------------------------


def test_a_developer_is_locked_out_at_once_and_erased_in_lots(admin_client: Client, developer: Developer) -> None:
    application = AppFactory.create(developer=developer)
    key = Key(organisation=developer.organisation, application=application)
    create_key(key)
    portal = Client()
    portal.force_login(developer.user)
    assert portal.get("/portal/").status_code == 200
    html = delete(admin_client, developer)
    job = Job.objects.get()
    assert f"/admin/organisations_app/developer/jobs/{job.pk}/" in html
    assert portal.get("/portal/").status_code == 302
    with pytest.raises(ValidationError, match="is being deleted"):
        developers.save_developer(developer, {})
    assert lots(job) > 3
    assert not Developer.objects.exists() and not Application.objects.exists() and not Delivery.objects.exists()
    assert not User.objects.filter(username="member").exists()
    key.refresh_from_db()
    assert key.application_id is None


def test_staff_who_are_developers_keep_their_login(admin_client: Client, developer: Developer) -> None:
    User.objects.filter(pk=developer.user_id).update(is_staff=True)
    delete(admin_client, developer)
    assert User.objects.get(pk=developer.user_id).is_active
    jobs.work(Job.objects.get().pk)
    assert User.objects.filter(username="member").exists() and not Developer.objects.exists()


def test_over_rest_a_developer_is_erased_by_a_job_too(rest: Administration, developer: Developer) -> None:
    assert rest.ask("DELETE", f"/developers/{developer.pk}").status_code == 204
    assert rest.refused("PATCH", f"/developers/{developer.pk}", {"role": "admin"})[0] == 400
    jobs.work(Job.objects.get().pk)
    assert rest.get("/developers")["results"] == []


# --- by their login ---------------------------------------------------------------------------------------------------


def test_the_login_of_a_developer_takes_the_same_way(admin_client: Client, developer: Developer) -> None:
    login = developer.user
    html = delete(admin_client, login)
    job = Job.objects.get()
    assert f"/admin/organisations_app/developer/jobs/{job.pk}/" in html and "deleted successfully" not in html
    assert Delivery.objects.count() == MANY and not User.objects.get(pk=login.pk).is_active
    lots(job)
    assert not User.objects.filter(pk=login.pk).exists() and not Developer.objects.exists()


def test_who_is_being_erased_is_not_let_in_again(admin_client: Client, developer: Developer) -> None:
    delete(admin_client, developer)
    assert 'name="_save"' not in admin_client.get(page(developer.user)).content.decode()
    assert admin_client.post(page(developer.user), {"is_active": "on"}).status_code == 403
    assert admin_client.post(page(developer.user, "delete"), {"post": "yes"}).status_code == 403
    assert not User.objects.get(pk=developer.user_id).is_active and Job.objects.count() == 1


def test_logins_with_little_are_gone_at_once(admin_client: Client) -> None:
    member = MemberFactory.create()
    nobody = User.objects.create(username="nobody")
    boss = MemberFactory.create(user__username="boss", user__is_staff=True)
    for login in (member.user, nobody, boss.user):
        assert "deleted successfully" in delete(admin_client, login)
    assert not Developer.objects.exists() and list(User.objects.values_list("username", flat=True)) == ["admin"]


def test_a_member_of_staff_loses_the_powers_at_once_and_the_login_in_the_end(
    admin_client: Client, developer: Developer
) -> None:
    User.objects.filter(pk=developer.user_id).update(is_staff=True, is_superuser=True)
    html = delete(admin_client, developer.user)
    login = User.objects.get(pk=developer.user_id)
    assert "nothing of it works any more" in html
    assert (login.is_active, login.is_staff, login.is_superuser) == (False, False, False)
    lots(Job.objects.get())
    assert not User.objects.filter(pk=login.pk).exists() and not Developer.objects.exists()
