"""Every operation of `/api/v1` against everything that can be wrong with a request: a documented refusal that points at
the mistake, and nothing is changed.

The cases are made from the OpenAPI document, so that an operation or member that is added is tried by itself; where a
case does not apply to an operation, the document says so.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import jsonschema
import pytest
from django.apps import apps

from organisations_app.admin_tokens import SCOPES
from tests.administration import Administration, token_client
from tests.api_operations import OPERATIONS, RESOURCES, SCHEMA, Operation, filled, objects, resolved
from tests.factories import GlobexFactory
from tests.test_api_walk import FOR_ALL

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]
OURS = ("organisations_app", "policies_app", "sessions_app", "monitors_app", "auth")
MOMENTS = {"last_used_at"}  # of the token that asks
TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}
VALUES: tuple[Any, ...] = (5, "x", True, [5], {"x": 5})
NEEDED = {"api": "orders", "status": "failed"}  # query parameters that are required somewhere


class Case(NamedTuple):
    """A request that must be refused: with this status, and if `pointer` is given, with an error there or below."""

    words: str
    status: int
    path: str
    body: Any = None
    pointer: str | None = None
    more: dict[str, Any] | None = None
    sender: str = "root"


class World(NamedTuple):
    """Ids of Acme's objects by resource, an organisation without any, and who asks."""

    ids: dict[str, Any]
    senders: dict[str, Administration]


@pytest.fixture
def world(rest) -> World:
    ids = objects(rest)
    GlobexFactory.create()
    return World(ids, {"root": rest, "globex": token_client(organisation_id="globex")})


# --- what can be wrong ------------------------------------------------------------------------------------------------


def cases(operation: Operation, world: World) -> Iterator[Case]:
    path = operation.path_to(world.ids)
    yield from of_address(operation, world)
    yield from of_query(operation, path)
    if "If-Match" in operation.headers:
        body = filled(operation, world.ids) if operation.body else None
        yield Case("stale ETag", 412, path, body, more={"If-Match": '"stale"'})
    if "Idempotency-Key" in operation.headers:
        body = filled(operation, world.ids) if operation.body else None
        yield Case("endless Idempotency-Key", 400, path, body, "/Idempotency-Key", {"Idempotency-Key": "x" * 256})
    if operation.body:
        yield from of_body(operation, path, filled(operation, world.ids))


def of_address(operation: Operation, world: World) -> Iterator[Case]:
    body = filled(operation, world.ids) if operation.body else None
    if operation.parameter:
        yield Case("unknown id", 404, operation.path_to(world.ids, "999999"), body)
        if operation.resource not in FOR_ALL:
            yield Case("foreign id", 404, operation.path_to(world.ids), body, sender="globex")
    yield Case("no token", 401, operation.path_to(world.ids), body, sender="nobody")
    yield Case("wrong scope", 403, operation.path_to(world.ids), body, sender="nothing")


def of_query(operation: Operation, path: str) -> Iterator[Case]:
    parameters = [each for each in operation.document.get("parameters", []) if each["in"] == "query"]
    names = {each["name"] for each in parameters}
    if not names:
        return
    needed = "".join(f"{name}={value}&" for name, value in NEEDED.items() if name in names)
    yield Case("unknown parameter", 400, f"{path}?{needed}no_such_parameter=1", pointer="/no_such_parameter")
    for name in sorted(names & {each["name"] for each in parameters if each.get("required")}):
        yield Case(f"{name} missing", 400, path, pointer=f"/{name}")
    for each in parameters:
        if each["name"] not in ("page_size", "cursor", "ordering"):
            for value in wrong_words(each["schema"]):
                rest = "" if f"{each['name']}=" in needed else needed
                words = f"{each['name']}={value}"
                yield Case(f"query {words}", 400, f"{path}?{rest}{words}", pointer=f"/{each['name']}")
    if "page_size" in names:
        for size in ("0", "201", "many"):
            yield Case("wrong page size", 400, f"{path}?page_size={size}", pointer="/page_size")
        yield Case("wrong cursor", 404, f"{path}?cursor=x")
    if "ordering" in names:
        yield Case("wrong ordering", 400, f"{path}?ordering=secret", pointer="/ordering")


def wrong_words(schema: Any) -> tuple[str, ...]:
    """What a query parameter of this schema must not be."""
    if schema.get("enum") or schema.get("type") == "boolean":
        return ("no-such-choice",)
    if schema.get("type") == "integer":
        return "many", "1.5", "-1", str(2**63)
    return ("soon",) if schema.get("format") == "date-time" else ()


