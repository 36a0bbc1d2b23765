"""Admin of monitors, the ledger of threshold events, deliveries and attempts. Only monitors can be edited."""

import json
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    RangeDateTimeFilter,
)
from unfold.decorators import action, display

from monitors_app.admin_forms import MonitorForm
from monitors_app.bodies import with_key
from monitors_app.delivery import TestThrottled, redeliver, send_test
from monitors_app.models import Attempt, Delivery, Monitor, TriggerEvent
from monitors_app.monitors import MASK, delete_monitor, headers_of, rotate_secret, save_monitor
from monitors_app.transports import TransportError
from monitors_app.webhooks import sends_masked_key
from organisations_app.admin_confirmation import Question, ReasonForm, ask, is_confirmed
from organisations_app.sealing import SealBroken

STATUS_COLOURS = {
    "Delivered": "success",
    "Pending": "info",
    "Sending": "info",
    "Failed": "danger",
    "Cancelled": "warning",
}


class ReadOnlyAdmin(ModelAdmin):
    """What happened cannot be edited."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyInline(TabularInline):
    extra = 0
    can_delete = False
    hide_title = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Monitor)
class MonitorAdmin(ModelAdmin):
    form = MonitorForm
    list_display = ["name", "organisation_told", "target", "method", "event_timeout", "status"]
    list_filter = [("organisation", AutocompleteSelectFilter), ("is_enabled", BooleanRadioFilter)]
    list_filter_submit = True
    list_select_related = ["organisation"]
    search_fields = ["name", "target_path", "organisation__name"]
    search_help_text = "Name, target or organisation"
    autocomplete_fields = ["organisation"]
    actions_detail = ["test", "rotate_secret"]
    readonly_fields = ["health"]
    fieldsets = [
        (None, {"fields": ["name", "organisation", "is_enabled", "health"]}),
        ("Who is told of what", {"fields": [("monitor_user_keys", "monitor_org_keys"), "global_trigger_limit"]}),
        (
            "Webhook",
            {"fields": ["target_path", "method", "event_timeout", "key_format", "header_map", "signing_secret"]},
        ),
        ("Body", {"fields": ["template", "template_path"], "classes": ["collapse"]}),
    ]

    @display(description="Organisation", ordering="organisation__name")
    def organisation_told(self, monitor: Monitor) -> str:
        return str(monitor.organisation) if monitor.organisation else "all"

    @display(description="Target", ordering="target_path")
    def target(self, monitor: Monitor) -> str:
        return monitor.target_path or "e-mails only"

    @display(description="Status", label={"on": "success", "off": "warning", "failing": "danger"})
    def status(self, monitor: Monitor) -> str:
        if not monitor.is_enabled:
            return "off"
        return "failing" if monitor.failures_in_row else "on"

    @display(description="Delivery health")
    def health(self, monitor: Monitor) -> str:
        if monitor.disabled_reason:
            return f"Switched off: {monitor.disabled_reason}"
        if monitor.failures_in_row:
            return f"{monitor.failures_in_row} failures in a row since {monitor.failing_since:%Y-%m-%d %H:%M} UTC"
        return "No failures."

    def has_delete_permission(self, request: HttpRequest, obj: Monitor | None = None) -> bool:
        """The gateway's own monitor can only be switched off."""
        allowed: bool = super().has_delete_permission(request, obj)
        return allowed and not (obj is not None and obj.is_gateway)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.generated_secret = save_monitor(
            obj, header_map=form.cleaned_data["header_map"], signing_secret=form.cleaned_data["signing_secret"] or None
        )

    def delete_model(self, request: HttpRequest, obj: Monitor) -> None:
        delete_monitor(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Monitor]) -> None:
        for monitor in queryset:
            delete_monitor(monitor)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        if obj.generated_secret:
            return self._show_secret(request, obj)
        response: HttpResponse = super().response_add(request, obj, post_url_continue)
        return response

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        if obj.generated_secret:
            return self._show_secret(request, obj)
        response: HttpResponse = super().response_change(request, obj)
        return response

    def _show_secret(self, request: HttpRequest, monitor: Any) -> HttpResponse:
        """The answer to the POST itself: the secret is in no message and no session."""
        context = {
            **self.admin_site.each_context(request),
            "title": f"Signing secret of {monitor}",
            "opts": self.model._meta,
            "monitor": monitor,
            "secret": monitor.generated_secret,
        }
        response = TemplateResponse(request, "monitors_app/admin/secret.html", context)
        response["Cache-Control"] = "no-store"
        return response

    @action(description="Send test", icon="send", permissions=["change"])
    def test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        monitor = get_object_or_404(Monitor, pk=object_id)
        page = reverse("admin:monitors_app_monitor_change", args=[monitor.pk])
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            return self._tested(request, monitor, page)
        text = (
            f"A marked test event goes to {monitor.target_path or 'nowhere, because no target is set'}, once, at once."
        )
        question = Question(f"Send a test from {monitor}?", text, "Send test", page, is_danger=False)
        return ask(self, request, question, form)

    @action(description="Rotate secret", icon="autorenew", permissions=["change"])
    def rotate_secret(self, request: HttpRequest, object_id: str) -> HttpResponse:
        monitor: Any = get_object_or_404(Monitor, pk=object_id)
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            monitor.generated_secret = rotate_secret(monitor)
            self.log_change(request, monitor, f"Signing secret rotated.{form.suffix()}")
            return self._show_secret(request, monitor)
        text = "A new signing secret is made and shown once. For 24 hours webhooks carry both signatures, the new and \
the old, so that the receiver can change over without losing one."
        page = reverse("admin:monitors_app_monitor_change", args=[monitor.pk])
        question = Question(f"Rotate the signing secret of {monitor}?", text, "Rotate secret", page, is_danger=False)
        return ask(self, request, question, form)

    def _tested(self, request: HttpRequest, monitor: Monitor, page: str) -> HttpResponse:
        try:
            attempt = send_test(monitor)
        except (TestThrottled, TransportError) as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(page)
        if attempt.error:
            messages.error(request, f"The test failed: {attempt.error}")
        else:
            messages.success(request, f"The receiver answered {attempt.status_code} after {attempt.duration_ms} ms.")
        return HttpResponseRedirect(reverse("admin:monitors_app_delivery_change", args=[attempt.delivery_id]))


