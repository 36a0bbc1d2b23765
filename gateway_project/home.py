"""The first page of the admin: what goes on, what runs short, what failed, and whether everything runs.

What it costs does not grow with the number of keys: days come from their own sums, full keys from an index.
"""

from datetime import timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from gateway_project.health_checks import checks
from monitors_app.models import Delivery, TriggerEvent
from organisations_app.tenancy import organisations_for, within
from sessions_app.models import UsageDay
from sessions_app.nearest import nearest_to_limit
from sessions_app.usage_charts import DAYS, draw_chart
from sessions_app.usage_days import daily_totals

SHOWN = 6


def add_overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Called by the theme with the page's context. Each part is for those who may see its lists, of the organisations
    that they may see.
    """
    user, now = request.user, timezone.now()
    organisations = organisations_for(user)
    if user.has_perm("sessions_app.view_key"):
        first = now.date() - timedelta(days=DAYS - 1)
        totals = daily_totals(within(UsageDay.objects.all(), organisations, "organisation"), first)
        context["chart"] = draw_chart(totals, first, DAYS)
        context["nearest"] = nearest_to_limit(organisations, now, SHOWN)
    if user.has_perm("monitors_app.view_triggerevent"):
        events = within(TriggerEvent.objects.all(), organisations, "organisation_id")
        context["events"] = events[:SHOWN]
    if user.has_perm("monitors_app.view_delivery"):
        failed = Delivery.objects.filter(status=Delivery.Status.FAILED, event__isnull=False).select_related("event")
        context["failed_deliveries"] = within(
            failed, organisations, "monitor__organisation", "developer__organisation"
        )[:SHOWN]
    context["shows_health"] = organisations is None
    return context


@never_cache
@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """The state of every part, for the page to ask for again and again. The gateway's health is the operator's."""
    if organisations_for(request.user) is not None:
        return HttpResponse(status=403)
    return TemplateResponse(request, "admin/health.html", {"checks": checks(timezone.now())})
