"""Filters and ordering of lists: a name or value that makes no sense is refused, never passed over."""

from typing import Any

import django_filters
from django import forms
from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ValidationError
from rest_framework.filters import OrderingFilter
from rest_framework.request import Request
from rest_framework.views import APIView

LARGEST_ID = 2**63 - 1
PAGING = frozenset({"cursor", "page_size", "ordering"})


class FlagField(forms.Field):
    def to_python(self, value: Any) -> bool | None:
        if value in (None, ""):
            return None
        if str(value).lower() not in ("true", "false"):
            raise forms.ValidationError("must be true or false")
        return str(value).lower() == "true"


class Flag(django_filters.Filter):  # type: ignore[misc]
    """`true` or `false`."""

    field_class = FlagField


@extend_schema_field({"type": "integer", "minimum": 1, "maximum": LARGEST_ID})
class IdFilter(django_filters.Filter):  # type: ignore[misc]
    """A numeric id. One that no database can hold is refused before the database has to."""

    field_class = forms.IntegerField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, min_value=1, max_value=LARGEST_ID, **kwargs)


class StrictFilters(DjangoFilterBackend):  # type: ignore[misc]
    """Filters lists only; refuses a parameter that the list does not know."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        if getattr(view, "action", "list") != "list":
            return queryset
        filter_class = self.get_filterset_class(view, queryset)
        known = PAGING | set(filter_class.base_filters if filter_class else ())
        if unknown := sorted(set(request.query_params) - known):
            words = f"is no parameter of this list; known are {', '.join(sorted(known))}"
            raise ValidationError({name: [words] for name in unknown}, code="unknown")
        filtered: QuerySet[Any] = super().filter_queryset(request, queryset, view)
        return filtered


class StrictOrdering(OrderingFilter):
    def remove_invalid_fields(self, queryset: Any, fields: Any, view: APIView, request: Request) -> list[str]:
        valid = [name for name, _ in self.get_valid_fields(queryset, view, {"request": request})]
        for field in fields:
            if field.removeprefix("-") not in valid:
                raise ValidationError({"ordering": [f"must be one of {', '.join(valid)}, or with - in front"]})
        return list(fields)
