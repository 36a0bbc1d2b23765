"""Admin of deliveries: what was sent to whom, what came back, and sending it again."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Max, Min, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import action, display

from monitors_app.admin.history import (
    DELIVERY_TENANCY,
    STATUS_COLOURS,
    ExactFilter,
    HistoryAdmin,
    about,
    first_found,
    shown_body,
)
from monitors_app.api.deliveries import subject_of
from monitors_app.delivery import redeliver
from monitors_app.models import Delivery
from monitors_app.monitors import MASK, headers_of
from monitors_app.webhooks import sends_masked_key
from organisations_app import audit
from organisations_app.admin_confirmation import Question, ReasonForm, actor_of, ask, is_confirmed
from organisations_app.admin_filters import BetweenFilter
from organisations_app.counting import MOST_COUNTED
from organisations_app.models import Developer
from organisations_app.sealing import SealBroken

MOST_AT_ONCE = 1_000
# What every webhook carries; the last two belong to an attempt (Standard Webhooks).
OWN_HEADERS = ("Content-Type", "User-Agent", "webhook-id", "webhook-timestamp", "webhook-signature")


class StatusFilter(ChoicesDropdownFilter):
    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        """Says of open ones that they are unfinished, too: the indexes of what is open need to be told."""
        rows: QuerySet[Delivery] = super().queryset(request, queryset)
        is_open = self.value() in (Delivery.Status.PENDING, Delivery.Status.SENDING)
        return rows.filter(finished_at=None) if is_open else rows


class OrganisationFilter(ExactFilter):
    title = "organisation id"
    parameter_name = "organisation"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        return queryset.filter(about(self.value(), ["organisation_id"], "event__")) if self.value() else queryset


class TargetFilter(ExactFilter):
    """Rare targets are looked up by the index `delivery_of_target` and named, like rare events in `about`. Of frequent
    ones the walk through the list keeps between the oldest and the newest: a receiver that was given up long ago would
    be far away.
    """

    title = "target host, or host:port"
    parameter_name = "target"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> QuerySet[Delivery]:
        wanted = self.value().lower()
        if not wanted:
            return queryset
        meant = Q(target=wanted) if ":" in wanted else Q(target__startswith=f"{wanted}:")
        sent = Delivery.objects.filter(meant).exclude(target="")
        found = first_found(sent)
        if len(found) <= MOST_COUNTED:
            return queryset.filter(pk__in=found)
        return queryset.filter(meant, **(_ends(sent) if ":" in wanted else {}))


def _ends(rows: QuerySet[Delivery]) -> dict[str, int]:
    """The condition that ids lie between those of the oldest and the newest of the rows."""
    ends = rows.aggregate(pk__gte=Min("pk"), pk__lte=Max("pk"))
    return {name: end for name, end in ends.items() if end is not None}


@admin.register(Delivery)
class DeliveryAdmin(HistoryAdmin):
    tenancy = DELIVERY_TENANCY
    list_display = ["created", "channel", "recipient", "event_told", "state", "attempt_count", "next_attempt_at"]
    list_filter = [
        ("status", StatusFilter),
        ("channel", ChoicesDropdownFilter),
        ("monitor", AutocompleteSelectFilter),
        OrganisationFilter,
        TargetFilter,
        ("created_at", BetweenFilter),
    ]
    sortable_by = ["created"]
    list_select_related = ["event", "monitor"]
    empty_text = "A delivery is made for each monitor and developer that wants to be told of a threshold event."
    search_fields = ["message_id"]
    search_help_text = "Message id, key id, organisation id, or e-mail address: whole"
    actions = ["redeliver_selected"]
    actions_detail = ["redeliver_one"]
    change_form_outer_before_template = "monitors_app/admin/exchange.html"
    fields = [
        *("event_link", "state", "channel", "monitor", "subject", "attempt_count"),
        *("created_at", "first_attempt_at", "next_attempt_at", "finished_at"),
    ]
    readonly_fields = ["event_link"]

    @display(description="Created", ordering="id")
    def created(self, delivery: Delivery) -> Any:
        return delivery.created_at

    @display(description="Event")
    def event_told(self, delivery: Delivery) -> str:
        if delivery.event:
            return str(delivery.event)
        return "notice" if delivery.is_notice else "test"

    @display(description="Event")
    def event_link(self, delivery: Delivery) -> Any:
        if delivery.event is None:
            return self.event_told(delivery)
        page = reverse("admin:monitors_app_triggerevent_change", args=[delivery.event_id])
        return format_html('<a class="tg-link" href="{}">{}</a>', page, delivery.event)

    @display(description="Status", ordering="status", label=STATUS_COLOURS)
    def state(self, delivery: Delivery) -> str:
        return delivery.get_status_display()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Delivery], search_term: str
    ) -> tuple[QuerySet[Delivery], bool]:
        """Whole values, which indexes find in a list of any length."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if term.startswith("msg_"):
            return queryset.filter(message_id=term), False
        if "@" in term:
            developers = Developer.objects.filter(user__email__iexact=term)
            return queryset.filter(developer__in=list(developers.values_list("pk", flat=True))), False
        return queryset.filter(about(term, ("key_id", "organisation_id"), "event__")), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        delivery = self.get_object(request, object_id)
        exchange = exchange_of(delivery) if delivery else {}
        context = {**(extra_context or {}), **exchange}
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    # --- sending again ------------------------------------------------------------------------------------------------

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
        deliveries = list(queryset.select_related("event", "monitor")[: MOST_AT_ONCE + 1])
        if len(deliveries) > MOST_AT_ONCE:
            messages.info(request, f"The first {MOST_AT_ONCE:,} of the list; repeat it for the others.")
        deliveries = deliveries[:MOST_AT_ONCE]
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
            audit.record(actor_of(request), "redeliver", subject_of(delivery), form.given)
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


def exchange_of(delivery: Delivery) -> dict[str, Any]:
    """The request, secrets masked, and each answer to it."""
    return {
        "delivery": delivery,
        "colour": STATUS_COLOURS[delivery.get_status_display()],
        "headers": _headers(delivery) if delivery.channel == Delivery.Channel.WEBHOOK else [],
        "body": shown_body(delivery),
        "attempts": list(delivery.attempts.order_by("number")),
    }


def _headers(delivery: Delivery) -> list[tuple[str, str]]:
    """Names and what may be shown of their values. A configured header replaces ours of the same name."""
    shown = {
        "content-type": ("Content-Type", "application/json"),
        "user-agent": ("User-Agent", f"Tollgate/{settings.GATEWAY_VERSION}"),
        "webhook-id": ("webhook-id", delivery.message_id),
    }
    try:
        configured = {name: (name, MASK) for name in headers_of(delivery.headers_sealed)}
    except SealBroken:
        configured = {"": ("configured headers", "cannot be read any more: sealed with another SECRET_KEY")}
    own = [shown.get(name.lower(), (name, "made for each attempt")) for name in OWN_HEADERS]
    taken = {name.lower() for name in configured}
    return [each for each in own if each[0].lower() not in taken] + list(configured.values())
