"""Every write of an admin page is in the audit, in the words of the REST API, in one transaction, without secrets."""

import json
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client

from organisations_app import audit
from organisations_app.admin_audit import AuditedAdmin
from organisations_app.admin_tokens import EVERYTHING, create_token
from organisations_app.models import AdminToken, Application, AttributeDefinition, AuditEntry, Developer, Organisation
from policies_app.models import Api, Policy
from tests.admin_pages import submit
from tests.factories import AcmeFactory, AppFactory, GlobexFactory, MemberFactory, MonitorFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

API = "/admin/policies_app/api/"
POLICY = "/admin/policies_app/policy/"
ORGANISATION = "/admin/organisations_app/organisation/"


@pytest.fixture
def root(admin_client: Client) -> Client:
    """Logged in as the superuser `admin`."""
    return admin_client


@pytest.fixture
def api() -> Api:
    return Api.objects.create(id="orders", organisation=AcmeFactory.create(), name="Orders", listen_path="/orders/")


def entries() -> list[tuple[str, str, str, str]]:
    rows = AuditEntry.objects.order_by("id")
    return [(row.action, row.subject_kind, row.subject_id, row.organisation_id) for row in rows]


def newest() -> AuditEntry:
    return AuditEntry.objects.order_by("-id")[0]


def test_everything_that_can_be_written_is_audited() -> None:
    """A new admin that writes inherits AuditedAdmin, or says here why not."""
    request: Any = type("Request", (), {"user": User(is_superuser=True, is_active=True), "resolver_match": None})()
    writing = [
        model_admin
        for model_admin in admin.site._registry.values()
        if model_admin.has_add_permission(request)
        or model_admin.has_change_permission(request)
        or model_admin.has_delete_permission(request)
    ]
    assert [each for each in writing if not isinstance(each, AuditedAdmin)] == []


def test_create_change_and_delete_leave_entries_beside_djangos_own(root: Client) -> None:
    AcmeFactory.create()
    submit(root, f"{API}add/", id="orders", name="Orders", organisation="acme", listen_path="/orders/")
    submit(root, f"{API}orders/change/", name="Orders 2", audit_reason="  renamed by contract ")
    root.post(f"{API}orders/delete/", {"post": "yes", "audit_reason": "gone"})

    made, changed, deleted = AuditEntry.objects.order_by("id")
    assert {made.actor, changed.actor, deleted.actor} == {"admin:admin"}
    assert entries() == [
        ("create", "api", "orders", "acme"),
        ("change", "api", "orders", "acme"),
        ("delete", "api", "orders", "acme"),
    ]
    assert (made.before, made.after["org_id"], made.after["listen_path"]) == ({}, "acme", "/orders/")
    assert (changed.before, changed.after) == ({"name": "Orders"}, {"name": "Orders 2"})
    assert changed.reason == "renamed by contract"
    assert (deleted.before["name"], deleted.after, deleted.reason) == ("Orders 2", {}, "gone")
    assert LogEntry.objects.count() == 3


def test_a_form_saved_as_it_was_leaves_no_entry(root: Client, api: Api) -> None:
    submit(root, f"{API}orders/change/")
    assert not entries()


def test_a_refused_form_leaves_no_entry(root: Client, api: Api) -> None:
    assert submit(root, f"{API}orders/change/", listen_path="nowhere").status_code == 200
    assert not entries()


def test_selected_rows_that_are_deleted_have_an_entry_each(root: Client, api: Api) -> None:
    Api.objects.create(id="bills", organisation=api.organisation, name="Bills", listen_path="/bills/")
    body = {"action": "delete_selected", "_selected_action": ["orders", "bills"], "post": "yes", "audit_reason": "old"}
    root.post(API, body)
    assert sorted(entries()) == [("delete", "api", "bills", "acme"), ("delete", "api", "orders", "acme")]
    assert newest().reason == "old"


def test_an_entry_is_undone_with_its_write(root: Client, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*args: Any) -> None:
        raise RuntimeError("in the middle of the write")

    monkeypatch.setattr("policies_app.admin.ApiAdmin.delete_queryset", breaks)
    monkeypatch.setattr("policies_app.admin.ApiAdmin.log_change", breaks)
    for request in (
        lambda: submit(root, f"{API}orders/change/", name="Orders 2"),
        lambda: root.post(API, {"action": "delete_selected", "_selected_action": ["orders"], "post": "yes"}),
    ):
        with pytest.raises(RuntimeError):
            request()
    assert Api.objects.get().name == "Orders"
    assert not entries()


