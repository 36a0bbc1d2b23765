"""A request and its answer for every operation of `/api/v1`, by a real client against the WSGI application, as text.

What differs from run to run (ids, secrets, moments, lengths of queues) is replaced by what stands for it in every
example.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx2
from django.db import transaction

from monitors_app.monitors import MASK
from organisations_app.rest.examples import KEY_ID, RAW_KEY
from tests.api_operations import OPERATIONS, RESOURCES, Operation

BASE = "https://gateway.example/api/v1"
WIDTH = 110
# Query parameters that make an example say something.
QUERIES = {
    "GET /keys/{id}/explain": "?api=orders",
    "POST /deliveries/redeliver": "?status=failed",
    "POST /policies/{policy_id}/preview": "?days=1",
    "GET /keys": "?org_id=acme&page_size=2",
    "GET /usage": "?by=day,api_id&from=2025-01-01T00:00:00Z",
    "GET /keys/{id}/usage": "?from=2025-01-01T00:00:00Z&to=2025-01-02T00:00:00Z",
    "GET /audit": "?action=create&subject_kind=key",
}
NEW: dict[str, dict[str, Any]] = {
    "/organisations": {"id": "globex", "name": "Globex"},
    "/developers": {"email": "grace@acme.example", "first_name": "Grace"},
    "/applications": {"name": "Mobile app"},
    "/attributes": {"name": "cost_centre"},
    "/apis": {"id": "invoices", "name": "Invoices", "listen_path": "/invoices/"},
    "/policies": {"id": "gold", "name": "Gold"},
}
FREE = {"before", "after", "meta_data", "attributes", "template"}  # members that are free JSON
STANDS_FOR = (
    (r"key_[A-Za-z0-9]{16}", KEY_ID),
    (r"tg_[A-Za-z0-9]{32}_[A-Za-z0-9]{6}", RAW_KEY),
    (r"tgat_[A-Za-z0-9]{32}_[A-Za-z0-9]{6}", "tgat_9HbHd3UfGv7Qm2Xc0RkT1vZ8sYaN4pLw_0aTr5C"),
    (r"(tg|tgat)_…[A-Za-z0-9]{4}", r"\1_…Qz9B"),
    (r"whsec_[A-Za-z0-9+/=]{20,}", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
    (r"msg_[A-Za-z0-9_-]{10,}", "msg_8Xw2ZkqT0vYs4LrB1dNcE7mA"),
    (r"\b[0-9a-f]{64}\b", "5f0c7b3e9a2d41c68f1be07a93d2c4557e60b18ad93f24c0b7e1a5d86f3c9024"),
    (r"\b[0-9a-f]{32}\b", "5f0c7b3e9a2d41c68f1be07a93d2c455"),
    (r"tg:\{b\d\d\}:c:s:[A-Za-z0-9_-]{24}", "tg:{b17}:c:s:0123456789abcdefghijklmn"),
    (r"\b20(2[6-9]|3\d)-\d\d-\d\dT[0-9:.]+(Z|\+00:00)", "2026-01-01T12:00:00Z"),
    (r"\b20(2[6-9]|3\d)-\d\d-\d\d\b", "2026-01-01"),
    (r"\b1[7-9]\d{8}\b", "1767268800"),
    (r'("(relay|deliveries|mail|housekeeping|celery)": )\d+', r"\g<1>0"),  # the broker is other tests' too
)


class Example(NamedTuple):
    """One operation as it was asked and answered."""

    operation: Operation
    path: str
    body: Any
    status: int
    etag: str
    answer: Any


def examples(client: httpx2.Client, ids: dict[str, Any]) -> Iterator[Example]:
    """Every operation once; what it did is undone, so that none sees another's deeds."""
    for resource in RESOURCES:
        for operation in sorted((each for each in OPERATIONS if each.resource == resource), key=_order):
            with transaction.atomic():
                yield _asked(client, operation, ids)
                transaction.set_rollback(True)


def _order(operation: Operation) -> tuple[bool, int, str, int]:
    """Lists and creation first, then one object, then what else can be done with it."""
    methods = ("GET", "POST", "PUT", "PATCH", "DELETE")
    depth = operation.path.count("/")
    return depth > 2, depth, operation.path, methods.index(operation.method)


