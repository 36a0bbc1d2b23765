"""The state of a key in one word, as lists and pages show it. Pure."""

from datetime import datetime
from enum import StrEnum

from sessions_app.terms import Holder


class KeyStatus(StrEnum):
    """In the order in which they win: a revoked key is not also called inactive."""

    REVOKED = "revoked"
    EXPIRED = "expired"
    INACTIVE = "inactive"
    ACTIVE = "active"

    @property
    def has_ended(self) -> bool:
        """For good: no switch brings it back."""
        return self in (KeyStatus.REVOKED, KeyStatus.EXPIRED)


def status_of(holder: Holder, now: datetime) -> KeyStatus:
    """Inactive is also whose policy or organisation is (rules 3.6, 6.1)."""
    key, session = holder.key, holder.session
    if key.revoked_at is not None:
        return KeyStatus.REVOKED
    if key.expires_at is not None and key.expires_at <= now:
        return KeyStatus.EXPIRED
    is_inactive = holder.is_blocked or (session is not None and session.is_inactive)
    return KeyStatus.INACTIVE if is_inactive else KeyStatus.ACTIVE
