"""The admin of organisations, their sessions, developers and applications."""

from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.test import Client

from organisations_app.models import Application, ConfigVersion, Developer, Organisation
from organisations_app.versions import GATEWAY, organisation_scope
from policies_app.models import Api
from sessions_app.models import OrgSession
from tests.admin_pages import errors_of, submit
from tests.factories import AcmeFactory, AppFactory, GlobexFactory, MemberFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

ORGANISATIONS = "/admin/organisations_app/organisation/"
SESSIONS = "/admin/sessions_app/orgsession/"
NOWHERE = "redis://127.0.0.1:1/0"


def version(scope: str) -> int:
    found = ConfigVersion.objects.filter(pk=scope).first()
    return found.number if found else 0


def test_an_organisation_is_made_and_its_id_is_for_life(admin_client: Client) -> None:
    assert submit(admin_client, f"{ORGANISATIONS}add/", name="Acme", id="acme").status_code == 302
    submit(admin_client, f"{ORGANISATIONS}acme/change/", name="Acme Ltd", id="other")
    assert list(Organisation.objects.values_list("id", "name")) == [("acme", "Acme Ltd")]


def test_an_unknown_time_zone_is_refused_with_examples(admin_client: Client) -> None:
    response = submit(admin_client, f"{ORGANISATIONS}add/", name="Acme", timezone="Mars/Olympus")
    assert "Europe/Berlin" in errors_of(response)["timezone"] and not Organisation.objects.exists()


def test_changing_an_organisation_moves_its_version(admin_client: Client) -> None:
    AcmeFactory.create()
    submit(admin_client, f"{ORGANISATIONS}acme/change/", timezone="UTC")
    assert version(organisation_scope("acme")) == 1


@pytest.mark.parametrize("bulk", [False, True])
def test_deleting_an_organisation_moves_the_gateways_version_too(admin_client: Client, bulk: bool) -> None:
    Api.objects.create(organisation=AcmeFactory.create(), name="Orders", listen_path="/orders/")
    if bulk:
        selected = {"action": "delete_selected", "_selected_action": "acme", "post": "yes"}
        admin_client.post(ORGANISATIONS, selected)
    else:
        admin_client.post(f"{ORGANISATIONS}acme/delete/", {"post": "yes"})
    assert not Api.objects.exists()
    assert (version(organisation_scope("acme")), version(GATEWAY)) == (1, 1)


def test_a_login_that_exists_becomes_a_developer_who_owns_an_application(admin_client: Client) -> None:
    AcmeFactory.create()
    user = User.objects.create_user("dora", "dora@acme.example")
    developers = "/admin/organisations_app/developer/"
    submit(admin_client, f"{developers}add/", organisation="acme", user=user.pk, role="admin")
    developer = Developer.objects.get()
    assert (developer.organisation_id, developer.role, developer.user) == ("acme", "admin", user)
    application = {"name": "Shop", "organisation": "acme", "developer": developer.pk}
    submit(admin_client, "/admin/organisations_app/application/add/", **application)
    assert Application.objects.get().developer == developer


def test_a_new_developer_needs_one_login(admin_client: Client) -> None:
    AcmeFactory.create()
    user = User.objects.create_user("dora", "dora@acme.example")
    page = "/admin/organisations_app/developer/add/"
    for logins in ({}, {"user": user.pk, "email": "other@acme.example"}):
        refused = submit(admin_client, page, organisation="acme", **logins)
        assert errors_of(refused)["email"].startswith("Name the e-mail address of a new login, or choose one")
    taken = submit(admin_client, page, organisation="acme", email="dora")
    assert "email" in errors_of(taken)
    assert not Developer.objects.exists()


def test_a_developer_of_another_organisation_cannot_own_an_application(admin_client: Client) -> None:
    app = AppFactory.create()
    GlobexFactory.create()
    response = submit(admin_client, f"/admin/organisations_app/application/{app.pk}/change/", organisation="globex")
    assert "another organisation" in errors_of(response)["developer"]