def _asked(client: httpx2.Client, operation: Operation, ids: dict[str, Any]) -> Example:
    path = operation.path_to(ids) + QUERIES.get(f"{operation.method} {operation.path}", "")
    body = _body(operation, ids) if operation.body else None
    answer = client.request(operation.method, path, json=body) if body else client.request(operation.method, path)
    assert answer.status_code < 300, (operation.method, path, body, answer.text)
    document = _ordered(answer.json()) if answer.content else None
    return Example(operation, path, body, answer.status_code, answer.headers.get("ETag", ""), document)


def _ordered(value: Any, *, is_free: bool = False) -> Any:
    """Databases give the members of free JSON back in orders of their own."""
    if isinstance(value, list):
        return [_ordered(item, is_free=is_free) for item in value]
    if not isinstance(value, dict):
        return value
    names = sorted(value) if is_free else list(value)
    return {name: _ordered(value[name], is_free=is_free or name in FREE) for name in names}


def _body(operation: Operation, ids: dict[str, Any]) -> dict[str, Any]:
    """The document's example, about objects that exist; what is made anew does not stand in the way of these."""
    body = operation.example
    if "developer_id" in body:
        body["developer_id"] = ids["developers"]
    if operation.method == "POST" and operation.path.count("/") == 1:
        body |= NEW.get(operation.path, {})
    return dict(json.loads(json.dumps(body).replace(json.dumps(MASK)[1:-1], "secret")))


# --- as text ----------------------------------------------------------------------------------------------------------


def chapter(found: list[Example]) -> str:
    """The examples in Markdown, by resource."""
    resource, parts = "", []
    for example in found:
        if example.operation.resource != resource:
            resource = example.operation.resource
            parts.append(f"### {resource}")
        parts.append(_section(example))
    return "\n\n".join(parts)


def _section(example: Example) -> str:
    operation = example.operation
    words = operation.document.get("description", "").strip()
    lines = [f"#### `{operation.method} {operation.path}`", *([words] if words else [])]
    lines.append(f"```sh\n{_curl(example)}\n```\n```python\n{_python(example)}\n```")
    lines.append(f"```http\n{_answer(example)}\n```")
    return stable("\n\n".join(lines))


def _curl(example: Example) -> str:
    method = "" if example.operation.method == "GET" else f"-X {example.operation.method} "
    quoted = f"'$API{example.path}'" if set("?&") & set(example.path) else f"$API{example.path}"
    command = f'curl {method}-H "Authorization: Bearer $TOKEN" {quoted}'.replace("'$API", '"$API')
    command = command[:-1] + '"' if command.endswith("'") else command
    if example.body is None:
        return command
    body = pretty(example.body).replace("'", r"'\''")
    return f"{command} \\\n  -H 'Content-Type: application/json' -d '{body}'"


def _python(example: Example) -> str:
    call = f"api.{example.operation.method.lower()}({json.dumps(example.path)}"
    return f"{call})" if example.body is None else f"{call}, json={_literal(example.body)})"


def _literal(value: Any) -> str:
    text = pretty(value)
    for json_word, python_word in (("true", "True"), ("false", "False"), ("null", "None")):
        text = re.sub(rf"(?<=[\[:,\s]){json_word}(?=[,\]\}}\n])", python_word, text)
    return text


def _answer(example: Example) -> str:
    lines = [f"{example.status} {httpx2.codes.get_reason_phrase(example.status)}"]
    lines += [f"ETag: {example.etag}"] if example.etag else []
    return "\n".join([*lines, *(["", pretty(example.answer)] if example.answer is not None else [])])


def pretty(value: Any, indent: str = "") -> str:
    """JSON, with what fits on a line on one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= WIDTH or not isinstance(value, dict | list) or not value:
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        items = [f"{json.dumps(name)}: {pretty(item, inner)}" for name, item in value.items()]
        begin, end = "{", "}"
    else:
        items, begin, end = [pretty(item, inner) for item in value], "[", "]"
    return begin + "\n" + ",\n".join(inner + item for item in items) + "\n" + indent + end


def stable(text: str) -> str:
    for pattern, standing in STANDS_FOR:
        text = re.sub(pattern, standing, text)
    return text
