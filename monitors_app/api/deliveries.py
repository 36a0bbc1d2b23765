"""`/api/v1/deliveries`: what was sent to whom, every attempt, and sending it again."""

from typing import Any

import django_filters
from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from monitors_app.api.backlog import BacklogShape, backlog_document
from monitors_app.delivery import redeliver, redeliverable
from monitors_app.models import Attempt, Delivery
from organisations_app.audit import Subject
from organisations_app.documents import refusal
from organisations_app.rest.fields import NUMBER
from organisations_app.rest.filters import Flag, IdFilter
from organisations_app.rest.refusals import Conflict
from organisations_app.rest.resources import Resource

MOST_AT_ONCE = 1_000
FINISHED = (Delivery.Status.FAILED, Delivery.Status.CANCELLED, Delivery.Status.DELIVERED)


class AttemptShape(serializers.ModelSerializer[Attempt]):
    """One try, as the receiver answered it."""

    class Meta:
        model = Attempt
        fields = ["number", "started_at", "duration_ms", "status_code", "error", "response_body"]


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    """One message to one receiver. `event_id` is null for the test of a monitor."""

    org_id = serializers.SerializerMethodField()
    event_id = serializers.IntegerField(allow_null=True)
    monitor_id = serializers.IntegerField(allow_null=True)
    developer_id = serializers.IntegerField(allow_null=True)

    class Meta:
        model = Delivery
        fields = [
            "id",
            "org_id",
            "event_id",
            "channel",
            "monitor_id",
            "developer_id",
            "recipient",
            "subject",
            "status",
            "message_id",
            "method",
            "attempt_count",
            "next_attempt_at",
            "first_attempt_at",
            "finished_at",
            "created_at",
        ]

    def get_org_id(self, delivery: Delivery) -> str | None:
        return delivery.event.organisation_id if delivery.event else None


class DeliveryDetailSerializer(DeliverySerializer):
    attempts = AttemptShape(many=True)

    class Meta(DeliverySerializer.Meta):
        fields = [*DeliverySerializer.Meta.fields, "attempts"]


class RedeliveredShape(serializers.Serializer[Any]):
    redelivered = serializers.IntegerField(help_text=f"At most {MOST_AT_ONCE} at once.")
    more = serializers.BooleanField(help_text="There are others still: ask again.")


class DeliveryFilter(django_filters.FilterSet):  # type: ignore[misc]
    status = django_filters.ChoiceFilter(choices=Delivery.Status.choices)
    channel = django_filters.ChoiceFilter(choices=Delivery.Channel.choices)
    org_id = django_filters.CharFilter(field_name="event__organisation_id")
    event_id = IdFilter()
    monitor_id = IdFilter()
    developer_id = IdFilter()
    subject = django_filters.CharFilter()
    message_id = django_filters.CharFilter()
    is_test = Flag(field_name="event", lookup_expr="isnull")
    after = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    before = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")


@extend_schema_view(retrieve=extend_schema(responses=DeliveryDetailSerializer))
class DeliveryViewSet(mixins.ListModelMixin, Resource[Delivery]):
    """Webhooks and e-mails. Who is bound to an organisation sees what its own monitors and developers got."""

    scope = "deliveries"
    tenancy = ("monitor__organisation", "developer__organisation")
    queryset = Delivery.objects.select_related("event")
    serializer_class = DeliverySerializer
    filterset_class = DeliveryFilter
    lookup_value_regex = NUMBER
    ordering = ["-id"]
    ordering_fields = ["id", "created_at"]

    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(delivery_document(self.get_object()))

    @extend_schema(responses=BacklogShape, filters=False)
    @action(detail=False, methods=["get"], pagination_class=None)
    def backlog(self, request: Request) -> Response:
        """What waits, by target, and for how long; what failed; how long the queues are."""
        whole = self.organisation_id is None
        return Response(backlog_document(self.get_queryset(), timezone.now(), is_whole=whole))

    @extend_schema(request=None, responses=DeliveryDetailSerializer)
    @action(detail=True, methods=["post"])
    @transaction.atomic
    def redeliver(self, request: Request, pk: str) -> Response:
        """Starts a finished delivery anew, with the same `webhook-id` and the whole retry schedule."""
        delivery = self.get_object()
        if not redeliver(delivery):
            raise Conflict(
                f"This delivery is {delivery.status}. Only a finished one of an event can be sent again, as long as "
                "its content is kept."
            )
        self.record("redeliver", subject_of(delivery))
        delivery.refresh_from_db()
        return Response(delivery_document(delivery))

    @extend_schema(
        operation_id="deliveries_redeliver_all",
        request=None,
        responses=RedeliveredShape,
        parameters=[
            OpenApiParameter("status", str, required=True, enum=[str(status) for status in FINISHED]),
            OpenApiParameter("monitor_id", int),
            OpenApiParameter("org_id", str),
        ],
    )
    @action(detail=False, methods=["post"], url_path="redeliver", url_name="redeliver-all")
    @transaction.atomic
    def redeliver_all(self, request: Request) -> Response:
        """Starts all finished deliveries of a `status` anew, the oldest first. All filters of the list narrow it."""
        if request.query_params.get("status") not in FINISHED:
            raise refusal("/status", f"is required: one of {', '.join(FINISHED)}", "required")
        self.action = "list"  # its filters hold here
        found = self.filter_queryset(self.get_queryset()).filter(pk__in=redeliverable().values("pk"))
        rows = list(found.order_by("id")[: MOST_AT_ONCE + 1])
        asked = [delivery for delivery in rows[:MOST_AT_ONCE] if redeliver(delivery)]
        for delivery in asked:
            self.record("redeliver", subject_of(delivery))
        return Response({"redelivered": len(asked), "more": len(rows) > MOST_AT_ONCE})


def delivery_document(delivery: Delivery) -> dict[str, Any]:
    return dict(DeliveryDetailSerializer(delivery).data)


def attempt_document(attempt: Attempt) -> dict[str, Any]:
    return dict(AttemptShape(attempt).data)


def subject_of(delivery: Delivery) -> Subject:
    return Subject("delivery", str(delivery.pk), delivery.event.organisation_id if delivery.event else "")
