"""How keys and organisation sessions look in the schema of `/api/v1`.

For people and their tools only: what is allowed is asked of `sessions_app.tyk`.
"""

from typing import Any

from rest_framework import serializers

from policies_app.shapes import LimitShape, MonitorShape, RightShape

MAX_OVERLAP_SECONDS = 366 * 86_400


class SessionShape(LimitShape):
    org_id = serializers.CharField(max_length=64)
    is_inactive = serializers.BooleanField(required=False)
    meta_data = serializers.DictField(required=False)
    tags = serializers.ListField(child=serializers.CharField(), required=False)
    monitor = MonitorShape(required=False)


class QuotaShape(serializers.Serializer[Any]):
    """One quota counter of a key."""

    scope = serializers.CharField(help_text="Empty: the key itself; else policy:<id> or api:<id>.")
    api_ids = serializers.ListField(child=serializers.CharField())
    max = serializers.IntegerField()
    used = serializers.IntegerField()
    remaining = serializers.IntegerField()
    period_seconds = serializers.IntegerField(allow_null=True)
    renews_at = serializers.IntegerField(allow_null=True, help_text="Unix seconds; null while no period runs.")
    shared = serializers.BooleanField(help_text="Counted together with other keys (custom rate limit key).")


class KeyShape(SessionShape):
    id = serializers.CharField(read_only=True)
    key_hash = serializers.CharField(read_only=True, help_text="Of the newest secret; empty when there is none.")
    key_hint = serializers.CharField(read_only=True)
    application_id = serializers.IntegerField(required=False, allow_null=True)
    alias = serializers.CharField(required=False, max_length=200)
    apply_policies = serializers.ListField(child=serializers.CharField(), required=False)
    access_rights = serializers.DictField(child=RightShape(), required=False)
    expires = serializers.IntegerField(required=False, help_text="Unix seconds; 0 never.")
    usage = QuotaShape(many=True, read_only=True, help_text="Live; absent while the store does not answer.")
    date_created = serializers.DateTimeField(read_only=True)
    last_updated = serializers.CharField(read_only=True, help_text="Unix seconds.")
    revoked_at = serializers.DateTimeField(read_only=True, allow_null=True)


class NewKeyShape(KeyShape):
    key = serializers.CharField(read_only=True, help_text="The raw key: shown this once.")


class RotateShape(serializers.Serializer[Any]):
    overlap_seconds = serializers.IntegerField(
        required=False, min_value=0, max_value=MAX_OVERLAP_SECONDS, help_text="For how long older secrets still work."
    )


class ReasonShape(serializers.Serializer[Any]):
    reason = serializers.CharField(required=False, max_length=500)


class ResetShape(serializers.Serializer[Any]):
    id = serializers.CharField()
    used = serializers.IntegerField(help_text="Units that were used before.")
