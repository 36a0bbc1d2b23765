"""What the page of a key shows beside its form, each part loaded for itself: live usage, the limits in force and where
they come from, who shares its counters, requests, and who changed what.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.admin.utils import quote, unquote
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.admin import ModelAdmin

from organisations_app.audit_lines import lines
from organisations_app.models import AuditEntry
from policies_app.durations import quota_text, rate_text
from policies_app.models import Api
from sessions_app.custody import subject_of
from sessions_app.engine.types import LimitName, StoreUnavailable
from sessions_app.explain import ExplainedLimit, Explanation, Origin, explain_all, sharing_of
from sessions_app.grants import custom_subject
from sessions_app.key_cards import key_cards
from sessions_app.models import Key
from sessions_app.terms import HOLDER, holders_of
from sessions_app.usage_stacks import key_charts

MOST_APIS = 30
MOST_EXAMINED = 500
MOST_ENTRIES = 10
MOST_LINES = 6
LABELS = {
    LimitName.ORG_RATE: "Rate of the organisation",
    LimitName.ORG_QUOTA: "Quota of the organisation",
    LimitName.KEY_RATE: "Rate",
    LimitName.KEY_QUOTA: "Quota",
}


@dataclass(frozen=True, slots=True)
class LimitRow:
    """An explained limit in words. `url` leads to where it is set."""

    label: str
    words: str
    url: str
    scope: str
    limit: ExplainedLimit


@dataclass(frozen=True, slots=True)
class ApiRows:
    """An API with its limits in force. `refusal` says why the key is turned away there, if it is."""

    name: str
    refusal: str
    limits: list[LimitRow]


def usage_panel(key: Key) -> dict[str, Any]:
    """Remaining requests for the period, as the counter store has them now."""
    card = key_cards([key], timezone.now(), holders_of([key]))[0]
    return {"card": card, "zone": key.organisation.timezone}


def limits_panel(key: Key) -> dict[str, Any]:
    """Each API with its limits in force: number, source, counter, thresholds (rule 3.9)."""
    holder = holders_of([key])[key.pk]
    known = Api.objects.in_bulk(holder.api_ids()[:MOST_APIS])
    apis = [known.get(api_id) or Api(pk=api_id, name=api_id) for api_id in holder.api_ids()[:MOST_APIS]]
    subject = custom_subject(holder)
    context = {"key": key, "subject": subject, "left_out": max(0, len(holder.api_ids()) - MOST_APIS)}
    try:
        explained: list[Explanation] | None = explain_all(holder, apis)
    except StoreUnavailable:
        explained = None
    return context | {
        "apis": None if explained is None else [_rows(*pair) for pair in zip(apis, explained, strict=True)],
        "unknown": explained[0].unknown_policies if explained else (),
        "sharers_url": page_of(key, "sharers") if subject is not None else "",
    }


def _rows(api: Api, explained: Explanation) -> ApiRows:
    refusal = explained.refusal.value.replace("_", " ") if explained.refusal else ""
    return ApiRows(api.name, refusal, [_row(limit) for limit in explained.limits])


def _row(limit: ExplainedLimit) -> LimitRow:
    is_quota = limit.name in (LimitName.KEY_QUOTA, LimitName.ORG_QUOTA)
    words = quota_text(limit.origin.limits) if is_quota else rate_text(limit.origin.limits)
    return LimitRow(LABELS[limit.name], words, _source_url(limit.origin), _scope_text(limit), limit)


def _source_url(origin: Origin) -> str:
    pages = {"policy": "policies_app_policy_change", "organisation": "organisations_app_organisation_change"}
    page = pages.get(origin.kind)
    return reverse(f"admin:{page}", args=[quote(origin.id)]) if page else ""


def _scope_text(limit: ExplainedLimit) -> str:
    """What the counter counts."""
    kind = limit.origin.scope.partition(":")[0]
    if limit.origin.kind == "organisation":
        return "all keys of the organisation"
    who = "everybody with this custom key" if limit.subject is not None else "this key"
    return f"{who}, on this API alone" if kind == "api" else f"{who}, on all APIs of the {kind or 'key'}"


def sharers_panel(key: Key) -> dict[str, Any]:
    return {"sharing": sharing_of(key, MOST_EXAMINED)}


def requests_panel(key: Key) -> dict[str, Any]:
    zone = key.organisation.timezone
    return {"charts": key_charts(key.pk, ZoneInfo(zone), timezone.now()), "zone": zone}


def changes_panel(key: Key) -> dict[str, Any]:
    """The last entries of the audit about this key, with what they changed."""
    subject = subject_of(key)
    entries = AuditEntry.objects.filter(subject_kind=subject.kind, subject_id=subject.id)[:MOST_ENTRIES]
    told = [(entry, lines(entry.before, entry.after)) for entry in entries]
    return {
        "entries": [(entry, found[:MOST_LINES], max(0, len(found) - MOST_LINES)) for entry, found in told],
        "zone": key.organisation.timezone,
        "all_url": f"{reverse('admin:organisations_app_auditentry_changelist')}?q={key.pk}",
    }


PANELS: dict[str, Callable[[Key], dict[str, Any]]] = {
    "usage": usage_panel,
    "limits": limits_panel,
    "sharers": sharers_panel,
    "requests": requests_panel,
    "changes": changes_panel,
}


def page_of(key: Key, page: str = "change") -> str:
    return reverse(f"admin:sessions_app_key_{page}", args=[quote(key.pk)])


class KeyPanels(ModelAdmin):
    """The parts of the page and their addresses."""

    change_form_before_template = "sessions_app/admin/key_panels.html"

    def get_urls(self) -> list[URLPattern]:
        parts = [path(f"<str:object_id>/{name}/", self._part(name), name=f"sessions_app_key_{name}") for name in PANELS]
        return [*parts, *super().get_urls()]

    def _part(self, name: str) -> Any:
        def part(request: HttpRequest, object_id: str) -> HttpResponse:
            keys = self.get_queryset(request).select_related(HOLDER)
            key = keys.filter(pk=unquote(object_id)).first()
            if key is None:
                raise Http404
            if not self.has_view_permission(request, key):
                return HttpResponse(status=403)
            return TemplateResponse(request, f"sessions_app/admin/key_{name}.html", PANELS[name](key))

        return self.admin_site.admin_view(part)
