"""When a failed delivery is tried again (rule 7.10). Pure."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

WAITS_SECONDS = (5, 60, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600)
JITTER = 0.2
# A receiver may ask for a later time, not for never.
MAX_RETRY_AFTER_SECONDS = 24 * 3600


def wait_seconds(
    attempts: int, retry_after: str, now: datetime, spread: Callable[[float, float], float] = random.uniform
) -> float | None:
    """Seconds until the next attempt after `attempts` failed ones, or None when none is left.

    `retry_after` is the receiver's header in either form (RFC 9110, 10.2.3); the later of the two counts.
    """
    if attempts > len(WAITS_SECONDS):
        return None
    planned = WAITS_SECONDS[attempts - 1] * spread(1 - JITTER, 1 + JITTER)
    return max(planned, min(retry_after_seconds(retry_after, now), MAX_RETRY_AFTER_SECONDS))


def retry_after_seconds(header: str, now: datetime) -> float:
    """A Retry-After header in seconds; 0 when absent, past or unreadable."""
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())
