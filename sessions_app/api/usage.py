"""`/api/v1/usage`: requests summed by hour, day, organisation, key or API, for bills and reports."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from organisations_app.documents import refusal
from organisations_app.rest.filters import StrictFilters
from organisations_app.rest.resources import Resource
from sessions_app.models import UsageHour
from sessions_app.shapes import UsageShape
from sessions_app.usage_series import DIMENSIONS, summed

DEFAULT_DIMENSIONS = "hour,org_id,key_id,api_id"


class UsageFilter(django_filters.FilterSet):  # type: ignore[misc]
    org_id = django_filters.CharFilter(field_name="organisation_id")
    key_id = django_filters.CharFilter()
    api_id = django_filters.CharFilter()
    by = django_filters.CharFilter(method="unfiltered")

    def unfiltered(self, rows: QuerySet[UsageHour], name: str, value: str) -> QuerySet[UsageHour]:
        return rows


# `from` is no name for a class's member.
UsageFilter.base_filters["from"] = django_filters.IsoDateTimeFilter(field_name="hour", lookup_expr="gte")
UsageFilter.base_filters["to"] = django_filters.IsoDateTimeFilter(field_name="hour", lookup_expr="lt")


class UsageViewSet(Resource[UsageHour]):
    """Requests that passed and that were denied."""

    scope = "usage"
    filter_backends = [StrictFilters]
    sums_by: list[str]  # is also what the rows are ordered by
    queryset = UsageHour.objects.all()
    serializer_class = UsageShape
    filterset_class = UsageFilter

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "by",
                str,
                description=f"What to sum by: some of {', '.join(DIMENSIONS)}, separated by commas. Rows come in this "
                f"order. Unless told otherwise {DEFAULT_DIMENSIONS}.",
            )
        ]
    )
    def list(self, request: Request) -> Response:
        """Sums of the hours in [`from`, `to`). Days begin at midnight UTC."""
        self.sums_by = dimensions = dimensions_of(request)
        rows = summed(self.filter_queryset(self.get_queryset()), *dimensions)
        page: list[Any] = self.paginate_queryset(rows) or []
        return self.get_paginated_response(
            [
                {**{name: row[name] for name in dimensions}, "passed": row["passed_sum"], "denied": row["denied_sum"]}
                for row in page
            ]
        )


def dimensions_of(request: Request) -> list[str]:
    """Raises DocumentError."""
    names = [name.strip() for name in request.query_params.get("by", DEFAULT_DIMENSIONS).split(",")]
    unknown = [name for name in names if name not in DIMENSIONS]
    if unknown or len(set(names)) < len(names):
        raise refusal("/by", f"must be some of {', '.join(DIMENSIONS)}, each once, separated by commas")
    return names
