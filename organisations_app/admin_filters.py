"""Filters that the theme has, with what they lack."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import RangeDateTimeFilter


class BetweenFilter(RangeDateTimeFilter):
    """From one moment to another, in the time zone of the admin. A day without a time begins at midnight, and as the
    end it ends at midnight. What is no moment finds nothing.
    """

    WHOLE_DAY = {"from": "00:00:00", "to": "23:59:59.999999"}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        form = self.form_class(name=self.parameter_name, data=self._completed())
        if not form.is_valid():
            return queryset.none()
        bounds: dict[str, datetime | None] = {
            f"{self.parameter_name}__gte": form.cleaned_data[f"{self.parameter_name}_from"],
            f"{self.parameter_name}__lte": form.cleaned_data[f"{self.parameter_name}_to"],
        }
        return queryset.filter(**{name: moment for name, moment in bounds.items() if moment})

    def _completed(self) -> dict[str, Any]:
        given = dict(self.used_parameters)
        for end, time in self.WHOLE_DAY.items():
            name = f"{self.parameter_name}_{end}"
            if given.get(f"{name}_0") and not given.get(f"{name}_1"):
                given[f"{name}_1"] = time
        return given
