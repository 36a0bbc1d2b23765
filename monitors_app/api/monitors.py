"""`/api/v1/monitors`: who wants to hear about thresholds, and where."""

from typing import Any

import django_filters
from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from monitors_app.api.deliveries import AttemptShape, attempt_document
from monitors_app.delivery import TEST_PAUSE, TestThrottled, send_test
from monitors_app.models import Monitor
from monitors_app.monitors import (
    MASK,
    MAX_SECRET_OVERLAP_SECONDS,
    SECRET_OVERLAP_SECONDS,
    delete_monitor,
    gateway_monitor,
    masked_header_map,
    rotate_secret,
    save_monitor,
)
from monitors_app.transports import TransportError
from organisations_app.documents import Reader
from organisations_app.rest.authentication import actor_of, reach_of
from organisations_app.rest.fields import NUMBER, OrganisationField, StrictModelSerializer, Text
from organisations_app.rest.filters import Flag
from organisations_app.rest.refusals import Conflict, TooSoon
from organisations_app.rest.resources import ModelResource, answer

GATEWAY = "gateway"


class HeaderMapField(serializers.DictField):
    """Values are never read: a mask stands for each, and written back it keeps what is stored (rule 7.8)."""

    def get_attribute(self, instance: Monitor) -> dict[str, str]:
        return masked_header_map(instance)


class SecretField(Text):
    def get_attribute(self, instance: Monitor) -> str:
        return MASK if instance.signing_secret_sealed else ""


class MonitorSerializer(StrictModelSerializer):
    """Secrets are masked; the mask written back keeps what is stored. `signing_secret` is made if none is written, and
    shown in that answer only.
    """

    org_id = OrganisationField(required=False, allow_null=True, help_text="null: all organisations.")
    header_map = HeaderMapField(required=False, help_text=f"Names and texts; each value reads {MASK}.")
    signing_secret = SecretField(required=False, help_text="whsec_ and base64.")

    class Meta:
        model = Monitor
        fields = [
            "id",
            "org_id",
            "name",
            "is_gateway",
            "is_enabled",
            "method",
            "target_path",
            "template_path",
            "template",
            "header_map",
            "event_timeout",
            "signing_secret",
            "global_trigger_limit",
            "monitor_user_keys",
            "monitor_org_keys",
            "key_format",
            "failures_in_row",
            "failing_since",
            "disabled_reason",
            "created_at",
        ]
        read_only_fields = ["is_gateway", "failures_in_row", "failing_since", "disabled_reason"]

    generated: str | None = None

    def create(self, validated_data: dict[str, Any]) -> Monitor:
        bound_to = reach_of(self.context["request"]).organisation_id
        return self.update(Monitor(organisation_id=bound_to), validated_data)

    def update(self, instance: Monitor, validated_data: dict[str, Any]) -> Monitor:
        if "organisation" in validated_data:
            self._check_owner(instance, validated_data["organisation"])
        secrets = {name: validated_data.pop(name, None) for name in ("header_map", "signing_secret")}
        for name, value in validated_data.items():
            setattr(instance, name, value)
        self.generated = save_monitor(instance, **secrets)
        return instance

    def _check_owner(self, monitor: Monitor, organisation: Any) -> None:
        """Raises ValidationError where who is bound to an organisation, or the gateway's monitor, would leave it."""
        bound_to = reach_of(self.context["request"]).organisation_id
        if bound_to is not None and organisation is None:
            raise serializers.ValidationError({"org_id": [f"must be {bound_to}, to which this token is bound"]})
        if monitor.is_gateway and organisation is not None:
            raise serializers.ValidationError({"org_id": ["must stay null: the gateway's monitor is for all"]})


class RotateSecretShape(serializers.Serializer[Any]):
    overlap_seconds = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=MAX_SECRET_OVERLAP_SECONDS,
        default=SECRET_OVERLAP_SECONDS,
        help_text="For how long webhooks carry the old signature beside the new one.",
    )
    reason = serializers.CharField(required=False, max_length=500)


class NewSecretShape(MonitorSerializer):
    """The monitor with its new secret, which is in this answer only."""

    signing_secret = SecretField(read_only=True, help_text="Shown only now.")


class MonitorFilter(django_filters.FilterSet):  # type: ignore[misc]
    org_id = django_filters.CharFilter(field_name="organisation_id")
    name = django_filters.CharFilter()
    is_enabled = Flag()
    is_gateway = Flag()
    is_failing = Flag(field_name="failing_since", lookup_expr="isnull", exclude=True)


class MonitorViewSet(ModelResource[Monitor]):
    """Monitors, the gateway's own among them; `gateway` stands for its id. A change holds from the next request on."""

    scope = "monitors"
    kind = "monitor"
    queryset = Monitor.objects.all()
    serializer_class = MonitorSerializer
    filterset_class = MonitorFilter
    lookup_value_regex = f"{NUMBER}|{GATEWAY}"
    ordering = ["id"]
    ordering_fields = ["id", "name", "created_at"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if self.kwargs.get("pk") == GATEWAY:
            self.kwargs["pk"] = str(gateway_monitor().pk)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Deletes it with its deliveries. One that has more than 1,000 is switched off at once and erased by a worker;
        until then it may still be listed.
        """
        return super().destroy(request, *args, **kwargs)

    def remove(self, row: Monitor) -> None:
        """The gateway's own can only be switched off."""
        if row.is_gateway:
            raise Conflict("The gateway's own monitor cannot be deleted; switch it off.")
        delete_monitor(row, actor_of(self.request))

    def shown_once(self, serializer: serializers.BaseSerializer[Any]) -> dict[str, Any]:
        generated = getattr(serializer, "generated", None)
        return {"signing_secret": generated} if generated else {}

    @extend_schema(request=RotateSecretShape, responses=NewSecretShape)
    @action(detail=True, methods=["post"], url_path="rotate-secret")
    @transaction.atomic
    def rotate_secret(self, request: Request, pk: str) -> Response:
        """A new signing secret, shown only now. For `overlap_seconds` webhooks carry both signatures, so that the
        receiver can change over without losing one. The secret before the old one ends now.
        """
        monitor, reader = self.locked(), Reader(request.data)
        limits = {"low": 0, "high": MAX_SECRET_OVERLAP_SECONDS}
        overlap = reader.whole("overlap_seconds", SECRET_OVERLAP_SECONDS, **limits, meaning=" of seconds")
        reason = reader.text("reason", longest=500)
        reader.refuse_rest()
        reader.finish()
        secret = rotate_secret(monitor, overlap)
        self.record("rotate-secret", self.subject_of(monitor), reason, after={"overlap_seconds": overlap})
        return answer(self.document(monitor), shown_once={"signing_secret": secret})

    @extend_schema(request=None, responses=AttemptShape)
    @action(detail=True, methods=["post"], answers_once=False, may_refuse=(429,))
    def test(self, request: Request, pk: str) -> Response:
        """Sends a marked test event now, and answers what the receiver said. Not retried; once in 5 seconds.

        An `Idempotency-Key` means nothing here.
        """
        monitor = self.get_object()
        try:
            attempt = send_test(monitor)
        except TestThrottled as error:
            raise TooSoon(str(error), int(TEST_PAUSE.total_seconds())) from None
        except TransportError as error:
            raise Conflict(str(error)) from None
        self.record("test", self.subject_of(monitor))
        return Response(attempt_document(attempt))
