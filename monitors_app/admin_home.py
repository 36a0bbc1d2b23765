"""The first page of the admin: requests of the last days, thresholds reached lately, and deliveries that failed."""

from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest
from django.utils import timezone

from monitors_app.models import Delivery, TriggerEvent
from sessions_app.models import UsageHour
from sessions_app.usage_charts import daily_chart

SHOWN = 6


def add_overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Called by the theme with the page's context. Each part is for those who may see its lists."""
    user = request.user
    if user.has_perm("sessions_app.view_key"):
        context["chart"] = daily_chart(UsageHour.objects.all(), ZoneInfo("UTC"), timezone.now())
    if user.has_perm("monitors_app.view_triggerevent"):
        context["events"] = TriggerEvent.objects.all()[:SHOWN]
    if user.has_perm("monitors_app.view_delivery"):
        failed = Delivery.objects.filter(status=Delivery.Status.FAILED, event__isnull=False)
        context["failed_deliveries"] = failed.select_related("event")[:SHOWN]
    return context
