"""`/api/v1` under schemathesis: whatever is sent, no answer is a 500, and each refusal is a problem document.

Half of the requests are about objects that exist, with a body that is nearly right: so more than the door is tried.
`GATEWAY_FUZZ_TRIES` is how often each operation is tried.
"""

import json
import os
from typing import Any

import pytest
import schemathesis
from django.db import transaction
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.core import NotSet

from organisations_app.rest.examples import SENT
from tests.administration import Administration

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store")]
TRIES = int(os.environ.get("GATEWAY_FUZZ_TRIES", "12"))
COMPONENTS = {
    "organisations": "Organisation",
    "attributes": "Attribute",
    "developers": "Developer",
    "applications": "Application",
    "apis": "Api",
    "policies": "PolicyShape",
    "keys": "KeyShape",
    "monitors": "Monitor",
    "tokens": "Token",
}
JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.5, 1e300, 2**70, "", "x", "x" * 70_000, "\0", "\ud800", [], [[]], {}, {"a": {"b": [1]}}]
)


def operations() -> list[Any]:
    schema = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(public=True))
    return [found.ok() for found in schema.get_all_operations()]


def resource_of(operation: Any) -> str:
    return str(operation.path.split("/")[3])


@pytest.fixture
def existing(rest) -> dict[str, Any]:
    """One object of each resource, made of the examples; a session for its organisation."""
    made: dict[str, Any] = {}
    for resource, component in COMPONENTS.items():
        body = dict(SENT[component])
        if resource == "applications":
            body["developer_id"] = made["developers"]
        if resource == "monitors":
            body |= {"header_map": {}, "target_path": ""}
        made[resource] = rest.done("POST", f"/{resource}", body)["id"]
    rest.done("PUT", "/organisations/acme/session", SENT["SessionShape"])
    return made


@pytest.mark.parametrize("resource", sorted({resource_of(operation) for operation in operations()}))
def test_nothing_that_is_sent_breaks_anything(resource, rest, existing):
    for operation in operations():
        if resource_of(operation) == resource:
            attack(operation, rest, existing.get(resource, 1))


def attack(operation: Any, rest: Administration, identifier: Any) -> None:
    @settings(max_examples=TRIES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(), deep=st.booleans(), junk=JUNK, data=st.data())
    def one(case: Any, deep: bool, junk: Any, data: Any) -> None:
        body = None if isinstance(case.body, NotSet) else case.body
        if deep:
            case.path_parameters = dict.fromkeys(case.path_parameters or {}, identifier)
            body = spoiled(example_of(operation), junk, data)
        with transaction.atomic():
            answer = send(rest, case, body)
            transaction.set_rollback(True)
        assert answer.status_code < 500, (operation.method, case.formatted_path, case.query, body, answer.content)
        if answer.status_code >= 400:
            assert answer["Content-Type"] == "application/problem+json" and answer.json()["errors"]

    one()


def example_of(operation: Any) -> Any:
    content = operation.definition.raw.get("requestBody", {}).get("content", {})
    return content["application/json"]["example"] if content else None


def spoiled(example: Any, junk: Any, data: Any) -> Any:
    """The example with one member, somewhere in it, replaced by `junk`."""
    if isinstance(example, dict) and example and data.draw(st.integers(0, 4)):
        name = data.draw(st.sampled_from(sorted(example)))
        return {**example, name: spoiled(example[name], junk, data)}
    return junk


def send(rest: Administration, case: Any, body: Any) -> Any:
    path = case.formatted_path.removeprefix("/api/v1")
    headers = {name: str(value) for name, value in (case.headers or {}).items() if str(value).isprintable()}
    return rest.ask(
        str(case.method).upper(),
        path,
        json.dumps(body).encode(),
        query_params=case.query or {},
        headers={**headers, **rest.headers},
    )
