"""Durations and periods in words, for people: `90` is "90 seconds", `86400` is "1 day". Pure."""

from policies_app.limits import Limits

UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
CALENDAR = {"day": "per calendar day", "week": "per calendar week", "month": "per calendar month"}


def duration_text(seconds: float) -> str:
    """Exact, in the largest unit that divides it: 3600 is "1 hour", 5400 is "90 minutes", 0.5 is "0.5 seconds"."""
    for size, unit in UNITS:
        if seconds >= size and seconds % size == 0:
            count = int(seconds // size)
            return f"{count:,} {unit}{'' if count == 1 else 's'}"
    return f"{seconds:g} seconds"


def per_text(seconds: float) -> str:
    """ "per minute", "per 5 minutes"."""
    return f"per {duration_text(seconds).removeprefix('1 ')}"


def wait_text(seconds: float) -> str:
    """Rounded to what a reader needs: "41 s", "12 min", "5 h 12 min", "3 days"."""
    whole = max(0, round(seconds))
    if whole < 100:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
    return f"{round(minutes / 1440)} days"


def period_text(limits: Limits) -> str:
    """How often a quota renews: "per minute", "per calendar month", "in total"."""
    if limits.quota_period != "rolling":
        return CALENDAR[limits.quota_period]
    return per_text(limits.quota_renewal_rate) if limits.quota_renewal_rate > 0 else "in total"


def renewal_text(limits: Limits) -> str:
    """ "1 hour", "calendar month from day 5", "never": as an answer to "Quota resets every"."""
    if limits.quota_period == "rolling":
        return duration_text(limits.quota_renewal_rate) if limits.quota_renewal_rate > 0 else "never"
    begin = f" from day {limits.quota_anchor_day}" if limits.quota_period == "month" else ""
    return f"calendar {limits.quota_period}{begin}"


def quota_text(limits: Limits) -> str:
    """ "10 requests per minute", "unlimited"."""
    return f"{limits.quota_max:,} requests {period_text(limits)}" if limits.has_quota else "unlimited"


def rate_text(limits: Limits) -> str:
    """ "5 requests per second", "no rate limit"."""
    return f"{limits.rate:,g} requests {per_text(limits.per)}" if limits.has_rate else "no rate limit"
