"""The Tyk-compatible API against Tyk's own description of its API: statuses, bodies, and the requests that it shows.

The description is data beside the repository, never in it. Where it and Tyk's code differ, or where we differ on
purpose, the difference stands in a list here with its reason; a difference that is gone must leave the list.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from gateway_project.tyk_urls import urlpatterns
from sessions_app import tokens
from tests.administration import Administration, spend
from tests.factories import AcmeFactory
from tests.needs import need

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store")]
SWAGGER = Path(__file__).parents[2] / "shared" / "tyk" / "swagger.yml"
FULL = {
    "org_id": "acme",
    "alias": "Shop",
    "quota_max": 3,
    "quota_renewal_rate": 60,
    "rate": 100,
    "per": 1,
    "throttle_interval": 1,
    "throttle_retry_limit": 2,
    "meta_data": {"plan": "free"},
    "tags": ["web"],
    "monitor": {"trigger_limits": [90, 75.5]},
    "access_rights": {
        "a": {"api_id": "a", "api_name": "A", "versions": ["Default"], "limit": {"quota_max": 5, "rate": 1, "per": 1}},
        "b": {"api_id": "b", "api_name": "B", "versions": ["Default"], "allowed_urls": []},
    },
}
POLICY = {**FULL, "id": "p", "name": "P", "active": True, "partitions": {"per_api": True}, "key_expires_in": 60}
API = {
    "api_id": "new",
    "name": "New",
    "org_id": "acme",
    "active": True,
    "proxy": {"listen_path": "/new/", "target_url": "https://new.example", "strip_listen_path": True},
}
MALFORMED = b'{"org_id": '
# Statuses that Tyk's description of the operation does not have, and why we answer them.
OTHER_STATUSES = {
    ("POST", "/tyk/keys/preview", 400): "malformed JSON; Tyk answers 500, which is its own mistake, not the sender's",
    ("DELETE", "/tyk/policies/{polID}", 404): "unknown policy; Tyk deletes a file, fails, and answers 500",
}
# Requests that Tyk's description shows and we refuse, and why.
OTHER_API = "a right under the member itachi-api names another API inside: Tyk takes it and grants neither; we ask"
NO_OWNER = "the policy has no org_id: here each belongs to an organisation"
REFUSED_EXAMPLES = {
    ("POST", "/tyk/keys"): OTHER_API,
    ("POST", "/tyk/keys/create"): OTHER_API,
    ("POST", "/tyk/keys/preview"): OTHER_API,
    ("POST", "/tyk/keys/{keyID}"): OTHER_API,
    ("PUT", "/tyk/keys/{keyID}"): OTHER_API,
    ("POST", "/tyk/policies"): NO_OWNER,
    ("PUT", "/tyk/policies/{polID}"): NO_OWNER,
}


@pytest.fixture(scope="module")
def swagger() -> Any:
    need(SWAGGER.exists(), "Tyk's API description in ../shared/tyk")
    return json_schema(yaml.safe_load(SWAGGER.read_text()))


def json_schema(value: Any) -> Any:
    """OpenAPI 3.0 says `nullable` where JSON Schema says that null is a type, too."""
    if isinstance(value, list):
        return [json_schema(item) for item in value]
    if not isinstance(value, dict):
        return value
    document = {name: json_schema(item) for name, item in value.items()}
    if document.pop("nullable", None) is True and "type" in document:
        document["type"] = [document["type"], "null"]
    return document


class Described:
    """Asks the dialect and holds each answer against the description of its operation."""

    def __init__(self, swagger: Any, tyk: Administration) -> None:
        self.swagger, self.tyk = swagger, tyk
        self.seen: set[tuple[str, str, int]] = set()

    def ask(self, method: str, operation: str, name: str = "", query: str = "", body: Any = None, **more: Any) -> Any:
        """`operation` is the path in the description; `name` stands in for its parameter."""
        path = operation[: operation.index("{")] + name if "{" in operation else operation
        answer = self.tyk.ask(method, path.removeprefix("/tyk") + query, body, **more)
        self.seen.add((method, operation, answer.status_code))
        self.check(method, operation, answer)
        return answer

    def done(self, *args: Any, **kwargs: Any) -> Any:
        answer = self.ask(*args, **kwargs)
        assert answer.status_code == 200, answer.content
        return answer.json()

    def check(self, method: str, operation: str, answer: Any) -> None:
        responses = self.swagger["paths"][operation][method.lower()]["responses"]
        described = responses.get(str(answer.status_code))
        if described is None:
            assert (method, operation, answer.status_code) in OTHER_STATUSES, (operation, answer.content)
            described = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/ApiStatusMessage"}}}}
        [media] = described["content"].values()
        assert answer["Content-Type"] == "application/json"
        document = {**media["schema"], "components": self.swagger["components"]}
        jsonschema.Draft202012Validator(document).validate(answer.json())


@pytest.fixture
def described(swagger, tyk) -> Described:
    AcmeFactory.create()
    for name in "ab":
        tyk.done("POST", "/apis", {**API, "api_id": name, "name": name, "proxy": {"listen_path": f"/{name}/"}})
    return Described(swagger, tyk)


def test_keys(described):
    ask, done = described.ask, described.done
    for operation in ("/tyk/keys", "/tyk/keys/create"):
        made = done("POST", operation, body=FULL)
        assert set(made) == {"key", "status", "action", "key_hash"}
        assert ask("POST", operation, body={"org_id": "acme"}).status_code == 400
        assert ask("POST", operation, body=MALFORMED).status_code == 400
        assert ask("POST", operation, body={**FULL, "quota_max": "three"}).status_code == 400
    spend(made["key"], "b", 2)
    one = "/tyk/keys/{keyID}"
    shown = done("GET", one, made["key"])
    assert shown["quota_remaining"] == 1 and shown["access_rights"]["a"]["limit"]["quota_remaining"] == 5
    assert done("GET", one, made["key_hash"], "?hashed=true") == shown
    assert made["key_hash"] in done("GET", "/tyk/keys")["keys"]
    assert done("POST", one, "custom-key", body=FULL)["action"] == "added"
    assert ask("POST", one, "custom-key", body=MALFORMED).status_code == 400
    changed = done("PUT", one, "custom-key", "?suppress_reset=1", body={**FULL, "alias": "Other"})
    assert (changed["action"], changed["key_hash"]) == ("modified", tokens.digest("custom-key"))
    assert ask("PUT", one, "custom-key", body=MALFORMED).status_code == 400
    assert done("DELETE", one, "custom-key")["action"] == "deleted"
    for method in ("GET", "PUT", "DELETE"):
        assert ask(method, one, "custom-key", body=FULL).status_code == 404
    preview = done("POST", "/tyk/keys/preview", body=FULL)
    assert preview["alias"] == "Shop"
    ask("POST", "/tyk/keys/preview", body=MALFORMED)


def test_organisation_sessions(described):
    one = "/tyk/org/keys/{keyID}"
    assert described.ask("GET", one, "acme").status_code == 404
    assert described.done("POST", one, "acme", body=FULL)["action"] == "added"
    assert described.done("PUT", one, "acme", "?reset_quota=1", body=FULL)["action"] == "modified"
    assert described.ask("PUT", one, "acme", body=MALFORMED).status_code == 400
    assert described.done("GET", one, "acme")["quota_remaining"] == 3
    assert described.done("GET", "/tyk/org/keys", query="?filter=ac")["keys"] == ["acme"]
    assert described.done("DELETE", one, "acme")["action"] == "deleted"
    assert described.ask("DELETE", one, "acme").status_code == 404


def test_policies(described):
    one = "/tyk/policies/{polID}"
    assert described.done("POST", "/tyk/policies", body=POLICY)["action"] == "added"
    assert described.ask("POST", "/tyk/policies", body=MALFORMED).status_code == 400
    assert described.done("GET", one, "p")["name"] == described.done("GET", "/tyk/policies")[0]["name"] == "P"
    assert described.done("PUT", one, "p", body={**POLICY, "name": "Q"})["action"] == "modified"
    assert described.ask("PUT", one, "p", body={**POLICY, "id": "q"}).status_code == 400
    assert described.done("DELETE", one, "p")["action"] == "deleted"
    for method in ("GET", "DELETE"):
        assert described.ask(method, one, "p").status_code == 404


def test_api_definitions(described):
    one = "/tyk/apis/{apiID}"
    assert described.done("POST", "/tyk/apis", body=API)["action"] == "added"
    assert described.ask("POST", "/tyk/apis", body=MALFORMED).status_code == 400
    assert described.done("GET", one, "new")["proxy"]["listen_path"] == "/new/"
    assert len(described.done("GET", "/tyk/apis")) == 3
    assert described.done("PUT", one, "new", body={**API, "name": "Newer"})["action"] == "modified"
    assert described.ask("PUT", one, "new", body={**API, "api_id": "other"}).status_code == 400
    assert described.done("DELETE", one, "new")["action"] == "deleted"
    for method in ("GET", "PUT", "DELETE"):
        assert described.ask(method, one, "new", body=API).status_code == 404


def test_reload(described):
    for operation in ("/tyk/reload", "/tyk/reload/group"):
        assert described.done("GET", operation) == {"status": "ok", "message": ""}


def test_hello(described, client):
    answer = client.get("/hello")
    assert answer.status_code == 200 and answer.json()["status"] == "pass"
    described.check("GET", "/hello", answer)
    described.check("GET", "/hello", client.post("/hello"))


def operations(swagger: Any) -> Iterator[tuple[str, str]]:
    """Those of interfaces.md: what our dialect has a path for, and `/hello`."""
    dialect: list[Any] = [*urlpatterns[:2]]
    ours = [pattern for included in dialect for pattern in included.url_patterns]
    for path, item in swagger["paths"].items():
        inside = path.removeprefix("/tyk/")
        if path == "/hello" or "/oas" in path or path.endswith("/versions") or path.startswith("/tyk/keys/policy"):
            continue
        if path.startswith("/tyk/reload") or any(pattern.pattern.match(inside) for pattern in ours):
            yield from ((method.upper(), path) for method in item if method in ("get", "post", "put", "delete"))


def test_every_operation_refuses_a_wrong_secret_as_described(described):
    described.tyk.headers = {"X-Tyk-Authorization": "wrong"}
    found = list(operations(described.swagger))
    assert len(found) == 25
    for method, operation in found:
        assert described.ask(method, operation, "x", body=FULL).status_code == 403


def test_a_method_that_is_not_there_is_refused_in_the_envelope(tyk):
    status = {"type": "object", "required": ["status", "message"], "additionalProperties": {"type": "string"}}
    code, answer = tyk.refused("PATCH", "/keys")
    assert code == 405
    jsonschema.validate(answer, status)


def test_the_requests_that_the_description_shows_are_taken(described):
    """Each example of a request body, sent to its own operation; what stands in an address is there."""
    described.done("POST", "/tyk/policies", body={**POLICY, "id": "5ead7120575961000181867e"})  # applied in examples
    refused = {}
    for method, operation in operations(described.swagger):
        content = described.swagger["paths"][operation][method.lower()].get("requestBody", {}).get("content", {})
        for media in content.values():
            examples = (
                [media["example"]] if "example" in media else [each["value"] for each in media["examples"].values()]
            )
            for example in examples:
                name = prepared(described.tyk, operation, example)
                answer = described.ask(method, operation, name, body=example)
                if answer.status_code != 200:
                    refused[(method, operation)] = answer.json()["message"]
                    described.done(method, operation, name, body=mended(example))
    assert set(refused) == set(REFUSED_EXAMPLES), refused


def mended(example: Any) -> Any:
    """The example without what REFUSED_EXAMPLES tells of it: nothing else in it is refused."""
    rights = {right["api_id"]: right for right in example["access_rights"].values()}
    return {"org_id": "acme", **example, "access_rights": rights}


def prepared(tyk: Administration, operation: str, example: Any) -> str:
    """What the operation's address names, made beforehand."""
    if operation == "/tyk/keys/{keyID}":
        tyk.done("POST", "/keys/example-key", {**FULL, "org_id": example["org_id"]})
        return "example-key"
    if operation == "/tyk/apis/{apiID}":
        tyk.ask("DELETE", f"/apis/{example['api_id']}")
        tyk.done("POST", "/apis", {**API, "api_id": example["api_id"], "proxy": {"listen_path": "/before/"}})
        return str(example["api_id"])
    if operation == "/tyk/apis":
        tyk.ask("DELETE", f"/apis/{example['api_id']}")
    return str(example.get("id", example.get("org_id"))) if "{" in operation else ""
