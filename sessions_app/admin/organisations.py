"""Admin of organisations with the session that limits all their keys together (section 6)."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import action, display
from unfold.views import ChangeList

from organisations_app.admin import OrganisationAdmin
from organisations_app.admin_confirmation import Question, ReasonForm, actor_of, ask, is_confirmed
from organisations_app.admin_lists import Amount
from organisations_app.admin_versions import VersionedAdmin
from organisations_app.audit import Subject
from organisations_app.models import Application, Developer, Organisation
from organisations_app.versions import organisation_scope
from policies_app.admin import LimitColumns
from policies_app.durations import quota_text
from policies_app.limit_forms import QUOTA_FIELDS, SessionForm
from policies_app.models import Api, Policy
from sessions_app.admin.key_actions import RESET_TEXT
from sessions_app.admin.usage_lists import OrgSessionChangeList, usage_cell
from sessions_app.corrections import reset_organisation_quota
from sessions_app.custody import session_subject_of
from sessions_app.engine.types import StoreUnavailable
from sessions_app.models import Key, OrgSession
from sessions_app.tyk import org_session_to_tyk
from sessions_app.usage_bars import live_organisation_quotas, usage_bar


@admin.register(Organisation)
class SessionedOrganisationAdmin(OrganisationAdmin):
    """An organisation with the way to its session."""

    list_display = [*OrganisationAdmin.list_display[:-1], "limits", "created_at"]
    list_select_related = ["session"]
    actions_detail = ["open_session"]
    change_form_before_template = "sessions_app/admin/organisation_owns.html"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        context = {**(extra_context or {}), "owned": self._owned(request, unquote(object_id))}
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    def _owned(self, request: HttpRequest, organisation_id: str) -> list[dict[str, Any]]:
        """How much of what the organisation owns, each with its list, for those who may see that."""
        owned = []
        for model in (Key, Policy, Api, Developer, Application):
            opts = model._meta
            if not request.user.has_perm(f"{opts.app_label}.view_{opts.model_name}"):
                continue
            rows = Amount.of(model._default_manager.filter(organisation=organisation_id))
            lists = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
            owned.append(
                {
                    "name": opts.verbose_name if rows == 1 else opts.verbose_name_plural,
                    "count": rows,
                    "url": f"{lists}?{urlencode({'organisation__id__exact': organisation_id})}",
                }
            )
        return owned

    @display(description="Limits of all keys together")
    def limits(self, organisation: Organisation) -> str:
        session: OrgSession | None = getattr(organisation, "session", None)
        return quota_text(session.limits()) if session else "none"

    @action(description="Limits of the organisation", icon="speed", permissions=["view"])
    def open_session(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the session, or to the form that makes one."""
        organisation_id = unquote(object_id)
        session = OrgSession.objects.filter(organisation=organisation_id).first()
        if session is not None:
            return HttpResponseRedirect(reverse("admin:sessions_app_orgsession_change", args=[session.pk]))
        return HttpResponseRedirect(
            f"{reverse('admin:sessions_app_orgsession_add')}?{urlencode({'organisation': organisation_id})}"
        )


@admin.register(OrgSession)
class OrgSessionAdmin(LimitColumns, VersionedAdmin):
    form = SessionForm
    list_display = ["organisation", "quota", "usage", "rate_limit", "thresholds", "status"]
    list_select_related = ["organisation"]
    list_filter = [("is_inactive", BooleanRadioFilter)]
    list_filter_submit = True
    list_per_page = 50
    search_fields = ["organisation__name", "organisation__id"]
    search_help_text = "Organisation's name or id"
    autocomplete_fields = ["organisation"]
    actions_detail = ["reset_quota"]
    change_form_before_template = "sessions_app/admin/organisation_panel.html"
    fieldsets = [
        (None, {"fields": ["organisation", "is_inactive"]}),
        ("Usage quotas", {"fields": QUOTA_FIELDS, "description": "For all keys of the organisation together."}),
        ("Rate", {"fields": [("rate", "per")]}),
        ("Monitor", {"fields": ["trigger_limits"]}),
        ("Metadata and tags", {"fields": ["meta_data", "tags"], "classes": ["collapse"]}),
    ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return OrgSessionChangeList

    def get_readonly_fields(self, request: HttpRequest, obj: OrgSession | None = None) -> list[str]:
        return ["organisation"] if obj else []

    def config_scopes(self, obj: OrgSession) -> Iterable[str]:
        return [organisation_scope(obj.organisation_id)]

    def audit_document(self, obj: OrgSession) -> Mapping[str, Any]:
        return org_session_to_tyk(obj)

    def audit_subject(self, obj: OrgSession) -> Subject:
        return session_subject_of(obj)

    @display(description="Usage")
    def usage(self, session: OrgSession) -> str:
        return usage_cell(session)

    @display(description="Status", ordering="is_inactive", label={"active": "success", "inactive": "warning"})
    def status(self, session: OrgSession) -> str:
        return "inactive" if session.is_inactive else "active"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        sessions: QuerySet[OrgSession] = OrgSession.objects.select_related("organisation")
        session = sessions.filter(pk=object_id).first() if object_id.isdecimal() else None
        context = {**(extra_context or {}), **(_panel(session) if session else {})}
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    def has_reset_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("sessions_app.reset_organisation_quota"))

    @action(description="Reset quota", icon="restart_alt", permissions=["reset"])
    def reset_quota(self, request: HttpRequest, object_id: str) -> HttpResponse:
        session = get_object_or_404(self.get_queryset(request).select_related("organisation"), pk=object_id)
        page = reverse("admin:sessions_app_orgsession_change", args=[session.pk])
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            self._reset(request, session, form)
            return HttpResponseRedirect(page)
        title = f"Reset the quota of {session.organisation}?"
        return ask(self, request, Question(title, RESET_TEXT, "Reset quota", page, is_danger=False), form)

    def _reset(self, request: HttpRequest, session: OrgSession, form: ReasonForm) -> None:
        try:
            used = reset_organisation_quota(session.organisation, actor_of(request), form.given)
        except StoreUnavailable:
            messages.error(request, "The counter store does not answer; nothing was reset. Try again.")
            return
        self.log_change(request, session, f"Quota reset; {used:,} requests had been used.{form.suffix()}")
        messages.success(request, f"Quota reset; {used:,} requests had been used.")


def _panel(session: OrgSession) -> dict[str, Any]:
    quotas = live_organisation_quotas([session.organisation_id])
    quota = quotas.get(session.organisation_id) if quotas else None
    bar = usage_bar(quota, "All keys together", timezone.now(), session.trigger_limits) if quota else None
    return {"bar": bar, "zone": session.organisation.timezone, "store_answers": quotas is not None}
