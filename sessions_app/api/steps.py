"""What views of keys and organisation sessions do alike: read a document, check what it refers to, call the store."""

from collections.abc import Callable
from typing import Any, TypeVar

from rest_framework.request import Request

from organisations_app.documents import Reader
from organisations_app.rest.refusals import Conflict, Unavailable
from sessions_app.engine.types import StoreUnavailable
from sessions_app.models import Key
from sessions_app.shapes import KeyShape

STORE_SILENT = "The counter store does not answer, so nothing was done. Try again."
ANSWERED_ONLY = frozenset(name for name, field in KeyShape().fields.items() if field.read_only)
Result = TypeVar("Result")


def split(data: Any) -> tuple[Any, int | None]:
    """The session's members, and the application. Members that are only answered are passed over."""
    reader = Reader(data)
    application_id = reader.whole("application_id", low=0, high=2**63 - 1, meaning=" (an application's id)")
    reader.finish()
    taken = ANSWERED_ONLY | {"application_id", "key"}
    return {name: value for name, value in data.items() if name not in taken}, application_id or None


def living(key: Key) -> Key:
    """Raises Conflict for a revoked key."""
    if key.revoked_at is not None:
        raise Conflict(f"This key was revoked at {key.revoked_at.isoformat()}; make a new one.")
    return key


def reason_of(request: Request) -> str:
    reader = Reader(request.data)
    reason = reader.text("reason", longest=500)
    reader.refuse_rest()
    reader.finish()
    return reason


def stored(ask: Callable[[], Result]) -> Result:
    """What the counter store says. Raises Unavailable."""
    try:
        return ask()
    except StoreUnavailable:
        raise Unavailable(STORE_SILENT) from None
