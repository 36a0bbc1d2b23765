"""The state of a key in one word, as lists and pages show it. Pure."""

from datetime import datetime
from enum import StrEnum

from sessions_app.models import Key


class KeyStatus(StrEnum):
    """In the order in which they win: a revoked key is not also called inactive."""

    REVOKED = "revoked"
    EXPIRED = "expired"
    INACTIVE = "inactive"
    ACTIVE = "active"


def status_of(key: Key, *, blocked: bool, now: datetime) -> KeyStatus:
    """`blocked`: one of its policies or its organisation is inactive (rule 3.6)."""
    if key.revoked_at is not None:
        return KeyStatus.REVOKED
    if key.expires_at is not None and key.expires_at <= now:
        return KeyStatus.EXPIRED
    return KeyStatus.INACTIVE if key.is_inactive or blocked else KeyStatus.ACTIVE