class DeliveryInline(ReadOnlyInline):
    model = Delivery
    fields = ["channel", "recipient", "status", "attempt_count", "next_attempt_at", "finished_at"]
    readonly_fields = fields
    show_change_link = True


@admin.register(TriggerEvent)
class TriggerEventAdmin(ReadOnlyAdmin):
    """The ledger."""

    list_display = ["occurred_at", "kind", "about", "reached", "usage", "organisation_id"]
    list_filter = [("kind", ChoicesDropdownFilter), ("occurred_at", RangeDateTimeFilter)]
    list_filter_submit = True
    list_per_page = 50
    search_fields = ["alias", "key_id", "organisation_id", "api_id", "key_hint"]
    search_help_text = "Alias, key id, hint, organisation or API"
    inlines = [DeliveryInline]
    fields = [
        "occurred_at",
        "kind",
        "about",
        "reached",
        "usage",
        "organisation_id",
        "key_id",
        "key_hint",
        "api_id",
        "source",
        "counter",
        "period",
        "recorded_at",
    ]

    @display(description="About", ordering="alias")
    def about(self, event: TriggerEvent) -> str:
        return event.alias or event.key_id or event.organisation_id

    @display(description="Threshold", ordering="threshold", label=True)
    def reached(self, event: TriggerEvent) -> str:
        return f"{event.threshold} %"

    @display(description="Usage", ordering="used")
    def usage(self, event: TriggerEvent) -> str:
        return f"{event.used:,} of {event.quota_max:,}"

    @display(description="Period")
    def period(self, event: TriggerEvent) -> str:
        return _period(event.period_start_ms, event.period_end_ms)


