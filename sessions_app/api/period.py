"""`from` and `to` of an address: the hours that a report is about."""

from datetime import UTC, datetime, timedelta

from django.utils import timezone
from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from organisations_app.documents import refusal
from sessions_app.usage_series import LONGEST_SERIES

DEFAULT_PERIOD = timedelta(days=1)
PERIOD_PARAMETERS = [
    OpenApiParameter("from", datetime, description="Hours that begin at or after this moment (ISO 8601)."),
    OpenApiParameter("to", datetime, description="Hours that begin before this moment; now unless told otherwise."),
]


def period_of(request: Request) -> tuple[datetime, datetime]:
    """Begin and end. Raises DocumentError for one that is no moment, turned round, or too long."""
    for name in request.query_params:
        if name not in ("from", "to"):
            raise refusal(f"/{name}", "is no parameter here; known are from, to", "unknown")
    end = _moment(request, "to") or timezone.now()
    begin = _moment(request, "from") or end - DEFAULT_PERIOD
    if begin >= end:
        raise refusal("/from", "must be before `to`")
    if end - begin > LONGEST_SERIES:
        raise refusal("/from", f"must be at most {LONGEST_SERIES.days} days before `to`")
    return begin, end


def _moment(request: Request, name: str) -> datetime | None:
    text = request.query_params.get(name, "")
    if not text:
        return None
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise refusal(f"/{name}", "must be a moment like 2025-01-31T00:00:00Z (a + is written %2B)")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
