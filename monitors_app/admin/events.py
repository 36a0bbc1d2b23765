"""Admin of the ledger: each threshold that was crossed, and its trace to whoever was told, attempt by attempt."""

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.formats import date_format
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from monitors_app.admin.history import DELIVERY_TENANCY, STATUS_COLOURS, ExactFilter, HistoryAdmin, about
from monitors_app.models import Delivery, TriggerEvent
from organisations_app.admin_filters import BetweenFilter
from organisations_app.tenancy import organisations_for, within

# One event reaches a monitor or a person each; who has more of them finds the rest in the list of deliveries.
MOST_TRACED = 50


class OrganisationFilter(ExactFilter):
    title = "organisation id"
    parameter_name = "organisation"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(organisation_id=self.value()) if self.value() else queryset


@admin.register(TriggerEvent)
class TriggerEventAdmin(HistoryAdmin):
    """The ledger."""

    tenancy = ("organisation_id",)
    list_display = ["occurred", "kind", "about", "reached", "usage", "organisation_id"]
    list_filter = [("kind", ChoicesDropdownFilter), OrganisationFilter, ("occurred_at", BetweenFilter)]
    sortable_by = ["occurred"]
    empty_text = "An event is recorded when a key or an organisation reaches one of its thresholds."
    search_fields = ["key_id"]
    search_help_text = "Key id, organisation id, or alias: whole"
    change_form_outer_before_template = "monitors_app/admin/trace.html"
    fields = [
        *("occurred_at", "kind", "about", "reached", "usage", "organisation_id", "key_id", "key_hint", "api"),
        *("source", "counter", "period", "recorded_at"),
    ]

    @display(description="Occurred", ordering="occurred_at")
    def occurred(self, event: TriggerEvent) -> datetime:
        return event.occurred_at

    @display(description="About")
    def about(self, event: TriggerEvent) -> str:
        return event.alias or event.key_id or event.organisation_id

    @display(description="Threshold", label=True)
    def reached(self, event: TriggerEvent) -> str:
        return f"{event.threshold} %"

    @display(description="Usage")
    def usage(self, event: TriggerEvent) -> str:
        return f"{event.used:,} of {event.quota_max:,}"

    @display(description="API id")
    def api(self, event: TriggerEvent) -> str:
        return event.api_id

    @display(description="Period")
    def period(self, event: TriggerEvent) -> str:
        begin = _moment(event.period_start_ms)
        end = event.period_end_ms
        return f"{begin} to {_moment(end)}" if end else f"from {begin}, never renews"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[TriggerEvent], search_term: str
    ) -> tuple[QuerySet[TriggerEvent], bool]:
        """Whole values, which indexes find in a ledger of any length."""
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(about(term, ("key_id", "organisation_id", "alias"))), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        trace = _trace(request, object_id)
        response: HttpResponse = super().change_view(request, object_id, form_url, {**(extra_context or {}), **trace})
        return response


def _trace(request: HttpRequest, event_id: str) -> dict[str, Any]:
    """Deliveries with their attempts, in the order in which they were made; confined staff see their own."""
    if not event_id.isdecimal():
        return {}
    rows = within(Delivery.objects.filter(event__pk=int(event_id)), organisations_for(request.user), *DELIVERY_TENANCY)
    found = list(
        rows.select_related("monitor", "developer__user").prefetch_related("attempts").order_by("pk")[: MOST_TRACED + 1]
    )
    shown = [(each, STATUS_COLOURS[each.get_status_display()]) for each in found[:MOST_TRACED]]
    return {"traced": shown, "has_more": len(found) > MOST_TRACED}


def _moment(unix_ms: int) -> str:
    return f"{date_format(datetime.fromtimestamp(unix_ms / 1000, UTC), 'DATETIME_FORMAT')} UTC"
