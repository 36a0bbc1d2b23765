"""`/api/v1/monitors/gateway`: Tyk's `monitor` section, verbatim."""

from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from monitors_app.models import Monitor
from monitors_app.monitors import MASK, gateway_monitor
from monitors_app.tyk import monitor_from_tyk, monitor_to_tyk, save_monitor_draft
from organisations_app.audit import Subject
from organisations_app.rest.entity_tags import check_match
from organisations_app.rest.resources import ScopedView, answer


class ConfigurationShape(serializers.Serializer[Any]):
    method = serializers.ChoiceField(choices=Monitor.Method.choices, required=False)
    target_path = serializers.CharField(required=False, help_text="Where webhooks go. Empty: e-mails only.")
    template_path = serializers.CharField(required=False)
    template = serializers.CharField(
        required=False, help_text="A JSON document with {{ placeholders }}; wins over the path."
    )
    header_map = serializers.DictField(
        child=serializers.CharField(),
        required=False,
        help_text=f"Values are shown as {MASK}; written back, it keeps them.",
    )
    event_timeout = serializers.FloatField(
        min_value=0, required=False, help_text="Seconds between two webhooks about one subject."
    )


class GatewayMonitorShape(serializers.Serializer[Any]):
    """The gateway monitor. A PUT replaces it; an absent `signing_secret` stays as it is."""

    enable_trigger_monitors = serializers.BooleanField(required=False)
    configuration = ConfigurationShape(required=False)
    global_trigger_limit = serializers.FloatField(min_value=0, max_value=100, required=False)
    monitor_user_keys = serializers.BooleanField(required=False)
    monitor_org_keys = serializers.BooleanField(required=False)
    key_format = serializers.ChoiceField(choices=Monitor.KeyFormat.choices, required=False)
    signing_secret = serializers.CharField(
        required=False, help_text="whsec_ and base64. Shown only in the answer that generates it."
    )
    disabled_reason = serializers.CharField(read_only=True)


class GatewayMonitorView(ScopedView):
    """The gateway's own monitor. It is nobody's who is bound to an organisation."""

    scope = "monitors"

    @extend_schema(responses=GatewayMonitorShape)
    def get(self, request: Request) -> Response:
        self.refuse_bound()
        return answer(monitor_to_tyk(gateway_monitor()))

    @extend_schema(request=GatewayMonitorShape, responses=GatewayMonitorShape)
    @transaction.atomic
    def put(self, request: Request) -> Response:
        self.refuse_bound()
        before = monitor_to_tyk(gateway_monitor())
        check_match(request, before)
        generated = save_monitor_draft(monitor_from_tyk(request.data, strict=True))
        monitor = gateway_monitor()
        shown = monitor_to_tyk(monitor)
        self.record("change", Subject("monitor", str(monitor.pk), ""), before=before, after=shown)
        return answer(shown, shown_once={"signing_secret": generated} if generated else None)

    def refuse_bound(self) -> None:
        if self.organisations is not None:
            raise NotFound("There is no such monitor.")
