"""The page that asks before a deletion: what goes along, counted, without reading every row."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from monitors_app.models import Delivery, Monitor, TriggerEvent
from organisations_app import admin_deletion
from organisations_app.models import Application, Developer
from tests.factories import AppFactory, MonitorFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

DEVELOPERS = "/admin/organisations_app/developer/"


def delivered(developer: Developer, monitor: Monitor, count: int) -> None:
    numbers = {"period_start_ms": 1, "threshold": "80", "used": 8, "quota_max": 10, "occurred_at": timezone.now()}
    for number in range(count):
        event = TriggerEvent.objects.create(
            kind="key", counter=str(number), source="s", organisation_id="acme", **numbers
        )
        Delivery.objects.create(event=event, developer=developer, channel="email", recipient="x", subject="k")
        Delivery.objects.create(event=event, monitor=monitor, channel="webhook", recipient="x", subject="k")


def test_it_says_how_much_goes_along_and_no_more_than_that(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    app: Application = AppFactory.create()
    delivered(app.developer, MonitorFactory.create(), 5)
    monkeypatch.setattr(admin_deletion, "MOST_COUNTED", 3)
    with django_assert_max_num_queries(12):
        page = admin_client.get(f"{DEVELOPERS}{app.developer.pk}/delete/")
    counted = {str(name): str(number) for name, number in page.context["model_count"]}
    assert counted["applications"] == "1"
    assert counted["deliveries"] == "more than 3"
    assert not page.context["perms_lacking"]


def test_what_is_only_read_goes_with_what_it_belongs_to(admin_client: Client) -> None:
    """Nobody may delete a delivery; a monitor that has some can be deleted all the same."""
    app, monitor = AppFactory.create(), MonitorFactory.create()
    delivered(app.developer, monitor, 1)
    admin_client.post(f"/admin/monitors_app/monitor/{monitor.pk}/delete/", {"post": "yes"})
    assert not Monitor.objects.exists() and Delivery.objects.count() == 1


def test_who_may_not_delete_what_goes_along_is_told(client: Client) -> None:
    app = AppFactory.create()
    staff = User.objects.create_user("staff", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename__in=["view_developer", "delete_developer"]))
    client.force_login(staff)
    page = client.get(f"{DEVELOPERS}{app.developer.pk}/delete/")
    assert "application" in page.context["perms_lacking"]
    assert client.post(f"{DEVELOPERS}{app.developer.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Developer.objects.exists()


def test_selected_rows_are_named_up_to_a_point(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    app = AppFactory.create()
    pks = [
        Application.objects.create(organisation=app.organisation, developer=app.developer, name=str(n)).pk
        for n in range(4)
    ]
    monkeypatch.setattr(admin_deletion, "MOST_LISTED", 2)
    selected = {"action": "delete_selected", "_selected_action": pks}
    page = admin_client.post("/admin/organisations_app/application/", selected).content.decode()
    assert "and 2 more" in page
    admin_client.post("/admin/organisations_app/application/", {**selected, "post": "yes"})
    assert Application.objects.count() == 1
