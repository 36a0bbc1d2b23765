"""Admin of monitors: the form with its template editor, the test, the secret, and how well deliveries arrive."""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter
from unfold.decorators import action, display

from monitors_app import bodies
from monitors_app.admin.forms import MonitorForm, RotationForm, sentence
from monitors_app.delivery import TestThrottled, send_test
from monitors_app.health import health_of
from monitors_app.models import Monitor
from monitors_app.monitors import ERASE, delete_monitor, rotate_secret, save_monitor
from monitors_app.transports import TransportError
from organisations_app import audit
from organisations_app.admin_audit import AuditedAdmin, reason_of
from organisations_app.admin_confirmation import Question, ReasonForm, actor_of, ask, is_confirmed
from organisations_app.admin_erasure import ErasingAdmin
from organisations_app.admin_lists import PagedAdmin
from organisations_app.models import Job

ROTATION_TEXT = "A new signing secret is made and shown once."


@admin.register(Monitor)
class MonitorAdmin(ErasingAdmin, PagedAdmin, AuditedAdmin):
    form = MonitorForm
    erase_act = ERASE
    list_display = ["name", "organisation_told", "target", "http_method", "event_timeout", "status"]
    list_filter = [("organisation", AutocompleteSelectFilter), ("is_enabled", BooleanRadioFilter)]
    list_filter_submit = True
    list_select_related = ["organisation"]
    empty_text = "A monitor tells of thresholds that keys and organisations reach, by webhook and e-mail."
    search_fields = ["name", "target_path", "organisation__name"]
    search_help_text = "Name, target or organisation"
    autocomplete_fields = ["organisation"]
    actions_detail = ["test", "rotate_secret"]
    change_form_outer_before_template = "monitors_app/admin/health.html"
    fieldsets = [
        (None, {"fields": ["name", "organisation", "is_enabled"]}),
        ("Who is told of what", {"fields": [("monitor_user_keys", "monitor_org_keys"), "global_trigger_limit"]}),
        (
            "Webhook",
            {"fields": ["target_path", "method", "event_timeout", "key_format", "header_map", "signing_secret"]},
        ),
        ("Body", {"fields": ["template", "template_path"]}),
    ]

    @display(description="Organisation", ordering="organisation__name")
    def organisation_told(self, monitor: Monitor) -> str:
        return str(monitor.organisation) if monitor.organisation else "all"

    @display(description="Target", ordering="target_path")
    def target(self, monitor: Monitor) -> str:
        return monitor.target_path or "e-mails only"

    @display(description="Method", ordering="method")
    def http_method(self, monitor: Monitor) -> str:
        return monitor.method

    @display(description="Status", label={"on": "success", "off": "warning", "failing": "danger"})
    def status(self, monitor: Monitor) -> str:
        if not monitor.is_enabled:
            return "off"
        return "failing" if monitor.failures_in_row else "on"

    def has_delete_permission(self, request: HttpRequest, obj: Monitor | None = None) -> bool:
        """The gateway's own monitor can only be switched off."""
        allowed: bool = super().has_delete_permission(request, obj)
        return allowed and not (obj is not None and obj.is_gateway)

    def get_urls(self) -> list[URLPattern]:
        preview = self.admin_site.admin_view(require_POST(self.preview))
        return [path("preview/", preview, name="monitors_app_monitor_preview"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        monitor = self.get_object(request, object_id)
        health = {"health": health_of(monitor, timezone.now()), "shown_monitor": monitor} if monitor else {}
        response: HttpResponse = super().change_view(request, object_id, form_url, {**(extra_context or {}), **health})
        return response

    # --- the template as it is typed ----------------------------------------------------------------------------------

    def preview(self, request: HttpRequest) -> HttpResponse:
        """The body for a sample event, or what is wrong with the template and where: `{"body"}` or `{"error"}`."""
        if not self.has_view_permission(request):
            return JsonResponse({"error": "You may not see monitors."}, status=403)
        try:
            body = bodies.sample_body(request.POST.get("template", ""), request.POST.get("template_path", ""))
        except bodies.TemplateError as error:
            return JsonResponse({"error": sentence(str(error))})
        return JsonResponse({"body": body})

    # --- writing ------------------------------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.generated_secret = save_monitor(
            obj, header_map=form.cleaned_data["header_map"], signing_secret=form.cleaned_data["signing_secret"] or None
        )

    def remove(self, request: HttpRequest, obj: Monitor) -> Job | None:
        return delete_monitor(obj, actor_of(request), reason_of(request))

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        if obj.generated_secret:
            return self._show_secret(request, obj, obj.generated_secret)
        response: HttpResponse = super().response_add(request, obj, post_url_continue)
        return response

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        if obj.generated_secret:
            return self._show_secret(request, obj, obj.generated_secret)
        response: HttpResponse = super().response_change(request, obj)
        return response

    def _show_secret(self, request: HttpRequest, monitor: Monitor, secret: str) -> HttpResponse:
        """The answer to the POST itself: the secret is in no message and no session."""
        context = {
            **self.admin_site.each_context(request),
            "title": f"Signing secret of {monitor}",
            "opts": self.model._meta,
            "monitor": monitor,
            "secret": secret,
        }
        response = TemplateResponse(request, "monitors_app/admin/secret.html", context)
        response["Cache-Control"] = "no-store"
        return response

    # --- verbs --------------------------------------------------------------------------------------------------------

    @action(description="Send test", icon="send", permissions=["change"])
    def test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        monitor = get_object_or_404(Monitor, pk=object_id)
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            return self._tested(request, monitor, form.given)
        text = (
            f"A marked test event goes to {monitor.target_path or 'nowhere, because no target is set'}, once, at once."
        )
        question = Question(f"Send a test from {monitor}?", text, "Send test", page_of(monitor), is_danger=False)
        return ask(self, request, question, form)

    def _tested(self, request: HttpRequest, monitor: Monitor, reason: str) -> HttpResponse:
        """Leads to the delivery: the request as it was sent, secrets masked, and what came back."""
        try:
            attempt = send_test(monitor)
        except (TestThrottled, TransportError) as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(page_of(monitor))
        self._record(request, "test", monitor, reason)
        if attempt.error:
            messages.error(request, f"The test failed: {attempt.error}")
        else:
            messages.success(request, f"The receiver answered {attempt.status_code} after {attempt.duration_ms} ms.")
        return HttpResponseRedirect(reverse("admin:monitors_app_delivery_change", args=[attempt.delivery_id]))

    @action(description="Rotate secret", icon="autorenew", permissions=["change"])
    def rotate_secret(self, request: HttpRequest, object_id: str) -> HttpResponse:
        monitor = get_object_or_404(Monitor, pk=object_id)
        form = RotationForm(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            overlap = form.cleaned_data["overlap_seconds"]
            secret = rotate_secret(monitor, overlap)
            self.log_change(request, monitor, f"Signing secret rotated.{form.suffix()}")
            self._record(request, "rotate-secret", monitor, form.given, {"overlap_seconds": overlap})
            return self._show_secret(request, monitor, secret)
        title = f"Rotate the signing secret of {monitor}?"
        question = Question(title, ROTATION_TEXT, "Rotate secret", page_of(monitor), is_danger=False)
        return ask(self, request, question, form)

    def _record(
        self, request: HttpRequest, verb: str, monitor: Monitor, reason: str, after: Mapping[str, Any] | None = None
    ) -> None:
        audit.record(actor_of(request), verb, self.audit_subject(monitor), reason, after=after or {})


def page_of(monitor: Monitor) -> str:
    return reverse("admin:monitors_app_monitor_change", args=[monitor.pk])
