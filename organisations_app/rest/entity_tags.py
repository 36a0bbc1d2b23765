"""ETag and If-Match (RFC 9110): an update can be bound to what its sender has seen."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.utils.encoders import JSONEncoder

from organisations_app.rest.refusals import Changed

# They move with every request of a caller: not what a writer has to have seen.
LIVE_MEMBERS = frozenset({"usage", "quota_remaining", "quota_renews", "last_used_at"})


def entity_tag(document: Mapping[str, Any]) -> str:
    """A strong tag of what is configured; live numbers do not move it."""
    text = json.dumps(_without_live(document), sort_keys=True, cls=JSONEncoder)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def check_match(request: Request, document: Mapping[str, Any]) -> None:
    """Raises Changed if there is an `If-Match` and it does not name this state."""
    wanted = request.headers.get("If-Match", "*")
    tags = [tag.strip() for tag in wanted.split(",")]
    if "*" not in tags and entity_tag(document) not in tags:
        raise Changed


def _without_live(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_live(inner) for name, inner in value.items() if name not in LIVE_MEMBERS}
    return [_without_live(item) for item in value] if isinstance(value, list | tuple) else value
