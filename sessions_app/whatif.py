"""What a changed policy would have done: its keys' requests of the last days, counted again with the changed quota.

The one answer for the REST API (`policies/{id}/preview`) and the admin's policy page. Nothing is stored or counted.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from heapq import nlargest

from django.db.models import Exists, OuterRef, Q, QuerySet

from organisations_app.tenancy import within
from policies_app.drafts import PolicyDraft
from policies_app.limits import PolicyTerms
from policies_app.models import Policy
from sessions_app.demand import batches, quotas_between
from sessions_app.models import Key, KeyPolicy
from sessions_app.recount import Recount
from sessions_app.replay import Precision
from sessions_app.tallies import Recounted, Tally

DAYS = 14
MOST_DAYS = 31
MOST_LISTED = 20
MOST_KEYS = 50_000


@dataclass(frozen=True, slots=True)
class DayPreview:
    """Of the requests that passed on this day (UTC): those that still would, and those that the quota would deny."""

    day: date
    passed: int
    denied: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What the change means.

    begin, end        the hours that were counted again: [begin, end)
    keys              living keys that the policy is applied to
    counters          quota counters that the changed policy would judge them by
    above_now         counters whose next request would be denied: fullest first, at most MOST_LISTED of above_now_total
    denied            one row per day, oldest first, days without requests too
    denied_total      requests that passed and would have been denied by the quota
    passed_total      requests that passed and still would have
    refused_total     requests that passed and would have been refused: API no longer granted, or policy inactive
    denied_unchanged_total   the same calculation with the policy as it is: what is not 0 here is error of the
                             calculation, or an earlier change
    admitted_at_most  of the requests that were denied then, for whatever limit: what the quota would have let pass
    worst             counters with the most denied requests, at most MOST_LISTED
    precision         exact, about or at-least: how denied_total is to be read; `exactness` says it in words
    is_complete       False: the policy has more than MOST_KEYS keys, and only that many were looked at
    """

    begin: datetime
    end: datetime
    keys: int
    counters: int
    above_now: tuple[Recounted, ...]
    above_now_total: int
    denied: tuple[DayPreview, ...]
    denied_total: int
    passed_total: int
    refused_total: int
    denied_unchanged_total: int
    admitted_at_most: int
    worst: tuple[Recounted, ...]
    precision: str
    exactness: str
    is_complete: bool


def preview(
    policy: Policy,
    changed: PolicyDraft,
    now: datetime,
    days: int = DAYS,
    *,
    organisations: Collection[str] | None = None,
) -> Preview:
    """What `changed` (the whole policy as it would be, same id) would have done in the last `days` (1 to 31).

    With `organisations` only their keys are looked at. Raises StoreUnavailable. A form makes the draft
    with `policy_from_tyk(policy_to_tyk(unsaved_policy, unsaved_rights))`.
    """
    begin = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=days)
    quotas = quotas_between(begin, now)
    recount = Recount(_terms(policy.pk, changed), quotas, Tally(quotas))
    for holders in batches(within(_keys_of(policy, begin), organisations, "organisation"), MOST_KEYS):
        recount.take(holders)
    recount.take_sharers(MOST_KEYS)
    return _preview(recount, begin, now)


def _preview(recount: Recount, begin: datetime, end: datetime) -> Preview:
    tally, is_complete = recount.tally, recount.looked_at < MOST_KEYS
    day_count = (end.astimezone(UTC).date() - begin.date()).days + 1
    days = [begin.date() + timedelta(days=number) for number in range(day_count)]
    precision = _worst_of(tally.precisions)
    return Preview(
        begin=begin,
        end=end,
        keys=recount.keys,
        counters=tally.counted,
        above_now=tuple(nlargest(MOST_LISTED, tally.above, key=lambda each: (each.used - each.max, each.subject))),
        above_now_total=len(tally.above),
        denied=tuple(DayPreview(day, tally.passed[day], tally.denied[day]) for day in days),
        denied_total=tally.denied.total(),
        passed_total=tally.passed.total(),
        refused_total=tally.refused,
        denied_unchanged_total=tally.denied_unchanged,
        admitted_at_most=tally.admitted,
        worst=tuple(nlargest(MOST_LISTED, tally.denying, key=lambda each: (each.denied, each.subject))),
        precision=precision,
        exactness=_exactness(precision, is_complete),
        is_complete=is_complete,
    )


# --- how far it can be trusted ----------------------------------------------------------------------------------------

ALWAYS = (
    "Requests that passed then are counted again by the hour, with the keys, metadata and APIs of today. Rates, "
    "throttling and the organisation's limits cannot be replayed from hourly counts and are left out; so are resets "
    "by hand."
)
READ_AS = {
    Precision.EXACT: "Calendar periods on whole hours, or one endless period: the counts of denied requests are exact.",
    Precision.ABOUT: "When a period began within its hour is unknown: each is taken to begin with the hour of its "
    "first request, so read the counts of denied requests as “about”.",
    Precision.AT_LEAST: "Periods shorter than an hour cannot be told apart: at least so many requests would have been "
    "denied, more if they came in bursts.",
}
INCOMPLETE = f"Only {MOST_KEYS} keys were looked at; there are more."


def _worst_of(precisions: set[Precision]) -> Precision:
    order = (Precision.ABOUT, Precision.AT_LEAST)
    return next((each for each in order if each in precisions), Precision.EXACT)


def _exactness(precision: Precision, is_complete: bool) -> str:
    return " ".join([READ_AS[precision], ALWAYS, *([] if is_complete else [INCOMPLETE])])


# --- which keys, which terms ------------------------------------------------------------------------------------------


def _keys_of(policy: Policy, begin: datetime) -> QuerySet[Key]:
    """Keys that the policy is applied to and that could ask for anything since then."""
    applied = KeyPolicy.objects.filter(key=OuterRef("pk"), policy=policy.pk)
    living = Q(revoked_at=None) | Q(revoked_at__gte=begin)
    return Key.objects.filter(Exists(applied), living, Q(expires_at=None) | Q(expires_at__gte=begin))


def _terms(policy_id: str, draft: PolicyDraft) -> PolicyTerms:
    return PolicyTerms(
        id=policy_id,
        limits=draft.limits,
        rights={right.api_id: right.limits for right in draft.rights},
        partitions=draft.partitions,
        is_inactive=draft.is_inactive,
        trigger_limits=draft.trigger_limits,
        meta_data=draft.meta_data,
        tags=draft.tags,
    )
