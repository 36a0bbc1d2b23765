"""The OpenAPI document of `/api/v1`: whole, without warnings, and its examples are true."""

from typing import Any

import jsonschema
import pytest
from drf_spectacular.generators import SchemaGenerator

from organisations_app.rest.examples import SENT
from tests.administration import spend

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store")]
# What depends on nothing comes first.
MAKING = ["organisations", "attributes", "developers", "applications", "apis", "policies", "keys", "monitors", "tokens"]


@pytest.fixture(scope="module")
def schema() -> Any:
    return SchemaGenerator().get_schema(public=True)


def media_of(schema: Any):
    """`(operation id, media type object, whether it is a request)` of every body."""
    for path in schema["paths"].values():
        for operation in path.values():
            for media in operation.get("requestBody", {}).get("content", {}).values():
                yield operation["operationId"], media, True
            for response in operation["responses"].values():
                for media in response.get("content", {}).values():
                    yield operation["operationId"], media, False


def test_every_body_has_an_example_that_fits_its_schema(schema):
    bodies = list(media_of(schema))
    assert len(bodies) > 100
    for name, media, is_request in bodies:
        assert media["example"] not in (None, "") and (media["example"] != {} or is_request), name
        document = {**media["schema"], "components": schema["components"]}
        if is_request:  # members that are only answered are required of answers only
            continue
        jsonschema.Draft202012Validator(document).validate(media["example"])


def test_every_example_of_a_request_is_used(schema):
    names = {media["schema"]["$ref"].rpartition("/")[2] for _, media, is_request in media_of(schema) if is_request}
    assert names == set(SENT) - {"NewKeyShape", "NewSecretShape", "SessionShape"}


def test_the_examples_work_in_their_order(rest, schema):
    made: dict[str, Any] = {}
    for resource in MAKING:
        operations = schema["paths"][f"/api/v1/{resource}"]
        body = operations["post"]["requestBody"]["content"]["application/json"]["example"]
        if resource == "applications":
            body = {**body, "developer_id": made["developers"]["id"]}
        if resource == "monitors":
            body = {**body, "header_map": {"X-Token": "secret"}}
        made[resource] = rest.done("POST", f"/{resource}", body)
        documented = schema["components"]["schemas"][
            operations["post"]["responses"]["201"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        ]
        assert set(made[resource]) <= set(documented["properties"])
        if patch := schema["paths"][f"/api/v1/{resource}/{{id}}"].get("patch"):
            change = patch["requestBody"]["content"]["application/json"]["example"]
            rest.done("PATCH", f"/{resource}/{made[resource]['id']}", change)
    rest.done("PATCH", "/apis/orders", {"is_active": True})
    assert spend(made["keys"]["key"], "orders") == ["passed"]
    key = f"/keys/{made['keys']['id']}"
    for verb, component in (
        ("reset-quota", "ReasonShape"),
        ("set-remaining", "RemainingShape"),
        ("rotate", "RotateShape"),
    ):
        rest.done("POST", f"{key}/{verb}", SENT[component])
    rest.done("POST", f"/monitors/{made['monitors']['id']}/rotate-secret", SENT["RotateSecretShape"])
    rest.done("PUT", "/organisations/acme/session", SENT["SessionShape"])
    assert len(rest.done("POST", "/keys/bulk", SENT["BulkShape"])["keys"]) == 2


def test_what_all_operations_of_a_kind_take_is_said(schema):
    def headers(path: str, method: str) -> list[str]:
        parameters = schema["paths"][f"/api/v1{path}"][method].get("parameters", [])
        return [each["name"] for each in parameters if each["in"] == "header"]

    assert headers("/keys", "post") == headers("/keys/{id}/rotate", "post") == ["Idempotency-Key"]
    assert headers("/keys/{id}", "patch") == headers("/monitors/gateway", "put") == ["If-Match"]
    assert headers("/monitors/{id}/test", "post") == headers("/keys", "get") == []
    names = [each["name"] for each in schema["paths"]["/api/v1/keys"]["get"]["parameters"]]
    assert {"cursor", "page_size", "ordering", "org_id", "revoked", "created_after"} <= set(names)
