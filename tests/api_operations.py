"""The operations of `/api/v1` as its OpenAPI document tells them, and objects of each resource to try them on."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator

from monitors_app.models import Delivery, TriggerEvent
from organisations_app import jobs
from organisations_app.audit import ROOT
from organisations_app.models import AuditEntry
from organisations_app.rest.examples import SENT
from policies_app.drafts import policy_draft
from policies_app.models import Policy
from sessions_app import what_if_jobs
from sessions_app.whatif import what_if
from tests.administration import Administration

SCHEMA: Any = SchemaGenerator().get_schema(public=True)
COMPONENTS = SCHEMA["components"]["schemas"]
MADE = ("organisations", "attributes", "developers", "applications", "apis", "policies", "keys", "monitors", "tokens")
PARAMETERS = {
    "organisation_id": "organisations",
    "policy_id": "policies",
    "developer_id": "developers",
    "preview_id": "previews",
}


class Operation(NamedTuple):
    """`path` without the prefix; `parameter` stands in it, or is empty."""

    method: str
    path: str
    parameter: str
    document: Any

    @property
    def resource(self) -> str:
        return self.path.split("/")[1]

    @property
    def body(self) -> Any:
        """The schema of the request's body; None if it has none."""
        content = self.document.get("requestBody", {}).get("content", {})
        return resolved(content["application/json"]["schema"]) if content else None

    @property
    def example(self) -> dict[str, Any]:
        return dict(self.document["requestBody"]["content"]["application/json"]["example"])

    def path_to(self, ids: dict[str, Any], identifier: Any = None) -> str:
        """The path with the id of an object that exists, or with this one."""
        known = ids.get(PARAMETERS.get(self.parameter, self.resource)) if identifier is None else identifier
        return self.path.replace(f"{{{self.parameter}}}", str(known))

    @property
    def headers(self) -> set[str]:
        return {each["name"] for each in self.document.get("parameters", []) if each["in"] == "header"}


def operations() -> Iterator[Operation]:
    for path, item in SCHEMA["paths"].items():
        parameter = path[path.index("{") + 1 : path.index("}")] if "{" in path else ""
        for method, document in item.items():
            yield Operation(method.upper(), path.removeprefix("/api/v1"), parameter, document)


OPERATIONS = list(operations())
RESOURCES = sorted({operation.resource for operation in OPERATIONS})


def resolved(schema: Any) -> Any:
    """Without references: what the one alternative that is not null says, with what stands beside it."""
    for option in (schema, *schema.get("allOf", ()), *schema.get("oneOf", ()), *schema.get("anyOf", ())):
        if "$ref" in option:
            return {**COMPONENTS[option["$ref"].rpartition("/")[2]], **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema


def objects(rest: Administration) -> dict[str, Any]:
    """Makes one object of each resource, most of them of the examples; their ids by resource."""
    ids: dict[str, Any] = {}
    for resource in MADE:
        [create] = [each for each in OPERATIONS if each.method == "POST" and each.path == f"/{resource}"]
        ids[resource] = rest.done("POST", f"/{resource}", filled(create, ids))["id"]
    rest.done("PUT", "/organisations/acme/session", SENT["SessionShape"])
    event = TriggerEvent.objects.create(
        kind="key", counter="c", period_start_ms=1, source="key", threshold="80", organisation_id="acme",
        key_id=ids["keys"], used=4, quota_max=5, occurred_at=datetime(2025, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    delivery = Delivery.objects.create(
        event=event, channel="webhook", monitor_id=ids["monitors"], recipient="https://hooks.example.com/quota",
        status="failed", subject=ids["keys"], method="POST", body="{}",
    )  # fmt: skip
    asked = what_if(policy := Policy.objects.get(), policy_draft(policy, policy.access.all()), timezone.now(), 1)
    preview = what_if_jobs.start(policy, asked, ROOT)
    jobs.work(preview.pk)
    ids |= {"events": event.pk, "deliveries": delivery.pk, "previews": preview.pk}
    return ids | {"audit": AuditEntry.objects.latest("id").pk}


def filled(operation: Operation, ids: dict[str, Any]) -> dict[str, Any]:
    """The example of a request, about objects that exist."""
    body = operation.example
    if "developer_id" in body:
        body["developer_id"] = ids["developers"]
    if "header_map" in body:
        body |= {"header_map": {}, "target_path": ""}
    return body
