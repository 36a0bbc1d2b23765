"""API definitions and policies over Tyk's gateway API: statuses, messages, and nothing half done."""

import pytest

from organisations_app.models import ConfigVersion, Organisation
from policies_app.models import Api, Policy, PolicyAccess

pytestmark = pytest.mark.django_db

API = {
    "api_id": "a",
    "name": "A",
    "org_id": "acme",
    "active": True,
    "proxy": {"listen_path": "/a/", "target_url": "http://up.example/"},
}
POLICY = {"id": "p", "name": "P", "org_id": "acme", "quota_max": 10, "access_rights": {"a": {"api_id": "a"}}}


def gateway_version() -> int:
    return ConfigVersion.objects.get(scope="gateway").number


def test_the_life_of_an_api(tyk):
    assert tyk.done("POST", "/apis", API) == {"key": "a", "status": "ok", "action": "added"}
    assert Organisation.objects.get().pk == "acme"
    assert tyk.get("/apis/a")["proxy"]["listen_path"] == "/a/"
    assert [api["api_id"] for api in tyk.get("/apis/")] == ["a"]
    before = gateway_version()
    assert tyk.done("PUT", "/apis/a", {**API, "name": "B"})["action"] == "modified"
    assert (Api.objects.get().name, gateway_version()) == ("B", before + 1)
    assert tyk.done("DELETE", "/apis/a/") == {"key": "a", "status": "ok", "action": "deleted"}
    assert tyk.refused("GET", "/apis/a") == (404, {"status": "error", "message": "API not found"})


def test_the_life_of_a_policy(tyk):
    assert tyk.done("POST", "/policies", POLICY) == {"key": "p", "status": "ok", "action": "added"}
    shown = tyk.get("/policies/p")
    assert (shown["quota_max"], list(shown["access_rights"])) == (10, ["a"])
    assert [policy["id"] for policy in tyk.get("/policies")] == ["p"]
    before = gateway_version()
    assert tyk.done("PUT", "/policies/p", {**POLICY, "quota_max": 0, "access_rights": {}})["action"] == "modified"
    assert (Policy.objects.get().quota_max, PolicyAccess.objects.count(), gateway_version()) == (-1, 0, before + 1)
    assert tyk.done("DELETE", "/policies/p")["action"] == "deleted"
    assert tyk.refused("GET", "/policies/p") == (404, {"status": "error", "message": "Policy not found"})


def test_ids_are_made_where_none_are_sent(tyk):
    api = tyk.done("POST", "/apis", {**API, "api_id": ""})["key"]
    policy = tyk.done("POST", "/policies", {**POLICY, "id": ""})["key"]
    assert (Api.objects.get().pk, Policy.objects.get().pk) == (api, policy) and len(api) == len(policy) == 24


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "/apis", {**API, "api_id": "b"}, 400, "proxy.listen_path: "),
        (
            "POST",
            "/apis",
            {**API, "proxy": {"listen_path": "/portal/"}},
            400,
            "proxy.listen_path: /portal/ is reserved",
        ),
        ("POST", "/apis", b"{not json", 400, "Request malformed: no JSON at line 1"),
        ("POST", "/apis", b"[]", 400, "must be a JSON object"),
        ("POST", "/apis", b" " * (2**20 + 1), 413, "at most 1048576 bytes"),
        ("PUT", "/apis/a", {**API, "api_id": "b"}, 400, "these must match"),
        ("PUT", "/apis/none", {**API, "api_id": "none"}, 404, "API not found"),
        ("DELETE", "/apis/none", None, 404, "API not found"),
        (
            "POST",
            "/policies",
            {**POLICY, "monitor": {"trigger_limits": [50, 80]}},
            400,
            "monitor.trigger_limits: must descend",
        ),
        ("PUT", "/policies/p", {**POLICY, "id": "q"}, 400, "these must match"),
        ("PUT", "/policies/p", {**POLICY, "rate": "5"}, 400, "rate: must be a number"),
        ("DELETE", "/policies/none", None, 404, "Policy not found"),
        ("PATCH", "/policies/p", {}, 405, "Method not supported"),
        ("GET", "/nothing", None, 404, "Not found"),
        ("GET", "/policies/p%00", None, 400, "NUL"),
    ],
)
def test_what_is_refused_changes_nothing(tyk, method, path, body, status, message):
    tyk.done("POST", "/apis", API)
    tyk.done("POST", "/policies", POLICY)
    before = list(Api.objects.values()), list(Policy.objects.values()), gateway_version()
    code, answer = tyk.refused(method, path, body)
    assert (code, answer["status"]) == (status, "error") and message in answer["message"]
    assert (list(Api.objects.values()), list(Policy.objects.values()), gateway_version()) == before


@pytest.mark.parametrize("headers", [{}, {"X-Tyk-Authorization": "wrong"}, {"X-Tyk-Authorization": ""}])
@pytest.mark.parametrize("path", ["/apis", "/keys/any", "/reload", "/nothing"])
def test_the_secret_comes_before_everything_else(tyk, headers, path):
    message = "Attempted administrative access with invalid or missing key!"
    assert tyk.refused("GET", path, headers=headers) == (403, {"status": "error", "message": message})


def test_without_a_configured_secret_the_dialect_is_off(tyk, settings):
    settings.GATEWAY_ADMIN_SECRET = ""
    assert tyk.refused("GET", "/apis")[0] == tyk.refused("GET", "/apis", headers={"X-Tyk-Authorization": ""})[0] == 403


@pytest.mark.parametrize("path", ["/reload", "/reload/", "/reload/group", "/reload?block=true"])
def test_reload_is_a_polite_no_op(tyk, path):
    assert tyk.get(path) == {"status": "ok", "message": ""}