class AttemptInline(ReadOnlyInline):
    model = Attempt
    fields = ["number", "started_at", "status_code", "took", "error", "response_body"]
    readonly_fields = fields
    verbose_name_plural = "Attempts"

    @display(description="Took")
    def took(self, attempt: Attempt) -> str:
        return f"{attempt.duration_ms:,} ms"


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "channel", "recipient", "event_told", "state", "attempt_count", "next_attempt_at"]
    list_filter = [
        ("status", ChoicesDropdownFilter),
        ("channel", ChoicesDropdownFilter),
        ("monitor", AutocompleteSelectFilter),
        ("created_at", RangeDateTimeFilter),
    ]
    list_filter_submit = True
    list_per_page = 50
    list_select_related = ["event", "monitor"]
    search_fields = ["recipient", "subject", "message_id"]
    search_help_text = "Receiver, key or organisation id, message id"
    inlines = [AttemptInline]
    actions = ["redeliver_selected"]
    actions_detail = ["redeliver_one"]
    fields = [
        "event",
        "state",
        "channel",
        "recipient",
        "monitor",
        "subject",
        "message_id",
        "method",
        "headers",
        "shown_body",
        "attempt_count",
        "created_at",
        "first_attempt_at",
        "next_attempt_at",
        "finished_at",
    ]

    @display(description="Event")
    def event_told(self, delivery: Delivery) -> str:
        if delivery.event:
            return str(delivery.event)
        return "notice" if delivery.is_notice else "test"

    @display(description="Status", ordering="status", label=STATUS_COLOURS)
    def state(self, delivery: Delivery) -> str:
        return delivery.get_status_display()

    @display(description="Headers")
    def headers(self, delivery: Delivery) -> SafeString | str:
        try:
            names = headers_of(delivery.headers_sealed)
        except SealBroken:
            return "cannot be read any more: sealed with another SECRET_KEY"
        return _code("\n".join(f"{name}: {MASK}" for name in names)) if names else "none of its own"

    @display(description="Body")
    def shown_body(self, delivery: Delivery) -> SafeString | str:
        """With the masked key: the raw one is in no page."""
        hint = delivery.event.key_hint if delivery.event else ""
        try:
            return _code(json.dumps(json.loads(with_key(delivery.body, hint)), indent=2, ensure_ascii=False))
        except ValueError:
            return _code(delivery.body) if delivery.body else "written when it is sent"

    def has_redeliver_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("monitors_app.change_delivery")

    @action(description="Redeliver", icon="replay", permissions=["redeliver"])
    def redeliver_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        delivery = get_object_or_404(Delivery, pk=object_id)
        page = reverse("admin:monitors_app_delivery_change", args=[delivery.pk])
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            self._redeliver(request, [delivery], form)
            return HttpResponseRedirect(page)
        text = "It is sent again with the same message id, and retried like a new one."
        return ask(self, request, Question("Send again?", text, "Redeliver", page, [delivery], is_danger=False), form)

    @action(description="Redeliver selected deliveries", permissions=["redeliver"])
    def redeliver_selected(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse | None:
        deliveries = list(queryset)
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            self._redeliver(request, deliveries, form)
            return None
        text = "They are sent again with their old message ids, and retried like new ones. Open ones are left alone."
        back = reverse("admin:monitors_app_delivery_changelist")
        question = Question("Send again?", text, "Redeliver", back, deliveries, "redeliver_selected", is_danger=False)
        return ask(self, request, question, form)

    def _redeliver(self, request: HttpRequest, deliveries: list[Delivery], form: ReasonForm) -> None:
        sent = [delivery for delivery in deliveries if redeliver(delivery)]
        for delivery in sent:
            self.log_change(request, delivery, f"Redelivered.{form.suffix()}")
        if sent:
            messages.success(request, f"{len(sent)} on the way again.")
        if masked := sum(map(sends_masked_key, sent)):
            messages.info(request, f"{masked} of them with the key masked: the raw key was erased after the delivery.")
        if len(sent) < len(deliveries):
            messages.warning(
                request,
                f"{len(deliveries) - len(sent)} left alone: still open, a test, or their body is no longer kept.",
            )


def _code(text: str) -> SafeString:
    return format_html('<code class="tg-code">{}</code>', text)


def _period(start_ms: int, end_ms: int | None) -> str:
    from_text = _moment(start_ms)
    return f"{from_text} to {_moment(end_ms)}" if end_ms else f"from {from_text}, never renews"


def _moment(unix_ms: int) -> str:
    return f"{datetime.fromtimestamp(unix_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
