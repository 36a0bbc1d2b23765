"""The groups that a fresh database has, and what their members can do in the admin."""

import re

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import RunPython
from django.test import Client

from organisations_app.admin_tokens import MODELS, SCOPES, reach_of_staff
from organisations_app.models import AuditEntry
from organisations_app.roles import AUDITOR, OPERATOR, SUPPORT, make_roles
from sessions_app.keys import create_key
from sessions_app.models import Key, OrgSession
from tests.admin_pages import submit
from tests.factories import AcmeFactory, MemberFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store", "quiet")]

KEY = "/admin/sessions_app/key/key_shop/"


@pytest.fixture(autouse=True)
def groups() -> None:
    """A test that empties the whole database empties what migrations put there."""
    make_roles(Group, Permission)


@pytest.fixture
def key() -> Key:
    key = Key(pk="key_shop", organisation=AcmeFactory.create(), alias="Shop", quota_max=10, quota_renewal_rate=60)
    create_key(key)
    return key


def member_of(client: Client, name: str) -> User:
    user = User.objects.create_user(f"a-{name}", is_staff=True)
    user.groups.add(Group.objects.get(name=name))
    client.force_login(user)
    return user


def test_a_fresh_database_gets_the_groups_before_django_made_permissions() -> None:
    """On the first `migrate` no permission exists yet: Django makes them after all migrations."""
    Group.objects.all().delete()
    Permission.objects.all().delete()
    migration = MigrationLoader(connection).get_migration("organisations_app", "0003_roles")
    [operation] = migration.operations
    assert isinstance(operation, RunPython)
    state = MigrationLoader(connection).project_state([*migration.dependencies, ("organisations_app", "0003_roles")])
    operation.code(state.apps, connection.schema_editor())
    assert set(Group.objects.values_list("name", flat=True)) == {OPERATOR, SUPPORT, AUDITOR}
    held = Group.objects.get(name=SUPPORT).permissions.values_list("codename", flat=True)
    assert {"reset_key_quota", "revoke_key", "reset_organisation_quota", "view_key"} <= set(held)
    assert not {"change_key", "view_admintoken", "rotate_key"} & set(held)


def test_an_operator_runs_the_gateway_but_gives_no_powers(client: Client, key: Key) -> None:
    operator = member_of(client, OPERATOR)
    for verb in ("reset_key_quota", "set_remaining_quota", "rotate_key", "revoke_key", "reset_organisation_quota"):
        assert operator.has_perm(f"sessions_app.{verb}"), verb
    assert submit(client, f"{KEY}change/", alias="Renamed").status_code == 302
    assert reach_of_staff(operator).scopes == frozenset(SCOPES)
    assert client.get("/admin/auth/group/add/").status_code == 403

    member = MemberFactory.create().user
    submit(client, f"/admin/auth/user/{member.pk}/change/", is_superuser="on", is_staff="on", first_name="Mia")
    member.refresh_from_db()
    assert (member.first_name, member.is_superuser, member.is_staff) == ("Mia", False, False)
    colleague = User.objects.create_user("colleague", is_staff=True)
    for address in (f"{colleague.pk}/password/", f"{colleague.pk}/delete/"):
        assert client.post(f"/admin/auth/user/{address}", {"post": "yes"}).status_code == 403


def test_support_reads_resets_and_revokes(client: Client, key: Key) -> None:
    supporter = member_of(client, SUPPORT)
    session = OrgSession.objects.create(organisation=key.organisation, quota_max=10, quota_renewal_rate=60)
    assert client.get(f"{KEY}change/").status_code == 200
    assert client.post(f"{KEY}change/", {"alias": "Renamed"}).status_code == 403
    assert client.get("/admin/sessions_app/key/add/").status_code == 403
    assert client.post(f"{KEY}delete/", {"post": "yes"}).status_code == 403
    assert client.get("/admin/organisations_app/admintoken/").status_code == 403
    assert client.post(f"{KEY}rotate/", {"confirmed": "yes", "overlap_seconds": "0"}).status_code == 403
    assert client.post(f"{KEY}set_remaining/", {"confirmed": "yes", "quota_remaining": "5"}).status_code == 403
    reset = {"confirmed": "yes", "reason": "asked for"}
    assert client.post(f"{KEY}reset_quota/", reset).status_code == 302
    assert client.post(f"/admin/sessions_app/orgsession/{session.pk}/reset_quota/", reset).status_code == 302
    assert client.post(f"{KEY}revoke/", reset).status_code == 302
    acts = AuditEntry.objects.filter(actor=f"admin:{supporter.username}").order_by("id")
    assert list(acts.values_list("action", flat=True)) == ["reset-quota", "reset-quota", "revoke"]


def test_an_auditor_reads_everything_and_changes_nothing(client: Client, key: Key) -> None:
    auditor = member_of(client, AUDITOR)
    home = client.get("/admin/").content.decode()
    pages = set(re.findall(r'href="(/admin/\w+/\w+/)"', home))
    assert len(pages) >= 14
    assert {page: client.get(page).status_code for page in pages} == dict.fromkeys(pages, 200)
    assert not any(client.get(f"{page}add/").status_code == 200 for page in pages)
    for verb in ("reset_quota", "set_remaining", "rotate", "revoke", "delete"):
        assert client.post(f"{KEY}{verb}/", {"confirmed": "yes", "post": "yes"}).status_code == 403, verb
    assert "reset" not in client.get("/admin/sessions_app/key/").content.decode().lower()
    assert not auditor.user_permissions.exists() and not AuditEntry.objects.exists()


def test_groups_that_were_changed_stay_as_they_are() -> None:
    Group.objects.get(name=AUDITOR).permissions.clear()
    make_roles(Group, Permission)
    assert not Group.objects.get(name=AUDITOR).permissions.exists()


def test_every_scope_of_tokens_has_its_permissions() -> None:
    for scope in SCOPES:
        app_label, _, codename = MODELS[scope.partition(":")[0]].format("view").partition(".")
        assert Permission.objects.filter(content_type__app_label=app_label, codename=codename).exists(), scope
