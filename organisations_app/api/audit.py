"""`/api/v1/audit`: who did what, when and why."""

import django_filters
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from organisations_app.models import AuditEntry
from organisations_app.rest.fields import NUMBER
from organisations_app.rest.resources import Resource


class AuditSerializer(serializers.ModelSerializer[AuditEntry]):
    """`before` and `after` have the members that changed."""

    org_id = serializers.CharField(source="organisation_id")

    class Meta:
        model = AuditEntry
        fields = [
            "id",
            "at",
            "actor",
            "action",
            "subject_kind",
            "subject_id",
            "org_id",
            "reason",
            "before",
            "after",
        ]


class AuditFilter(django_filters.FilterSet):  # type: ignore[misc]
    org_id = django_filters.CharFilter(field_name="organisation_id")
    actor = django_filters.CharFilter()
    action = django_filters.CharFilter()
    subject_kind = django_filters.CharFilter()
    subject_id = django_filters.CharFilter()
    after = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    before = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")


class AuditViewSet(mixins.ListModelMixin, Resource[AuditEntry]):
    """Acts of people (`admin:<login>`) and programs (`token:<name>`). Never edited."""

    scope = "audit"
    tenancy = ("organisation_id",)
    queryset = AuditEntry.objects.all()
    serializer_class = AuditSerializer
    filterset_class = AuditFilter
    lookup_value_regex = NUMBER
    ordering = ["-at", "-id"]
    ordering_fields = ["at"]

    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(self.document(self.get_object()))