def of_body(operation: Operation, path: str, body: dict[str, Any]) -> Iterator[Case]:
    yield Case("malformed JSON", 400, path, b'{"a": ', "")
    yield Case("not UTF-8", 400, path, b'{"a": "\xff"}', "")
    yield Case("a member twice", 400, path, b'{"a": 1, "a": 2}', "")
    yield Case("no object", 400, path, b"[]", "")
    yield Case("wrong content type", 415, path, body, more={"content_type": "text/plain"})
    yield Case("a form", 415, path, b"a=1", more={"content_type": "application/x-www-form-urlencoded"})
    yield Case("over 1 MB", 413, path, b'{"a": "' + b"x" * 2**20 + b'"}')
    yield Case("unknown member", 400, path, {**body, "no_such_member": 1}, "/no_such_member")
    for name in operation.body.get("required", ()):
        without = {member: value for member, value in body.items() if member != name}
        yield Case(f"{name} missing", 400, path, without, f"/{name}")
    for name, schema in operation.body.get("properties", {}).items():
        member = resolved(schema)
        if member.get("readOnly"):
            continue
        for value in VALUES:
            if not fits(member, value):
                yield Case(f"{name} of a wrong type", 400, path, {**body, name: value}, f"/{name}")
        if "maxLength" in member:
            yield Case(f"{name} too long", 400, path, {**body, name: "x" * (member["maxLength"] + 1)}, f"/{name}")
        if "enum" in member:
            yield Case(f"{name} of no known kind", 400, path, {**body, name: "no-such-choice"}, f"/{name}")


def fits(schema: Any, value: Any) -> bool:
    kinds = schema.get("type", [])
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind != "null" and isinstance(value, TYPES[kind]) and (kind == "boolean") == isinstance(value, bool):
            return True
    return not kinds


# --- that it is refused -----------------------------------------------------------------------------------------------


def everything() -> dict[str, Any]:
    models = [model for label in OURS for model in apps.get_app_config(label).get_models()]
    return {
        model.__name__: [_without(row) for row in model._default_manager.order_by("pk").values()] for model in models
    }


def _without(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in MOMENTS}


@pytest.mark.parametrize("resource", RESOURCES)
def test_whatever_is_wrong_is_refused_as_documented_and_changes_nothing(resource, world):
    world.senders["nothing"] = token_client(*[scope for scope in SCOPES if not scope.startswith(f"{resource}:")])
    world.senders["nobody"] = Administration("/api/v1", {})
    before, tried, wrong = everything(), 0, []
    for operation in (each for each in OPERATIONS if each.resource == resource):
        for case in cases(operation, world):
            tried += 1
            if complaint := complaint_about(operation, case, world):
                wrong.append(f"{operation.method} {case.path}: {case.words}: {complaint}")
            if (now := everything()) != before:
                wrong.append(f"{operation.method} {case.path}: {case.words}: {changed_tables(before, now)} changed")
                before = now
    assert not wrong, "\n".join(wrong)
    assert tried >= 5


def complaint_about(operation: Operation, case: Case, world: World) -> str:
    sender, more = world.senders[case.sender], dict(case.more or {})
    content_type = more.pop("content_type", "application/json")
    headers = {**sender.headers, **more}
    answer = sender.ask(operation.method, case.path, case.body, headers=headers, content_type=content_type)
    if answer.status_code != case.status:
        return f"{answer.status_code} instead of {case.status}: {answer.content[:300]!r}"
    documented = operation.document["responses"].get(str(case.status))
    if documented is None:
        return f"{case.status} is not documented"
    documented = SCHEMA["components"]["responses"][documented["$ref"].rpartition("/")[2]]
    if answer["Content-Type"] != "application/problem+json":
        return f"a {answer['Content-Type']}"
    problem = json.loads(answer.content)
    schema = {**documented["content"]["application/problem+json"]["schema"], "components": SCHEMA["components"]}
    jsonschema.Draft202012Validator(schema).validate(problem)
    pointers = [error["pointer"] for error in problem["errors"]]
    if case.pointer is not None and not any(f"{each}/".startswith(f"{case.pointer}/") for each in pointers):
        return f"points at {pointers}"
    return ""


def changed_tables(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [name for name in before if before[name] != now[name]]


def test_each_kind_of_mistake_is_tried(world):
    found = {case.words.split(" ", 1)[-1] for operation in OPERATIONS for case in cases(operation, world)}
    assert {"missing", "too long", "of a wrong type", "of no known kind", "id", "scope", "JSON", "ETag"} <= found
    assert {"content type", "1 MB", "member", "parameter", "token"} <= found
