"""Usage as people see it: one bar for each quota of a key or organisation, with its thresholds and renewal.

The same bars stand in the admin and in the portal; `templates/sessions_app/usage_bar.html` draws them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from policies_app.durations import per_text, wait_text
from policies_app.limits import threshold_label, usage_needed
from sessions_app.engine.types import StoreUnavailable
from sessions_app.models import Key
from sessions_app.terms import Holder
from sessions_app.usage import QuotaUsage, key_quotas, organisation_quotas

NEAR_PERCENT = 75
APIS_NAMED = 3


@dataclass(frozen=True, slots=True)
class Tick:
    """A threshold on the bar. `x` is where it stands, ready for SVG."""

    label: str
    x: str
    passed: bool


@dataclass(frozen=True, slots=True)
class UsageBar:
    """One quota. `percent` exceeds 100 after a limit was lowered, `width` never. `level` is ok, near or spent."""

    title: str
    used: int
    max: int
    remaining: int
    percent: int
    width: str
    level: str
    period: str
    renews_at: datetime | None
    renews_in: str
    shared: bool
    ticks: tuple[Tick, ...] = ()


def live_quotas(keys: Sequence[Key], holders: Mapping[str, Holder] | None = None) -> dict[str, list[QuotaUsage]] | None:
    """Quotas by key id, in one call of the counter store; None when it does not answer: pages go on without numbers."""
    try:
        return key_quotas(keys, holders)
    except StoreUnavailable:
        return None


def live_organisation_quotas(organisation_ids: Sequence[str]) -> dict[str, QuotaUsage] | None:
    """Quotas by organisation id, of those that have one; None when the counter store does not answer."""
    try:
        return organisation_quotas(organisation_ids)
    except StoreUnavailable:
        return None


def usage_bar(quota: QuotaUsage, title: str, now: datetime, trigger_limits: Iterable[float] = ()) -> UsageBar:
    renews_at = datetime.fromtimestamp(quota.renews_at, UTC) if quota.renews_at else None
    percent = quota.used * 100 // quota.max
    return UsageBar(
        title=title,
        used=quota.used,
        max=quota.max,
        remaining=quota.remaining,
        percent=percent,
        width=f"{min(100.0, quota.used * 100 / quota.max):.2f}%",
        level=_level(quota, percent),
        period=per_text(quota.period_seconds) if quota.period_seconds else "in total",
        renews_at=renews_at,
        renews_in=wait_text((renews_at - now).total_seconds()) if renews_at else "",
        shared=quota.shared,
        ticks=tuple(_tick(quota, percent) for percent in sorted(trigger_limits)),
    )


def usage_bars(
    quotas: Iterable[QuotaUsage], names: Mapping[str, str], now: datetime, trigger_limits: Iterable[float] = ()
) -> list[UsageBar]:
    """Bars of all quotas of one key. `names` gives the names of APIs and policies by id."""
    thresholds = tuple(trigger_limits)
    return [usage_bar(quota, quota_title(quota, names), now, thresholds) for quota in quotas]


def quota_title(quota: QuotaUsage, names: Mapping[str, str]) -> str:
    """What a quota counts: "Echo", "Free: Echo, Orders" for APIs of one policy, "All APIs" for a key's own."""
    kind, _, identifier = quota.scope.partition(":")
    apis = ", ".join(names.get(api_id, api_id) for api_id in quota.api_ids[:APIS_NAMED])
    more = f" and {len(quota.api_ids) - APIS_NAMED} more" if len(quota.api_ids) > APIS_NAMED else ""
    if kind == "policy":
        return f"{names.get(identifier, identifier)}: {apis}{more}"
    return f"{apis}{more}" if kind == "api" else "All APIs"


def _level(quota: QuotaUsage, percent: int) -> str:
    if quota.remaining == 0:
        return "spent"
    return "near" if percent >= NEAR_PERCENT else "ok"


def _tick(quota: QuotaUsage, percent: float) -> Tick:
    return Tick(threshold_label(percent), f"{percent:.2f}%", quota.used >= usage_needed(quota.max, percent))
