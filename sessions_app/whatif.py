"""What a changed policy would have done: its keys' requests of the last days, counted again with the changed quota.

The one answer for the REST API (`policies/{id}/preview`) and the admin's policy page: at once when the policy has few
keys, else by a job (what_if_jobs), both by the same steps. Nothing is counted in the store.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from organisations_app.tenancy import within
from policies_app.drafts import PolicyDraft
from policies_app.limits import Limits, PolicyTerms
from policies_app.models import Policy
from sessions_app.demand import quotas_between
from sessions_app.members import Cohorts
from sessions_app.models import Key, KeyPolicy, UsageHour
from sessions_app.queries import Among, with_patterns
from sessions_app.recount import Recount, Share
from sessions_app.replay import Precision
from sessions_app.tallies import Recounted, Tally, fullest, hit_most, number_of

DAYS = 14
MOST_DAYS = 31
# What a request can count again within 300 ms, together: keys, what they share, and rows of hourly usage in the days.
# Measured at 0.06, 0.1 and 0.005 ms each; a month's quota reads three times as many rows as there are in the days.
KEYS_AT_ONCE = 2_000
SHARES_AT_ONCE = 300
HOURS_AT_ONCE = 10_000
LOOKED_THROUGH_AT_ONCE = 20_000  # keys of the organisation, for those that share: 0.003 ms each


class TooMuch(Exception):
    """No request can wait for this: it is a job."""


@dataclass(frozen=True, slots=True)
class DayPreview:
    """Of the requests that passed on this day (UTC): those that still would, and those that the quota would deny."""

    day: date
    passed: int
    denied: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What the change means.

    begin, end        what was counted again: whole days (UTC), the last of them today, until `end`
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


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The question: what would these terms, of the policy with their id, have done from `begin` to `end`? With
    `organisations` only their keys are looked at.
    """

    changed: PolicyTerms
    begin: datetime
    end: datetime
    organisations: frozenset[str] | None = None

    def applied(self) -> QuerySet[KeyPolicy]:
        """The policy on keys."""
        return within(KeyPolicy.objects.filter(policy=self.changed.id), self.organisations, "key__organisation")

    def keys(self) -> QuerySet[Key]:
        """Those that could ask for anything since `begin`."""
        living = Q(revoked_at=None) | Q(revoked_at__gte=self.begin)
        return Key.objects.filter(living, Q(expires_at=None) | Q(expires_at__gte=self.begin))

    def candidates(self, organisations: Collection[str]) -> QuerySet[Key]:
        """Keys without the policy that may share a counter with those of the organisations that have it (rule 5.5)."""
        applied = KeyPolicy.objects.filter(key=OuterRef("pk"), policy=self.changed.id)
        return with_patterns(Key.objects.filter(organisation__in=sorted(organisations))).exclude(Exists(applied))

    def recount(self, written: Mapping[str, Any] | None = None) -> Recount:
        """From the beginning, or from where one was `written` down."""
        quotas = quotas_between(self.begin, self.end)
        tally = Tally(quotas) if written is None else Tally.taken_up(quotas, written)
        return Recount(self.changed, quotas, tally)

    def written(self) -> dict[str, Any]:
        """As JSON, for `taken_up`."""
        return {
            "changed": {**asdict(self.changed), "partitions": sorted(self.changed.partitions)},
            "begin": self.begin.isoformat(),
            "end": self.end.isoformat(),
            "organisations": None if self.organisations is None else sorted(self.organisations),
        }

    @classmethod
    def taken_up(cls, written: Mapping[str, Any]) -> "WhatIf":
        organisations = written["organisations"]
        return cls(
            changed=_terms_taken_up(written["changed"]),
            begin=datetime.fromisoformat(written["begin"]),
            end=datetime.fromisoformat(written["end"]),
            organisations=None if organisations is None else frozenset(organisations),
        )


