"""Every address of `/api/v1` with every method: foreign objects are not found, and no scope can be missing.

The addresses are taken from the URL configuration, so that a new one is walked by itself.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from django.urls import URLPattern, URLResolver

from gateway_project.api_urls import urlpatterns
from monitors_app.models import Delivery, Monitor, TriggerEvent
from organisations_app import audit
from organisations_app.admin_tokens import EVERYTHING, SCOPES, create_token
from organisations_app.models import AdminToken, Application, AttributeDefinition, Developer, Organisation
from organisations_app.rest.views import UnknownPath
from policies_app.drafts import policy_draft
from policies_app.models import Api, Policy
from sessions_app import keys, what_if_jobs
from sessions_app.models import Key, OrgSession, UsageHour
from sessions_app.whatif import what_if
from tests.administration import token_client
from tests.factories import AcmeFactory, AppFactory, GlobexFactory, MonitorFactory, OutsiderFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store")]
METHODS = ("get", "post", "put", "patch", "delete")
OPEN = ("schema", "docs")
BACKLOG = "/deliveries/backlog"
NOW = datetime(2025, 1, 1, tzinfo=UTC)


class Door(NamedTuple):
    """One operation. `template` has {} where an id stands."""

    method: str
    template: str
    scope: str


def doors() -> Iterator[Door]:
    for pattern in urlpatterns:
        view = getattr(pattern.callback, "cls", None) or getattr(pattern.callback, "view_class", None)
        template = template_of(pattern)
        if view is UnknownPath or template.strip("/").split("/")[0].startswith(OPEN):
            continue
        actions = getattr(pattern.callback, "actions", None)
        for method in METHODS:
            if method in actions if actions is not None else hasattr(view, method):
                right = "read" if method == "get" or (hasattr(view, "reads") and view.reads) else "write"
                yield Door(method.upper(), template, f"{template.split('/')[1]}:{right}")


def template_of(pattern: URLPattern | URLResolver) -> str:
    text = str(pattern.pattern).removeprefix("^").removesuffix("$").removesuffix(r"\Z")
    while "(?P<" in text:
        begin, depth = text.index("(?P<"), 0
        for end in range(begin, len(text)):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            if depth == 0:
                break
        text = text[:begin] + "{}" + text[end + 1 :]
    return "/" + text.replace("\\", "").lstrip("/")


DOORS = sorted(set(doors()))
FOR_ALL = ("attributes",)  # of no organisation: who is bound to one may read them
OWNED = [door for door in DOORS if "{}" in door.template and door.template.split("/")[1] not in FOR_ALL]
LISTS = [
    door
    for door in DOORS
    if door.method == "GET" and "{}" not in door.template and door.template not in ("/monitors/gateway", BACKLOG)
]


def test_the_walk_meets_every_resource():
    walked = {door.template.split("/")[1] for door in DOORS}
    assert walked == {scope.partition(":")[0] for scope in SCOPES}
    assert {door.scope for door in DOORS} == set(SCOPES) and len(DOORS) > 60
    assert {door.template.split("/")[1] for door in OWNED} == walked - {*FOR_ALL, "usage"}
    assert {door.template.split("/")[1] for door in LISTS} == walked


@pytest.mark.parametrize("door", DOORS, ids=lambda door: f"{door.method} {door.template}")
def test_without_its_scope_no_operation_is_possible(door):
    client = token_client(*(scope for scope in SCOPES if scope != door.scope))
    code, problem = client.refused(door.method, door.template.format("1"), {})
    assert (code, problem["detail"]) == (403, f"This token lacks the scope {door.scope}.")


@pytest.mark.parametrize("door", DOORS, ids=lambda door: f"{door.method} {door.template}")
def test_without_a_token_no_operation_is_possible(door, client):
    answer = client.generic(door.method, "/api/v1" + door.template.format("1"), b"{}", content_type="application/json")
    assert answer.status_code == 401


@pytest.fixture
def foreign() -> dict[str, Any]:
    """Globex's objects by the resource that they are in; Acme exists beside it."""
    AcmeFactory.create()
    globex, developer = GlobexFactory.create(), OutsiderFactory.create()
    application = AppFactory.create(developer=developer, name="foreign-application")
    api = Api.objects.create(id="foreign-api", organisation=globex, name="x", listen_path="/foreign/")
    policy = Policy.objects.create(id="foreign-policy", organisation=globex, name="x")
    key = Key(organisation=globex, application=application, quota_max=5)
    keys.create_key(key, policies=["foreign-policy"])
    keys.save_org_session(OrgSession(organisation=globex, quota_max=5))
    monitor = MonitorFactory.create(organisation=globex, name="foreign-monitor", target_path="https://globex.example/")
    event = TriggerEvent.objects.create(
        kind="key", counter="c", period_start_ms=1, source="key", threshold="80", organisation_id="globex",
        key_id=key.pk, used=4, quota_max=5, occurred_at=datetime(2025, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    delivery = Delivery.objects.create(event=event, channel="webhook", monitor=monitor, recipient="x", status="failed")
    UsageHour.objects.create(organisation=globex, key=key, api=api, hour=datetime(2025, 1, 1, tzinfo=UTC), passed=1)
    token = AdminToken(name="foreign-token", organisation=globex, scopes=["keys:read"])
    create_token(token, audit.ROOT, EVERYTHING)
    entry = audit.record(audit.ROOT, "x", audit.Subject("key", key.pk, "globex"))
    attribute = AttributeDefinition.objects.create(name="team")
    rows = {
        "attributes": attribute,
        "organisations": globex,
        "developers": developer,
        "applications": application,
        "apis": api,
        "policies": policy,
        "previews": what_if_jobs.start(policy, what_if(policy, policy_draft(policy, ()), NOW), audit.ROOT),
        "keys": key,
        "monitors": monitor,
        "events": event,
        "deliveries": delivery,
        "tokens": token,
        "audit": entry,
    }
    return {resource: row.pk for resource, row in rows.items()}


def everything() -> list[Any]:
    """Except when a token was last used."""
    models = (Organisation, Developer, Application, Api, Policy, Key, OrgSession, Monitor, Delivery)
    tokens = AdminToken.objects.order_by("pk").values_list("pk", "name", "scopes", "organisation_id")
    return [list(tokens), *(list(model.objects.order_by("pk").values()) for model in models)]


@pytest.mark.parametrize("door", OWNED, ids=lambda door: f"{door.method} {door.template}")
def test_another_organisations_object_is_not_found(door, foreign):
    client = token_client(organisation_id="acme")
    before = everything()
    named = "previews" if "/previews/" in door.template else door.template.split("/")[1]
    address = door.template.format(foreign[named])
    code, problem = client.refused(door.method, address, {})
    assert (code, problem["code"]) == (404, "not_found"), problem
    assert everything() == before


@pytest.mark.parametrize("door", LISTS, ids=lambda door: door.template)
def test_a_list_shows_nothing_of_another_organisation(door, foreign, rest):
    assert rest.get(door.template)["results"], "the root token sees what is there"
    shown = str(token_client(organisation_id="acme").get(door.template)["results"])
    assert "globex" not in shown and "foreign" not in shown


def test_the_backlog_is_that_of_the_senders_own_organisation(foreign, rest):
    Delivery.objects.update(status="pending", target="globex.example:443")
    assert rest.get(BACKLOG)["waiting"] == token_client(organisation_id="globex").get(BACKLOG)["waiting"] == 1
    shown = token_client(organisation_id="acme").get(BACKLOG)
    assert (shown["waiting"], shown["targets"], shown["events"], shown["queues"]) == (0, [], None, None)


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/developers", {"org_id": "globex", "email": "x@globex.example"}, "/org_id"),
        ("/applications", {"developer_id": "developers", "name": "x"}, "/developer_id"),
        ("/apis", {"org_id": "globex", "name": "x", "listen_path": "/x/"}, "/org_id"),
        ("/policies", {"org_id": "globex", "name": "x"}, "/org_id"),
        ("/policies", {"org_id": "acme", "access_rights": {"foreign-api": {}}}, "/access_rights/foreign-api"),
        ("/keys", {"org_id": "globex", "apply_policies": ["foreign-policy"]}, "/org_id"),
        ("/keys", {"org_id": "acme", "apply_policies": ["foreign-policy"]}, "/apply_policies"),
        ("/keys", {"org_id": "acme", "access_rights": {"foreign-api": {}}}, "/access_rights/foreign-api"),
        ("/monitors", {"org_id": "globex", "name": "x"}, "/org_id"),
        ("/monitors", {"org_id": None, "name": "x"}, "/org_id"),
        ("/tokens", {"org_id": "globex", "name": "x", "scopes": ["keys:read"]}, "/org_id"),
    ],
)
def test_nothing_can_be_made_in_or_of_another_organisation(path, body, pointer, foreign):
    body = {name: foreign.get(value, value) if name == "developer_id" else value for name, value in body.items()}
    client = token_client(organisation_id="acme")
    before = everything()
    code, problem = client.refused("POST", path, body)
    assert (code, [error["pointer"] for error in problem["errors"]]) == (400, [pointer])
    assert everything() == before


def test_who_is_bound_makes_no_organisations_and_never_meets_the_gateways_monitor(foreign):
    client = token_client(organisation_id="acme")
    assert client.refused("POST", "/organisations", {"name": "x"})[0] == 403
    assert client.refused("GET", "/monitors/gateway")[0] == client.refused("PUT", "/monitors/gateway", {})[0] == 404
    assert client.done("POST", "/deliveries/redeliver?status=failed") == {"redelivered": 0, "more": False}
    assert client.get("/monitors")["results"] == []


def test_who_is_bound_reads_what_is_for_all_and_changes_nothing_of_it(foreign):
    client, before = token_client(organisation_id="acme"), list(AttributeDefinition.objects.values())
    address = f"/attributes/{foreign['attributes']}"
    assert client.get(address)["name"] == client.get("/attributes")["results"][0]["name"] == "team"
    for method, path in (("POST", "/attributes"), ("PUT", address), ("PATCH", address), ("DELETE", address)):
        assert client.refused(method, path, {"name": "x"})[0] == 403
    assert list(AttributeDefinition.objects.values()) == before
