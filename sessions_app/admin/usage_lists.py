"""Live usage in admin lists: one call of the counter store for a whole page, and a page that also works without it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString

from organisations_app.admin_lists import KeysetChangeList
from policies_app.durations import wait_text
from sessions_app.terms import holders_of
from sessions_app.usage import QuotaUsage
from sessions_app.usage_bars import live_organisation_quotas, live_quotas, usage_bar
from sessions_app.usage_series import last_hours

STORE_DOWN = "The counter store does not answer, so no usage is shown. Everything else on this page works."


class LiveChangeList(KeysetChangeList):
    """Puts `live_usage` on each object of the page: a list of quotas, or None when the store does not answer."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = self.result_list
        usage = self.read_usage(rows) if rows else {}
        if usage is None:
            messages.warning(request, STORE_DOWN)
        for row in rows:
            row.live_usage = None if usage is None else usage.get(row.pk, [])

    def read_usage(self, rows: Sequence[Any]) -> dict[Any, list[QuotaUsage]] | None:
        """Quotas by primary key."""
        raise NotImplementedError


class KeyChangeList(LiveChangeList):
    """Puts the `holder` and the `last_hour` of use on each key, too."""

    def get_filters(self, request: HttpRequest) -> Any:
        """A policy is applied to a key once, so that filtering by one finds no key twice; Django cannot know, and
        would compare all rows to each other.
        """
        *found, _may_have_duplicates, has_active = super().get_filters(request)
        return (*found, False, has_active)

    def read_usage(self, rows: Sequence[Any]) -> dict[Any, list[QuotaUsage]] | None:
        holders, last = holders_of(rows), last_hours(row.pk for row in rows)
        for row in rows:
            row.holder, row.last_hour = holders[row.pk], last.get(row.pk)
        return live_quotas(rows, holders)


class OrgSessionChangeList(LiveChangeList):
    def read_usage(self, rows: Sequence[Any]) -> dict[Any, list[QuotaUsage]] | None:
        by_organisation = {row.organisation_id: row.pk for row in rows}
        quotas = live_organisation_quotas(list(by_organisation))
        if quotas is None:
            return None
        return {by_organisation[organisation]: [quota] for organisation, quota in quotas.items()}


def usage_cell(obj: Any) -> SafeString | str:
    """The quota of a row that is used up the most, as a small bar."""
    quotas: list[QuotaUsage] | None = obj.live_usage
    if quotas is None:
        return "unknown"
    if not quotas:
        return "no quota"
    nearest = max(quotas, key=lambda quota: quota.used / quota.max)
    bar = usage_bar(nearest, "Quota", timezone.now())
    return render_to_string("sessions_app/usage_bar.html", {"bar": bar, "compact": True})


def last_used_text(hour: datetime | None, now: datetime) -> str:
    """ "this hour", "5 h ago", "3 days ago", "never"."""
    if hour is None:
        return "never"
    seconds = (now - hour).total_seconds()
    return "this hour" if seconds < 3600 else f"{wait_text(seconds // 3600 * 3600)} ago"
