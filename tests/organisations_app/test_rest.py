"""What all of `/api/v1` has in common: who may ask, how errors look, organisations, and the schema."""

import pytest
from django.core.management import call_command

from organisations_app.models import ConfigVersion, Organisation
from tests.administration import SECRET, pointers
from tests.factories import AcmeFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("method", "path", "more", "status", "code"),
    [
        ("GET", "/keys", {"headers": {}}, 401, "not_authenticated"),
        ("GET", "/keys", {"headers": {"Authorization": "Bearer wrong"}}, 401, "authentication_failed"),
        ("GET", "/keys", {"headers": {"Authorization": "Bearer"}}, 401, "authentication_failed"),
        ("GET", "/keys", {"headers": {"Authorization": f"Basic {SECRET}"}}, 401, "not_authenticated"),
        ("GET", "/nothing", {"headers": {}}, 401, "not_authenticated"),
        ("GET", "/nothing", {}, 404, "not_found"),
        ("POST", "/nothing", {}, 404, "not_found"),
        ("GET", "/keys/none", {}, 404, "not_found"),
        ("GET", "/keys/%00", {}, 404, "not_found"),
        ("GET", "/keys/", {}, 404, "not_found"),
        ("DELETE", "/keys", {}, 405, "method_not_allowed"),
        ("POST", "/organisations", {"content_type": "text/plain", "body": b"{}"}, 415, "unsupported_media_type"),
        ("POST", "/organisations", {"body": b"{"}, 400, "malformed"),
        ("POST", "/organisations", {"body": b'{"name": NaN}'}, 400, "malformed"),
        ("POST", "/organisations", {"body": b" " * (2**20 + 1)}, 413, "too_large"),
        ("GET", "/organisations?cursor=x", {}, 404, "not_found"),
        ("GET", "/organisations?cursor=cD0lMDA=", {}, 404, "not_found"),
        ("GET", "/keys?application_id=x", {}, 400, "invalid"),
    ],
)
def test_every_error_is_a_problem_document(rest, method, path, more, status, code):
    answer = rest.ask(method, path, **more)
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert answer["Content-Type"] == "application/problem+json"
    assert problem["errors"] and all(
        set(error) == {"pointer", "detail", "code"} and error["detail"] for error in problem["errors"]
    )
    assert ("WWW-Authenticate" in answer) == (status == 401)


def test_without_a_configured_secret_there_is_no_root_token(rest, settings):
    settings.GATEWAY_ADMIN_SECRET = ""
    assert rest.refused("GET", "/keys")[0] == 401
    assert rest.refused("GET", "/keys", headers={"Authorization": "Bearer "})[0] == 401


def test_the_life_of_an_organisation(rest):
    assert (
        rest.ask("POST", "/organisations", {"id": "acme", "name": "Acme", "timezone": "Europe/Berlin"}).status_code
        == 201
    )
    assert rest.done("PATCH", "/organisations/acme", {"timezone": "UTC"})["timezone"] == "UTC"
    assert ConfigVersion.objects.get(scope="org:acme").number == 2
    assert [one["id"] for one in rest.get("/organisations?name=Acme")["results"]] == ["acme"]
    assert len(rest.done("POST", "/organisations", {"name": "x"})["id"]) == 24
    assert rest.ask("DELETE", "/organisations/acme").status_code == 204 and not Organisation.objects.filter(pk="acme")


@pytest.mark.parametrize(
    ("method", "path", "body", "pointer"),
    [
        ("POST", "/organisations", {}, "/name"),
        ("POST", "/organisations", {"id": "a b", "name": "x"}, "/id"),
        ("POST", "/organisations", {"name": ["x"]}, "/name"),
        ("PATCH", "/organisations/acme", {"timezone": "Mars"}, "/timezone"),
        ("PATCH", "/organisations/acme", {"id": "other"}, "/id"),
        ("PATCH", "/organisations/acme", {"title": "x"}, "/title"),
        ("PATCH", "/organisations/acme", {"name": None}, "/name"),
    ],
)
def test_a_wrong_organisation_is_refused_where_it_is_wrong(rest, method, path, body, pointer):
    AcmeFactory()
    before = list(Organisation.objects.values())
    code, problem = rest.refused(method, path, body)
    assert (code, pointers(problem)) == (400, [pointer])
    assert list(Organisation.objects.values()) == before


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/organisations", {"id": "acme", "name": "Acme"}, "/id"),
        ("/developers", {"org_id": "acme", "email": "ada@acme.example"}, "/email"),
        ("/developers", {"org_id": "acme", "email": "x@acme.example", "username": "ada@acme.example"}, "/username"),
        (
            "/apis",
            {"org_id": "acme", "id": "a", "name": "A", "listen_path": "/b/", "target_url": "https://a.example"},
            "/id",
        ),
        ("/policies", {"org_id": "acme", "id": "p", "name": "P"}, "/id"),
        ("/attributes", {"name": "plan"}, "/name"),
    ],
)
def test_what_exists_already_is_a_conflict(rest, path, body, pointer):
    rest.done("POST", "/organisations", {"id": "acme", "name": "Acme"})
    rest.done("POST", "/developers", {"org_id": "acme", "email": "ada@acme.example"})
    rest.done(
        "POST",
        "/apis",
        {"org_id": "acme", "id": "a", "name": "A", "listen_path": "/a/", "target_url": "https://a.example"},
    )
    rest.done("POST", "/policies", {"org_id": "acme", "id": "p", "name": "P"})
    rest.done("POST", "/attributes", {"name": "plan"})
    status, told = rest.refused("POST", path, body)
    assert (status, told["code"], [each["pointer"] for each in told["errors"]]) == (
        409,
        "conflict",
        [pointer],
    )


def test_what_exists_already_is_no_conflict_as_long_as_more_is_wrong(rest):
    rest.done("POST", "/organisations", {"id": "acme", "name": "Acme"})
    status, told = rest.refused("POST", "/organisations", {"id": "acme", "name": "Acme", "timezone": "Mars"})
    assert (status, told["code"]) == (400, "invalid")


def test_pages_go_there_and_back(rest):
    for name in "abc":
        Organisation.objects.create(id=name, name=name)
    first = rest.get("/organisations?page_size=2")
    second = rest.get(first["next"].partition("/api/v1")[2])
    assert [one["id"] for page in (first, second) for one in page["results"]] == ["a", "b", "c"]
    assert rest.get(second["previous"].partition("/api/v1")[2])["results"] == first["results"]


def test_the_schema_has_no_warnings(tmp_path):
    call_command("spectacular", "--validate", "--fail-on-warn", file=str(tmp_path / "schema.yml"))
    assert (tmp_path / "schema.yml").read_text().startswith("openapi: 3.1.0")


@pytest.mark.parametrize("path", ["schema/", "schema", "docs/", "docs"])
def test_the_schema_and_its_page_need_no_token(client, path):
    assert client.get(f"/api/v1/{path}").status_code == 200


def test_the_page_loads_nothing_from_elsewhere(client):
    page = client.get("/api/v1/docs/").content.decode()
    assert "swagger-ui" in page and "http://" not in page and "https://" not in page


def test_tyks_health_page_is_open_to_all(client):
    answer = client.get("/hello")
    assert answer.status_code == 200 and answer.json()["status"] == "pass"
    assert set(answer.json()["details"]["redis"]) == {"status", "componentType", "time"}
    assert client.post("/hello").status_code == 405
