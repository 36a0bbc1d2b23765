"""Webhook bodies: JSON documents with `{{ placeholders }}` in their texts (rules 7.6, 7.7).

Placeholders are substituted after parsing, so that what comes out is always valid JSON. The raw key is filled in
last, at delivery: what is stored until then holds a private mark in its place.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.conf import settings

from monitors_app.models import Monitor, TriggerEvent
from policies_app.limits import threshold_label

DEFAULT_PATH = "templates/monitor_template.json"
DEFAULT_TEMPLATE = """{
  "event": "{{ event }}",
  "message": "{{ message }}",
  "org": "{{ org }}",
  "key": "{{ key }}",
  "trigger_limit": "{{ trigger_limit }}"
}"""
NAMES = (
    "event",
    "message",
    "org",
    "key",
    "trigger_limit",
    "usage_percent",
    "used",
    "quota_max",
    "remaining",
    "period_start",
    "renews_at",
    "api",
    "alias",
    "event_id",
    "timestamp",
)
TYK_NAMES = {
    ".Type": "event",
    ".Meta.Message": "message",
    ".Meta.OrgID": "org",
    ".Meta.Key": "key",
    ".Meta.TriggerLimit": "trigger_limit",
    ".Meta.UsagePercentage": "usage_percent",
    ".TimeStamp": "timestamp",
}
EVENT_NAME = "TriggerExceeded"
EVENT_MESSAGE = "Quota trigger reached"
TEST_EVENT_NAME = "TriggerTest"
MAX_TEMPLATE_LENGTH = 64_000
MAX_DEPTH = 50

SAMPLE = TriggerEvent(
    pk=4711,
    kind=TriggerEvent.Kind.KEY,
    organisation_id="acme",
    key_id="key_4QmXc0RkT1vZ8sYa",
    key_hint="tg_…Qz9B",
    api_id="orders",
    alias="Web shop",
    threshold="80",
    used=800,
    quota_max=1000,
    period_start_ms=1_767_225_600_000,
    period_end_ms=1_767_312_000_000,
    occurred_at=datetime(2026, 1, 1, 14, 5, tzinfo=UTC),
)

PLACEHOLDER = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
# Private-use signs: they stand for the raw key in a stored body, and are taken out of everything else that goes into
# one.
KEY_MARK = "\ue000key\ue001"
MARK_SIGNS = str.maketrans("", "", "\ue000\ue001")


class TemplateError(ValueError):
    """A template that cannot be used; the message says where and what is allowed."""


@lru_cache(maxsize=256)
def parse(text: str) -> Any:
    """The template's document, all placeholders known. Raises TemplateError."""
    if len(text) > MAX_TEMPLATE_LENGTH:
        raise TemplateError(f"is longer than {MAX_TEMPLATE_LENGTH} characters")
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
        json.dumps(document, allow_nan=False)
    except json.JSONDecodeError as error:
        raise TemplateError(f"is no JSON document: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (RecursionError, ValueError) as error:
        raise TemplateError(f"is no JSON document: {error}") from None
    _check_placeholders(text)
    _check(document)
    return document


def _check_placeholders(text: str) -> None:
    """In the text as it was written, because there each has its line. Two braces in a row are always in a text of the
    document: nothing else in JSON has them. A text does not go on in the next line, and so does no placeholder.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if problem := _problem_of_placeholders(line):
            raise TemplateError(f"line {number}: {problem}")


def _problem_of_placeholders(text: str) -> str:
    """Empty if all are known and closed."""
    for found in PLACEHOLDER.finditer(text):
        if found[1] not in NAMES and found[1] not in TYK_NAMES:
            return f"has an unknown placeholder {{{{ {found[1]} }}}}; known are {', '.join(NAMES)}"
    return "has an unclosed placeholder; write {{ name }}" if "{{" in PLACEHOLDER.sub("", text) else ""


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _check(node: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise TemplateError(f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(node, str):
        if problem := _problem_of_placeholders(node):  # its braces may have been written as escapes
            raise TemplateError(problem)
    elif isinstance(node, list):
        for item in node:
            _check(item, depth + 1)
    elif isinstance(node, dict):
        for name, value in node.items():
            if "{{" in name:
                raise TemplateError(f"has a placeholder in the member name {name!r}; placeholders stand in values")
            _check(value, depth + 1)


def read_file(template_path: str) -> str:
    """The text of a file in the templates folder; with or without `templates/` before its name.

    Raises TemplateError.
    """
    folder = (settings.BASE_DIR / "templates").resolve()
    try:
        file = (folder / template_path.removeprefix("templates/")).resolve()
        if not file.is_relative_to(folder):
            raise TemplateError(f"{template_path!r} is outside the templates folder")
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        if isinstance(error, TemplateError):
            raise
        raise TemplateError(
            f"{template_path!r} is no readable file in the templates folder; leave it empty for the default body"
        ) from None


def template_of(template: str, template_path: str) -> Any:
    """The document that a monitor's fields mean: the edited text, else the file, else the default.

    Raises TemplateError.
    """
    if template.strip():
        return parse(template)
    if template_path in ("", DEFAULT_PATH):
        return parse(DEFAULT_TEMPLATE)
    return parse(read_file(template_path))


def render(document: Any, values: Mapping[str, str]) -> str:
    """The body as JSON text, placeholders replaced. `key` is left as a mark for `with_key`."""
    known = {name: value.translate(MARK_SIGNS) for name, value in values.items()} | {"key": KEY_MARK}

    def fill(text: str) -> str:
        return PLACEHOLDER.sub(lambda found: known[TYK_NAMES.get(found[1], found[1])], text.translate(MARK_SIGNS))

    return _json(_map_texts(document, fill))


def with_key(body: str, key: str) -> bytes:
    """The stored body with the key in its places, as it is sent."""
    return _json(_map_texts(json.loads(body), lambda text: text.replace(KEY_MARK, key))).encode()


def _map_texts(node: Any, change: Callable[[str], str]) -> Any:
    if isinstance(node, str):
        return change(node)
    if isinstance(node, list):
        return [_map_texts(item, change) for item in node]
    if isinstance(node, dict):
        return {name: _map_texts(value, change) for name, value in node.items()}
    return node


def _json(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"))


# --- what the placeholders stand for ----------------------------------------------------------------------------------


def body_of(monitor: Monitor, event: TriggerEvent) -> str:
    """What this monitor sends about this recorded event, the key left out. Raises TemplateError."""
    return render(template_of(monitor.template, monitor.template_path), values_of(event))


def sample_body(template: str, template_path: str) -> str:
    """What a template makes of a sample event, laid out for people. Raises TemplateError."""
    body = with_key(render(template_of(template, template_path), values_of(SAMPLE)), SAMPLE.key_hint)
    return json.dumps(json.loads(body), indent=2, ensure_ascii=False)


def values_of(event: TriggerEvent) -> dict[str, str]:
    return {
        "event": EVENT_NAME,
        "message": EVENT_MESSAGE,
        "org": event.organisation_id,
        "trigger_limit": event.threshold,
        "usage_percent": usage_percent(event.used, event.quota_max),
        "used": str(event.used),
        "quota_max": str(event.quota_max),
        "remaining": str(max(0, event.quota_max - event.used)),
        "period_start": _timestamp(event.period_start_ms),
        "renews_at": _timestamp(event.period_end_ms) if event.period_end_ms else "",
        "api": event.api_id,
        "alias": event.alias,
        "event_id": f"evt_{event.pk}",
        "timestamp": _timestamp(round(event.occurred_at.timestamp() * 1000)),
    }


def body_of_test(monitor: Monitor, now: datetime) -> str:
    """A marked test: no quota was reached, every number is 0. Raises TemplateError."""
    values = dict.fromkeys(NAMES, "") | dict.fromkeys(
        ("trigger_limit", "usage_percent", "used", "quota_max", "remaining"), "0"
    )
    values |= {
        "event": TEST_EVENT_NAME,
        "message": "Test of this monitor; no quota was reached",
        "org": monitor.organisation_id or "",
        "timestamp": _timestamp(round(now.timestamp() * 1000)),
    }
    return render(template_of(monitor.template, monitor.template_path), values)


def usage_percent(used: int, quota_max: int) -> str:
    """Percent used with at most two decimals, never rounded up: 99.999 % is not yet all."""
    return threshold_label(used * 10_000 // quota_max / 100) if quota_max > 0 else "0"


def _timestamp(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
