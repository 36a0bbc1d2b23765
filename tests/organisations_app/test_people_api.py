"""`/api/v1/developers`, `/api/v1/applications` and `/api/v1/audit`."""

import pytest
from django.contrib.auth.models import User

from organisations_app.models import Application, AttributeDefinition, AuditEntry, Developer
from tests.administration import pointers
from tests.factories import AcmeFactory, AdminFactory, AppFactory, GlobexFactory, MemberFactory, OutsiderFactory

pytestmark = pytest.mark.django_db
ADA = {"org_id": "acme", "email": "ada@acme.example", "role": "admin"}


@pytest.fixture(autouse=True)
def organisations():
    AcmeFactory.create(), GlobexFactory.create()


def test_the_life_of_a_developer(rest, client):
    AttributeDefinition.objects.create(name="team")
    made = rest.done("POST", "/developers", {**ADA, "password": "long enough 1", "attributes": {"team": "red"}})
    assert (made["username"], made["role"], made["attributes"]) == ("ada@acme.example", "admin", {"team": "red"})
    assert "password" not in made and client.login(username="ada@acme.example", password="long enough 1")
    address = f"/developers/{made['id']}"
    changed = rest.done("PATCH", address, {"role": "member", "last_name": "L"})
    assert (changed["role"], changed["last_name"], changed["email"]) == ("member", "L", "ada@acme.example")
    assert rest.get("/developers?email=ADA@acme.example")["results"] == [changed]
    AppFactory.create(developer=Developer.objects.get(pk=made["id"]))
    assert rest.ask("DELETE", address).status_code == 204
    assert not User.objects.filter(email="ada@acme.example") and not Application.objects.exists()


def test_without_a_password_nobody_can_log_in(rest):
    made = rest.done("POST", "/developers", ADA)
    assert not User.objects.get(username=made["username"]).has_usable_password()


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/email"),
        ({"email": "no address"}, "/email"),
        ({"email": 5}, "/email"),
        ({"role": "owner"}, "/role"),
        ({"org_id": "none"}, "/org_id"),
        ({"org_id": 5}, "/org_id"),
        ({"password": "12345678"}, "/password"),
        ({"attributes": {"unknown": 1}}, "/attributes"),
        ({"attributes": []}, "/attributes"),
        ({"username": "a b"}, "/username"),
        ({"nickname": "x"}, "/nickname"),
    ],
)
def test_a_wrong_developer_is_refused_and_makes_nothing(rest, body, pointer):
    MemberFactory.create()
    before = list(User.objects.values()), AuditEntry.objects.count()
    code, problem = rest.refused("POST", "/developers", {**ADA, **body} if body else {"org_id": "acme"})
    assert (code, set(pointers(problem))) == (400, {pointer})
    assert (list(User.objects.values()), AuditEntry.objects.count()) == before


def test_a_developer_stays_in_the_organisation_and_staff_keep_their_login(rest):
    boss = MemberFactory.create()
    boss.user.is_staff = True
    boss.user.save()
    address = f"/developers/{boss.pk}"
    assert pointers(rest.refused("PATCH", address, {"org_id": "globex"})[1]) == ["/org_id"]
    assert pointers(rest.refused("PATCH", address, {"email": "new@acme.example"})[1]) == ["/username"]
    assert rest.done("PATCH", address, {"role": "admin"})["role"] == "admin"
    rest.done("DELETE", address)
    assert User.objects.filter(pk=boss.user.pk).exists()


def test_the_life_of_an_application(rest):
    member, colleague, outsider = MemberFactory.create(), AdminFactory.create(), OutsiderFactory.create()
    made = rest.done("POST", "/applications", {"developer_id": member.pk, "name": "Shop"})
    assert made == {"id": made["id"], "org_id": "acme", "developer_id": member.pk, "name": "Shop", "description": ""}
    address = f"/applications/{made['id']}"
    assert rest.done("PATCH", address, {"developer_id": colleague.pk})["developer_id"] == colleague.pk
    assert pointers(rest.refused("PATCH", address, {"developer_id": outsider.pk})[1]) == ["/developer_id"]
    assert rest.get(f"/applications?developer_id={colleague.pk}")["results"][0]["id"] == made["id"]
    for body, pointer in (
        ({"name": "x"}, "/developer_id"),
        ({"developer_id": 0, "name": "x"}, "/developer_id"),
        ({"developer_id": "1", "name": "x"}, "/developer_id"),
        ({"developer_id": member.pk}, "/name"),
        ({"developer_id": colleague.pk, "name": "Shop"}, ""),
    ):
        code, problem = rest.refused("POST", "/applications", body)
        assert (code, pointers(problem)) == (400, [pointer]), body
    assert rest.ask("DELETE", address).status_code == 204 and not Application.objects.exists()


def test_the_audit_tells_who_changed_what(rest):
    rest.done("PATCH", "/organisations/acme", {"timezone": "UTC"})
    rest.done("POST", "/developers", {**ADA, "password": "long enough 1"})
    [developer, organisation] = rest.get("/audit")["results"]
    assert (organisation["actor"], organisation["action"], organisation["subject_id"]) == (
        "token:root",
        "change",
        "acme",
    )
    assert (organisation["before"], organisation["after"]) == ({"timezone": "Europe/Berlin"}, {"timezone": "UTC"})
    assert developer["after"]["email"] == "ada@acme.example" and "long enough" not in str(developer)
    assert rest.get(f"/audit/{organisation['id']}") == organisation
    assert rest.get("/audit?subject_kind=developer&action=create")["results"] == [developer]
    assert rest.get("/audit?after=2999-01-01T00:00:00Z")["results"] == []
    assert rest.refused("PATCH", f"/audit/{organisation['id']}", {})[0] == 405


@pytest.mark.parametrize("path", ["/developers", "/applications", "/audit", "/organisations", "/tokens"])
def test_a_list_takes_the_same_number_of_questions_however_long_it_is(rest, path, django_assert_max_num_queries):
    for developer in (MemberFactory.create(), AdminFactory.create(), OutsiderFactory.create()):
        AppFactory.create(developer=developer)
    rest.done("PATCH", "/organisations/acme", {"timezone": "UTC"})
    with django_assert_max_num_queries(3):
        rest.get(path)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("role=owner", "/role"),
        ("organisation=acme", "/organisation"),
        ("ordering=password", "/ordering"),
        ("page_size=0", "/page_size"),
        ("page_size=201", "/page_size"),
        ("page_size=x", "/page_size"),
    ],
)
def test_what_makes_no_sense_in_an_address_is_refused(rest, query, pointer):
    code, problem = rest.refused("GET", f"/developers?{query}")
    assert (code, pointers(problem)) == (400, [pointer])