def test_a_policy_is_told_as_the_rest_api_shows_it(root: Client, api: Api) -> None:
    Policy.objects.create(id="free", organisation=api.organisation, name="Free", quota_max=10, quota_renewal_rate=60)
    submit(root, f"{POLICY}free/change/", quota_max=20, trigger_limits="80, 50")
    assert newest().before == {"quota_max": 10, "monitor": {"trigger_limits": []}}
    assert newest().after == {"quota_max": 20, "monitor": {"trigger_limits": [80, 50]}}


def test_an_organisation_session_is_the_subject_that_the_rest_api_names(root: Client) -> None:
    AcmeFactory.create()
    submit(root, "/admin/sessions_app/orgsession/add/", organisation="acme", quota_max=5)
    assert entries() == [("create", "session", "acme", "acme")]


def test_a_new_developer_is_a_new_login(root: Client) -> None:
    AcmeFactory.create()
    submit(root, "/admin/organisations_app/developer/add/", organisation="acme", email="new@acme.example")
    developer = Developer.objects.select_related("user").get()
    assert (developer.user.username, developer.user.has_usable_password()) == ("new@acme.example", False)
    assert entries() == [("create", "developer", str(developer.pk), "acme")]


def test_a_deleted_developer_takes_the_login_along(root: Client) -> None:
    app: Application = AppFactory.create()
    root.post(f"/admin/organisations_app/developer/{app.developer.pk}/delete/", {"post": "yes"})
    assert not User.objects.filter(username="member").exists()
    assert entries() == [("delete", "developer", str(app.developer.pk), "acme")]


def test_a_password_is_told_as_set_and_never_shown(root: Client) -> None:
    member = MemberFactory.create().user
    page = f"/admin/auth/user/{member.pk}/"
    secret = "something-hard-to-guess"
    root.post(f"{page}password/", {"password1": secret, "password2": secret, "usable_password": "true"})
    member.refresh_from_db()
    assert member.check_password(secret)
    submit(root, f"{page}change/", first_name="Mia")
    assert entries() == [("set-password", "user", str(member.pk), ""), ("change", "user", str(member.pk), "")]
    assert (newest().before, newest().after) == ({"first_name": ""}, {"first_name": "Mia"})
    root.post(f"{page}delete/", {"post": "yes"})
    kept = json.dumps([[row.before, row.after] for row in AuditEntry.objects.all()])
    assert secret not in kept and "pbkdf2" not in kept and "password" not in kept


def test_a_confinement_says_what_it_does(root: Client) -> None:
    staff = User.objects.create_user("sam", is_staff=True)
    assert (
        "This login sees only these organisations" in root.get(f"/admin/auth/user/{staff.pk}/change/").content.decode()
    )


def test_a_confinement_is_told_on_its_user(root: Client) -> None:
    AcmeFactory.create()
    staff = User.objects.create_user("sam", is_staff=True)
    page = f"/admin/auth/user/{staff.pk}/change/"
    values = {"confinement-TOTAL_FORMS": "1", "confinement-0-organisations": ["acme"], "confinement-0-user": staff.pk}
    submit(root, page, **values)
    assert (newest().before, newest().after) == ({"confined_to": None}, {"confined_to": ["acme"]})


def test_digests_and_sealed_values_are_in_no_entry(root: Client) -> None:
    token = AdminToken(name="t", scopes=["keys:read"])
    create_token(token, audit.ROOT, EVERYTHING)
    monitor = MonitorFactory.create(organisation=AcmeFactory.create(), signing_secret_sealed="sealed-value")
    root.post(f"/admin/monitors_app/monitor/{monitor.pk}/delete/", {"post": "yes"})
    root.post(f"/admin/organisations_app/admintoken/{token.pk}/delete/", {"post": "yes"})
    assert [row[:2] for row in entries()] == [("delete", "monitor"), ("delete", "token")]
    kept = str([row.before for row in AuditEntry.objects.all()])
    assert token.digest not in kept and "sealed-value" not in kept
    assert token.hint in kept


def test_definitions_of_attributes_are_told_without_an_organisation(root: Client) -> None:
    submit(root, "/admin/organisations_app/attributedefinition/add/", name="plan", kind="string")
    definition = AttributeDefinition.objects.get()
    assert entries() == [("create", "attribute", str(definition.pk), "")]


def test_deleting_an_organisation_is_told_about_itself(root: Client) -> None:
    GlobexFactory.create()
    root.post(f"{ORGANISATION}globex/delete/", {"post": "yes", "audit_reason": "contract ended"})
    assert not Organisation.objects.exists()
    assert entries() == [("delete", "organisation", "globex", "globex")]
