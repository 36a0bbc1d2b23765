"""`/api/v1/apis` and `/api/v1/policies`."""

import pytest
from django.db import IntegrityError

from organisations_app.models import ConfigVersion
from policies_app import catalogue
from policies_app.models import Api, Policy
from policies_app.shapes import PolicyShape
from tests.administration import pointers
from tests.factories import AcmeFactory, GlobexFactory

pytestmark = pytest.mark.django_db

API = {"id": "a", "org_id": "acme", "name": "A", "listen_path": "/a/", "target_url": "http://up.example"}
POLICY = {"id": "p", "org_id": "acme", "name": "P", "quota_max": 10, "rate": 5, "per": 1, "access_rights": {"a": {}}}


@pytest.fixture(autouse=True)
def acme():
    return AcmeFactory()


def gateway_version() -> int:
    return ConfigVersion.objects.get(scope="gateway").number


def everything():
    return (
        list(Api.objects.values()),
        list(Policy.objects.values("pk", "name", "quota_max", "organisation")),
        gateway_version(),
    )


def test_the_life_of_an_api(rest):
    assert rest.ask("POST", "/apis", API).status_code == 201
    shown = rest.get("/apis/a")
    assert (shown["listen_path"], shown["on_store_failure"], shown["is_active"]) == ("/a/", "open", True)
    before = gateway_version()
    assert rest.done("PATCH", "/apis/a", {"is_active": False})["is_active"] is False
    assert rest.done("PUT", "/apis/a", shown)["is_active"] is True
    assert gateway_version() == before + 2
    assert [api["id"] for api in rest.get("/apis?org_id=acme&is_active=true")["results"]] == ["a"]
    assert rest.ask("DELETE", "/apis/a").status_code == 204 and rest.refused("GET", "/apis/a")[0] == 404


def test_the_life_of_a_policy(rest):
    assert rest.ask("POST", "/policies", POLICY).status_code == 201
    shown = rest.get("/policies/p")
    assert (shown["quota_max"], shown["access_rights"]["a"]["api_id"], shown["is_inactive"]) == (10, "a", False)
    assert set(shown) == set(PolicyShape().fields) - {"quota_period", "quota_anchor_day"}
    before = gateway_version()
    assert rest.done("PATCH", "/policies/p", {"is_inactive": True})["is_inactive"] is True
    assert rest.done("PATCH", "/policies/p", {"is_inactive": False, "quota_max": 7})["is_inactive"] is False
    assert rest.done("PUT", "/policies/p", shown) == shown
    assert gateway_version() == before + 3
    assert [policy["id"] for policy in rest.get("/policies?name=P")["results"]] == ["p"]
    assert rest.ask("DELETE", "/policies/p").status_code == 204 and rest.refused("GET", "/policies/p")[0] == 404


def test_what_tyk_wrote_and_this_api_does_not_show_survives_it(rest, tyk):
    tyk.done(
        "POST",
        "/policies",
        {
            "id": "p",
            "org_id": "acme",
            "active": False,
            "hmac_enabled": True,
            "access_rights": {"a": {"allowed_urls": [{"url": "/x"}]}},
        },
    )
    assert rest.get("/policies/p")["is_inactive"] is True
    rest.done("PATCH", "/policies/p", {"is_inactive": False})
    shown = tyk.get("/policies/p")
    assert (shown["active"], shown["is_inactive"], shown["hmac_enabled"]) == (True, False, True)
    assert shown["access_rights"]["a"]["allowed_urls"] == [{"url": "/x"}]
    rest.done("PUT", "/policies/p", rest.get("/policies/p"))
    assert tyk.get("/policies/p")["hmac_enabled"] is True


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "pointer", "words"),
    [
        ("POST", "/apis", {**API, "id": "b"}, 409, "/listen_path", "exists"),
        ("POST", "/apis", {**API, "listen_path": "/b/"}, 409, "/id", "exists"),
        ("POST", "/apis", {**API, "id": "b", "listen_path": "/api/"}, 400, "/listen_path", "reserved"),
        ("PATCH", "/apis/a", {"target_url": "nowhere"}, 400, "/target_url", "no usable target"),
        ("PATCH", "/apis/a", {"org_id": "none"}, 400, "/org_id", "none"),
        ("PATCH", "/apis/a", {"id": "b"}, 400, "/id", "must stay a"),
        ("PATCH", "/apis/a", {"name": 5}, 400, "/name", "must be a text"),
        ("PATCH", "/apis/a", {"name": "x" * 300}, 400, "/name", "200"),
        ("PATCH", "/apis/a", {"is_active": "yes"}, 400, "/is_active", "true or false"),
        ("PATCH", "/apis/a", {"on_store_failure": 1}, 400, "/on_store_failure", "one of open, closed"),
        ("PATCH", "/apis/a", {"active": False}, 400, "/active", "no member here"),
        ("PATCH", "/apis/a", [], 400, "", "dictionary"),
        ("POST", "/policies", POLICY, 409, "/id", "exists already"),
        ("POST", "/policies", {**POLICY, "id": "q", "org_id": "none"}, 400, "/org_id", "no organisation"),
        ("POST", "/policies", {"id": "q"}, 400, "/org_id", "required"),
        ("PATCH", "/policies/p", {"quota_max": 0}, 400, "/quota_max", "use -1"),
        ("PATCH", "/policies/p", {"active": False}, 400, "/active", "no member here"),
        ("PATCH", "/policies/p", {"id": "q"}, 400, "/id", "must stay p"),
        ("PATCH", "/policies/p", {"partitions": {"per_api": True, "quota": True}}, 400, "/partitions", "cannot stand"),
        ("PATCH", "/policies/p", [], 400, "", "must be a JSON object"),
        ("PUT", "/policies/p", {**POLICY, "tags": "x"}, 400, "/tags", "list of texts"),
    ],
)
def test_what_is_refused_says_where_and_changes_nothing(rest, method, path, body, status, pointer, words):
    rest.done("POST", "/apis", API), rest.done("POST", "/policies", POLICY)
    before = everything()
    code, problem = rest.refused(method, path, body)
    assert (code, pointers(problem)) == (status, [pointer]) and words in problem["errors"][0]["detail"]
    assert everything() == before


def test_a_policy_may_move_to_another_organisation(rest):
    GlobexFactory(), rest.done("POST", "/policies", POLICY)
    assert rest.done("PATCH", "/policies/p", {"org_id": "globex"})["org_id"] == "globex"


def test_two_writers_at_the_same_moment_are_a_conflict_in_both_apis(rest, tyk, monkeypatch):
    def taken(_):
        raise IntegrityError("UNIQUE constraint failed: policies_app_api.listen_path")

    monkeypatch.setattr(catalogue, "save_api", taken)
    code, problem = rest.refused("POST", "/apis", API)
    assert (code, problem["code"]) == (409, "conflict")
    code, answer = tyk.refused("POST", "/apis", {"org_id": "acme", "proxy": {"listen_path": "/a/"}})
    assert (code, answer["status"]) == (409, "error") and "policies_app" not in answer["message"]
