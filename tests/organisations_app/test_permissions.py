"""Permissions as people tick them: what means something here, in words, and nothing lost that they are not shown."""

import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from organisations_app.models import AuditEntry, StaffConfinement
from organisations_app.permissions import SECTIONS, SUBJECTS, completed, name_of, offered, words_of
from organisations_app.roles import APPS, AUDITOR, OPERATOR, SUPPORT, make_roles
from sessions_app.keys import create_key
from sessions_app.models import Key, KeyPolicy
from tests.admin_pages import form_values, submit
from tests.factories import AcmeFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

INTERNALS = ("session", "contenttype", "content type", "log entry", "axes", "access attempt", "Can ")


@pytest.fixture(autouse=True)
def groups() -> None:
    make_roles(Group, Permission)


def named(*names: str) -> list[Permission]:
    found = {name_of(each): each for each in Permission.objects.select_related("content_type")}
    return [found[name] for name in names]


def held_by(group: Group) -> set[str]:
    return {name_of(each) for each in group.permissions.select_related("content_type")}


def page_of(group: Group) -> str:
    return f"/admin/auth/group/{group.pk}/change/"


def ticked(client: Client, page: str, *names: str) -> Any:
    return submit(client, page, permissions=[each.pk for each in named(*names)])


def save_as_shown(client: Client, group: Group) -> None:
    """With the boxes that a browser would send."""
    html = client.get(page_of(group)).content.decode()
    boxes = re.findall(r'name="permissions" value="(\d+)"[^>]* checked>', html)
    assert boxes and submit(client, page_of(group), permissions=boxes).status_code == 302


# --- what is offered --------------------------------------------------------------------------------------------------


def test_every_model_of_the_admin_has_its_row() -> None:
    assert {model._meta.label_lower for model in admin.site._registry} == SUBJECTS


