"""How lists of keys are narrowed down, quickly among a million keys, too."""

from datetime import datetime
from typing import Any

import django_filters
from django.db.models import QuerySet

from organisations_app.rest.filters import Flag, IdFilter
from sessions_app.models import Key, KeyPolicy
from sessions_app.queries import keys_naming

FEW = 5_000


class KeyFilter(django_filters.FilterSet):  # type: ignore[misc]
    org_id = django_filters.CharFilter(field_name="organisation_id")
    alias = django_filters.CharFilter()
    application_id = IdFilter()
    developer_id = IdFilter(field_name="application__developer_id")
    policy = django_filters.CharFilter(method="of_policy")
    api = django_filters.CharFilter(method="of_api")
    key_hash = django_filters.CharFilter(field_name="credentials__digest")
    is_inactive = Flag()
    revoked = Flag(field_name="revoked_at", lookup_expr="isnull", exclude=True)
    created_after = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")
    expires_before = django_filters.IsoDateTimeFilter(method="ending")

    def of_api(self, rows: QuerySet[Key], name: str, value: str) -> QuerySet[Key]:
        return rows.filter(pk__in=keys_naming(value).values("pk"))

    def of_policy(self, rows: QuerySet[Key], name: str, value: str) -> QuerySet[Key]:
        return _among(rows, KeyPolicy.objects.filter(policy=value).order_by().values_list("key_id", flat=True))

    def ending(self, rows: QuerySet[Key], name: str, value: datetime) -> QuerySet[Key]:
        return _among(rows, Key.objects.filter(expires_at__lt=value).order_by().values_list("pk", flat=True))


def _among(rows: QuerySet[Key], matches: QuerySet[Any, str]) -> QuerySet[Key]:
    """Rows with these ids. Few are named one by one: a database takes it that they are spread evenly, and would look
    for them among all keys, newest first, even if all of them are old.
    """
    ids = list(matches[: FEW + 1])
    return rows.filter(pk__in=ids if len(ids) <= FEW else matches)