@pytest.mark.parametrize("model", ["organisation", "developer", "application"])
def test_lists_stay_below_12_queries(admin_client: Client, model: str, django_assert_max_num_queries: Any) -> None:
    for number in range(8):
        developer = MemberFactory.create(user__username=f"dev{number}")
        AppFactory.create(developer=developer)
        OrgSession.objects.create(organisation=Organisation.objects.create(name=f"Org {number}"))
    with django_assert_max_num_queries(12):
        assert admin_client.get(f"/admin/organisations_app/{model}/").status_code == 200


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_the_way_from_an_organisation_to_its_session(admin_client: Client) -> None:
    AcmeFactory.create()
    link = f"{ORGANISATIONS}acme/open_session/"
    assert admin_client.get(link).headers["Location"] == f"{SESSIONS}add/?organisation=acme"
    session = OrgSession.objects.create(organisation_id="acme", quota_max=100)
    assert admin_client.get(link).headers["Location"] == f"{SESSIONS}{session.pk}/change/"


def test_the_way_is_found_for_ids_with_special_characters(admin_client: Client) -> None:
    organisation = AcmeFactory.create(id="eu:acme_1")
    link = f"{ORGANISATIONS}{quote(organisation.pk)}/open_session/"
    assert admin_client.get(link).headers["Location"] == f"{SESSIONS}add/?organisation=eu%3Aacme_1"


def test_a_session_is_made_edited_and_deleted_with_its_version(admin_client: Client) -> None:
    AcmeFactory.create()
    submit(admin_client, f"{SESSIONS}add/?organisation=acme", quota_max="100", trigger_limits="90, 75")
    session = OrgSession.objects.get()
    assert (session.quota_max, session.trigger_limits, version("org:acme")) == (100, [90, 75], 1)
    response = submit(admin_client, f"{SESSIONS}{session.pk}/change/", quota_max="0")
    assert "-1 for unlimited" in errors_of(response)["quota_max"] and version("org:acme") == 1
    submit(admin_client, f"{SESSIONS}{session.pk}/change/", is_inactive="on")
    assert version("org:acme") == 2
    admin_client.post(f"{SESSIONS}{session.pk}/delete/", {"post": "yes"})
    assert version("org:acme") == 3 and not OrgSession.objects.exists()


def test_pages_of_sessions_show_live_usage_and_work_without_the_store(admin_client: Client, settings: Any) -> None:
    session = OrgSession.objects.create(organisation=AcmeFactory.create(), quota_max=100, quota_renewal_rate=60)
    page = f"{SESSIONS}{session.pk}/change/"
    assert "100 remaining" in admin_client.get(page).content.decode()
    assert "100 left" in admin_client.get(SESSIONS).content.decode()
    settings.GATEWAY_STORE_URL = NOWHERE
    for url in (page, SESSIONS):
        assert "The counter store does not answer" in admin_client.get(url).content.decode()
    answer = admin_client.post(f"{SESSIONS}{session.pk}/reset_quota/", {"confirmed": "yes"}, follow=True)
    assert "nothing was reset" in answer.content.decode()


def test_the_quota_of_an_organisation_is_reset_after_a_question(admin_client: Client) -> None:
    session = OrgSession.objects.create(organisation=AcmeFactory.create(), quota_max=100)
    url = f"{SESSIONS}{session.pk}/reset_quota/"
    assert "Reset quota" in admin_client.get(url).content.decode()
    assert "0 requests had been used" in admin_client.post(url, {"confirmed": "yes"}, follow=True).content.decode()


def test_the_list_of_sessions_stays_below_12_queries(admin_client: Client, django_assert_max_num_queries: Any) -> None:
    for number in range(8):
        OrgSession.objects.create(organisation=Organisation.objects.create(name=f"Org {number}"), quota_max=10)
    with django_assert_max_num_queries(12):
        assert admin_client.get(SESSIONS).content.decode().count('class="usage-bar"') == 8


def test_an_organisations_page_leads_to_what_it_owns(admin_client: Client, django_assert_max_num_queries: Any) -> None:
    AppFactory.create(name="Shop")
    GlobexFactory.create()
    with django_assert_max_num_queries(12):
        page = admin_client.get(f"{ORGANISATIONS}acme/change/")
    owned = {each["name"]: each for each in page.context["owned"]}
    assert {name: str(each["count"]) for name, each in owned.items()} == {
        "keys": "0",
        "policies": "0",
        "APIs": "0",
        "developer": "1",
        "application": "1",
    }
    assert "Shop" in admin_client.get(owned["application"]["url"]).content.decode()
    other = admin_client.get(f"{ORGANISATIONS}globex/change/").context["owned"]
    assert {str(each["count"]) for each in other} == {"0"}