def test_only_what_means_something_is_offered() -> None:
    names = {name_of(each) for each in offered()}
    assert {"sessions_app.view_key", "sessions_app.revoke_key", "auth.change_user", "auth.view_group"} <= names
    assert not {"sessions.add_session", "admin.view_logentry", "organisations_app.change_auditentry"} & names
    assert not {"auth.change_group", "sessions_app.change_keypolicy", "contenttypes.add_contenttype"} & names
    assert {label.partition(".")[0] for label in SUBJECTS} == {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("kind", ["group", "user"])
def test_the_page_says_it_in_words_and_without_internals(admin_client: Client, kind: str) -> None:
    staff = User.objects.create_user("staff", is_staff=True)
    row = staff if kind == "user" else Group.objects.get(name=SUPPORT)
    html = admin_client.get(f"/admin/auth/{kind}/{row.pk}/change/").content.decode()
    table = html[html.index('<table class="tg-table tg-permissions">') :]
    table = re.sub(r"<[^>]+>", " ", table[: table.index("</table>")])
    assert [word for word in INTERNALS if word in table.replace("Organisation sessions", "")] == []
    for words in ("Keys: view", "Revoke a key", "APIs: change", "Send again", *SECTIONS):
        assert words in table, words
    assert "Audit entries: change" not in table


def test_who_only_reads_it_reads_it_in_words(client: Client) -> None:
    auditor = User.objects.create_user("auditor", is_staff=True)
    auditor.groups.add(Group.objects.get(name=AUDITOR))
    person = User.objects.create_user("person")
    person.user_permissions.add(*named("sessions_app.view_key", "sessions_app.rotate_key", "sessions.add_session"))
    client.force_login(auditor)
    html = client.get(page_of(Group.objects.get(name=SUPPORT))).content.decode()
    assert "<p>Keys: view, reset the quota of a key, revoke a key</p>" in html
    html = client.get(f"/admin/auth/user/{person.pk}/change/").content.decode()
    assert "<p>Keys: view, rotate a key</p>" in html and "Can add session" not in html


# --- what is saved ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [OPERATOR, SUPPORT, AUDITOR])
def test_a_group_that_is_saved_again_keeps_all_that_it_holds(admin_client: Client, name: str) -> None:
    """Also what the page does not show. A group that is older than some table gets what its ticks have meant since."""
    group = Group.objects.get(name=name)
    group.permissions.add(*named("sessions.view_session", "organisations_app.view_auditentry"))
    before = held_by(group)
    save_as_shown(admin_client, group)
    completed = held_by(group)
    assert before <= completed and {name.partition(".")[0] for name in completed - before} <= set(APPS)
    AuditEntry.objects.all().delete()
    save_as_shown(admin_client, group)
    assert held_by(group) == completed and not AuditEntry.objects.exists()


def test_what_is_ticked_comes_with_its_parts(admin_client: Client) -> None:
    """Who may change keys may change their policies and access rights, which stand on the same page."""
    submit(admin_client, "/admin/auth/group/add/", name="Key keepers")
    group = Group.objects.get(name="Key keepers")
    ticked(admin_client, page_of(group), "sessions_app.view_key", "sessions_app.change_key", "sessions_app.revoke_key")
    changed = {name.partition("change_")[2] for name in held_by(group) if ".change_" in name}
    assert changed == {"key", "keypolicy", "keyaccess", "credential"}
    assert {"sessions_app.revoke_key", "sessions_app.view_keyaccess"} <= held_by(group)
    assert not any("revoke_credential" in name for name in held_by(group))


def test_what_is_not_ticked_any_more_goes_with_its_parts(admin_client: Client) -> None:
    group = Group.objects.get(name=OPERATOR)
    group.permissions.add(*named("sessions.view_session"))
    ticked(admin_client, page_of(group), "sessions_app.view_key", "policies_app.change_policy")
    held = held_by(group)
    assert {"sessions_app.view_keypolicy", "policies_app.change_policyaccess", "sessions.view_session"} <= held
    assert not {"sessions_app.change_key", "sessions_app.change_keypolicy", "monitors_app.view_attempt"} & held


def test_a_person_of_such_a_group_can_change_what_the_page_shows(admin_client: Client, client: Client) -> None:
    submit(admin_client, "/admin/auth/group/add/", name="Key keepers")
    group = Group.objects.get(name="Key keepers")
    names = (f"sessions_app.{action}_key" for action in ("view", "add", "change", "delete"))
    ticked(admin_client, page_of(group), *names)
    staff = User.objects.create_user("keeper", is_staff=True)
    staff.groups.add(group)
    key = Key(pk="key_shop", organisation=AcmeFactory.create(), alias="Shop")
    create_key(key)
    keeper = Client()
    keeper.force_login(staff)
    values = form_values(keeper.get("/admin/sessions_app/key/key_5Fshop/change/"))
    assert f"{KeyPolicy._meta.get_field('key').remote_field.related_name}-TOTAL_FORMS" in values
    assert keeper.post("/admin/sessions_app/key/key_5Fshop/delete/", {"post": "yes"}).status_code == 302
    assert not Key.objects.exists()


def test_permissions_of_a_login_are_saved_alike(admin_client: Client) -> None:
    staff = User.objects.create_user("staff", is_staff=True)
    staff.user_permissions.add(*named("sessions.view_session"))
    chosen = [each.pk for each in named("policies_app.view_policy")]
    submit(admin_client, f"/admin/auth/user/{staff.pk}/change/", user_permissions=chosen)
    held = {name_of(each) for each in staff.user_permissions.select_related("content_type")}
    assert held == {"sessions.view_session", "policies_app.view_policy", "policies_app.view_policyaccess"}
    [entry] = AuditEntry.objects.all()
    assert (entry.action, list(entry.after)) == ("change", ["user_permissions"])


def test_what_is_not_offered_is_refused(admin_client: Client) -> None:
    group = Group.objects.get(name=SUPPORT)
    before = held_by(group)
    answer = ticked(admin_client, page_of(group), "sessions.add_session")
    assert answer.status_code == 200 and held_by(group) == before


def test_nothing_is_added_by_completing_nothing() -> None:
    assert completed([], []) == []
    held = named("sessions.add_session", "sessions_app.view_keypolicy", "sessions_app.view_key")
    assert completed([], held) == held[:1]


def test_verbs_read_as_sentences() -> None:
    assert [words_of(each) for each in named("sessions_app.revoke_key", "monitors_app.change_delivery")] == [
        "Revoke a key",
        "Send again",
    ]


# --- who gives them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_confined", [False, True])
def test_who_is_no_superuser_gives_none(client: Client, is_confined: bool) -> None:
    """Not even those that they hold themselves: else they would give them to a login that is not confined."""
    staff = User.objects.create_user("staff", is_staff=True)
    staff.user_permissions.set(Permission.objects.all())
    if is_confined:
        StaffConfinement.objects.create(user=staff).organisations.add(AcmeFactory.create())
    other = User.objects.create_user("other")
    client.force_login(staff)
    powers = {"user_permissions": [each.pk for each in named("sessions_app.view_key")], "is_staff": "on"}
    client.post(f"/admin/auth/user/{other.pk}/change/", {"username": "other", "groups": [1], **powers})
    passwords = dict.fromkeys(("password1", "password2"), "Xq9-long-word")
    client.post("/admin/auth/user/add/", {"username": "new", **passwords, **powers})
    for login in User.objects.exclude(pk=staff.pk):
        assert not login.is_staff and not login.user_permissions.exists() and not login.groups.exists()
    group = Group.objects.get(name=SUPPORT)
    before = held_by(group)
    answer = client.post(page_of(group), {"name": "mine", "permissions": [each.pk for each in offered()]})
    assert answer.status_code in (403, 404) and held_by(group) == before
