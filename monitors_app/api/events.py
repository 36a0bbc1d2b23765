"""`/api/v1/events`: the ledger of thresholds that were crossed."""

from datetime import UTC, datetime

import django_filters
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from monitors_app.models import TriggerEvent
from organisations_app.rest.fields import NUMBER
from organisations_app.rest.filters import Flag
from organisations_app.rest.resources import Resource


class EventSerializer(serializers.ModelSerializer[TriggerEvent]):
    """One threshold, crossed once in a period. The key is named by id, hash and hint; never itself."""

    org_id = serializers.CharField(source="organisation_id")
    key_hash = serializers.CharField(source="key_digest")
    trigger_limit = serializers.CharField(source="threshold", help_text="Percent used, as printed.")
    period_start = serializers.SerializerMethodField()
    period_end = serializers.SerializerMethodField(help_text="null: the quota never renews.")

    class Meta:
        model = TriggerEvent
        fields = [
            "id",
            "kind",
            "org_id",
            "key_id",
            "key_hash",
            "key_hint",
            "api_id",
            "alias",
            "trigger_limit",
            "is_own",
            "used",
            "quota_max",
            "counter",
            "source",
            "period_start",
            "period_end",
            "occurred_at",
        ]

    def get_period_start(self, event: TriggerEvent) -> datetime:
        return _moment(event.period_start_ms)

    def get_period_end(self, event: TriggerEvent) -> datetime | None:
        return _moment(event.period_end_ms) if event.period_end_ms else None


class EventFilter(django_filters.FilterSet):  # type: ignore[misc]
    kind = django_filters.ChoiceFilter(choices=TriggerEvent.Kind.choices)
    org_id = django_filters.CharFilter(field_name="organisation_id")
    key_id = django_filters.CharFilter()
    api_id = django_filters.CharFilter()
    trigger_limit = django_filters.CharFilter(field_name="threshold")
    is_own = Flag()
    after = django_filters.IsoDateTimeFilter(field_name="occurred_at", lookup_expr="gte")
    before = django_filters.IsoDateTimeFilter(field_name="occurred_at", lookup_expr="lt")


class EventViewSet(mixins.ListModelMixin, Resource[TriggerEvent]):
    """What the monitors were told of, and e-mails about it."""

    scope = "events"
    tenancy = ("organisation_id",)
    queryset = TriggerEvent.objects.defer("key_sealed")
    serializer_class = EventSerializer
    filterset_class = EventFilter
    lookup_value_regex = NUMBER
    ordering = ["-occurred_at", "-id"]
    ordering_fields = ["occurred_at"]

    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(self.document(self.get_object()))


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