def what_if(
    policy: Policy,
    changed: PolicyDraft,
    now: datetime,
    days: int = DAYS,
    *,
    organisations: Collection[str] | None = None,
) -> WhatIf:
    """The question about `changed`, the whole policy as it would be, and the last `days` (1 to 31), today included."""
    today = datetime.combine(now.astimezone(UTC).date(), time.min, UTC)
    begin = today - timedelta(days=days - 1)
    return WhatIf(_terms(policy.pk, changed), begin, now, None if organisations is None else frozenset(organisations))


def preview(asked: WhatIf) -> Preview:
    """The answer, at once. Raises TooMuch, StoreUnavailable."""
    cohorts, recount = Cohorts(asked.end), asked.recount()
    members = cohorts.read(asked.keys(), _few_keys(asked))
    shares = recount.take(members)
    if shares:
        counters = {share.counter for share in shares}
        others = cohorts.read(Key.objects.all(), _few_candidates(asked, shares))
        shares += [share for share in recount.sharers(others) if share.counter in counters]
        recount.settle(sorted(shares), [*members, *others], None, is_last=True)
    return told(asked, recount.tally)


def _few_keys(asked: WhatIf) -> list[str]:
    """The ids of the policy's keys. Raises TooMuch."""
    found = asked.applied().order_by("key").values_list("key_id", flat=True)
    key_ids = list(found[: KEYS_AT_ONCE + 1])
    hours = UsageHour.objects.filter(Among(F("key_id"), key_ids), hour__gte=asked.begin)
    if len(key_ids) > KEYS_AT_ONCE or hours.order_by().values("pk")[: HOURS_AT_ONCE + 1].count() > HOURS_AT_ONCE:
        raise TooMuch
    return key_ids


def _few_candidates(asked: WhatIf, shares: Sequence[Share]) -> list[str]:
    """The ids of keys without the policy that may share a counter. Raises TooMuch."""
    organisations = {share.organisation_id for share in shares}
    all_keys = Key.objects.filter(organisation__in=organisations).order_by().values("pk")
    if len(shares) > SHARES_AT_ONCE or all_keys[: LOOKED_THROUGH_AT_ONCE + 1].count() > LOOKED_THROUGH_AT_ONCE:
        raise TooMuch
    candidates = asked.candidates(organisations).order_by().values_list("pk", flat=True)
    key_ids = list(candidates[: SHARES_AT_ONCE + 1])
    if len(shares) + len(key_ids) > SHARES_AT_ONCE:
        raise TooMuch
    return key_ids


def told(asked: WhatIf, tally: Tally) -> Preview:
    """What was found, for people and programs."""
    precision = _worst_of(tally.precisions)
    return Preview(
        begin=asked.begin,
        end=asked.end,
        keys=tally.keys,
        counters=tally.counted,
        above_now=tuple(fullest(tally.above)),
        above_now_total=tally.above_total,
        denied=tuple(_days(asked, tally)),
        denied_total=tally.denied.total(),
        passed_total=tally.passed.total(),
        refused_total=tally.refused,
        denied_unchanged_total=tally.denied_unchanged,
        admitted_at_most=tally.admitted,
        worst=tuple(hit_most(tally.denying)),
        precision=precision,
        exactness=f"{READ_AS[precision]} {ALWAYS}",
    )


def _days(asked: WhatIf, tally: Tally) -> Iterator[DayPreview]:
    day, last = asked.begin.date(), asked.end.astimezone(UTC).date()
    while day <= last:
        yield DayPreview(day, tally.passed[number_of(day)], tally.denied[number_of(day)])
        day += timedelta(days=1)


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


def _worst_of(precisions: set[Precision]) -> Precision:
    order = (Precision.ABOUT, Precision.AT_LEAST)
    return next((each for each in order if each in precisions), Precision.EXACT)


# --- the terms --------------------------------------------------------------------------------------------------------


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


def _terms_taken_up(written: Mapping[str, Any]) -> PolicyTerms:
    terms = PolicyTerms(**written)
    return replace(
        terms,
        limits=Limits(**written["limits"]),
        rights={api_id: own and Limits(**own) for api_id, own in written["rights"].items()},
        partitions=frozenset(written["partitions"]),
    )
