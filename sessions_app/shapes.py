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


class OrganisationSessionShape(SessionShape):
    """The session object of an organisation; its address says whose."""

    org_id = serializers.CharField(required=False, max_length=64)


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
    unknown_policies = serializers.ListField(
        child=serializers.CharField(),
        read_only=True,
        help_text="Of apply_policies, those that do not exist: they are skipped, and alone they grant nothing.",
    )
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
    reason = serializers.CharField(required=False, max_length=500)


class BulkShape(serializers.Serializer[Any]):
    keys = KeyShape(many=True, help_text="1 to 1,000.")


class NewKeysShape(serializers.Serializer[Any]):
    keys = NewKeyShape(many=True, help_text="In the order in which they were sent.")


class ReasonShape(serializers.Serializer[Any]):
    reason = serializers.CharField(required=False, max_length=500)


class ResetShape(serializers.Serializer[Any]):
    id = serializers.CharField()
    used = serializers.IntegerField(help_text="Units that were used before.")


class RemainingShape(serializers.Serializer[Any]):
    quota_remaining = serializers.IntegerField(min_value=0, help_text="At most the quota's maximum.")
    reason = serializers.CharField(required=False, max_length=500)
    api_id = serializers.CharField(required=False, help_text="Of the quota that counts this API; else the key-level.")


class RemainingSetShape(serializers.Serializer[Any]):
    id = serializers.CharField()
    quota_remaining = serializers.IntegerField()
    quota_remaining_before = serializers.IntegerField()


# --- usage ------------------------------------------------------------------------------------------------------------


class CountsShape(serializers.Serializer[Any]):
    passed = serializers.IntegerField()
    denied = serializers.IntegerField()


class HourShape(CountsShape):
    hour = serializers.DateTimeField(help_text="Its begin.")


class PeriodShape(serializers.Serializer[Any]):
    id = serializers.CharField()
    to = serializers.DateTimeField()
    totals = CountsShape()
    series = HourShape(many=True, help_text="Hours with requests, in order.")
    quotas = QuotaShape(many=True, required=False, help_text="Live; absent while the store does not answer.")

    def get_fields(self) -> dict[str, Any]:
        """`from` is no name for a class's member."""
        return {"from": serializers.DateTimeField(), **super().get_fields()}


class KeyUsageShape(PeriodShape):
    """Usage of one key."""


class UsageShape(CountsShape):
    """One sum; has the members that were asked for with `by`."""

    hour = serializers.DateTimeField(required=False)
    day = serializers.DateTimeField(required=False)
    org_id = serializers.CharField(required=False)
    key_id = serializers.CharField(required=False)
    api_id = serializers.CharField(required=False)


# --- explanations -----------------------------------------------------------------------------------------------------


class ExplainedNumbersShape(LimitShape):
    quota_remaining = None  # type: ignore[assignment]  # numbers as configured
    quota_renews = None  # type: ignore[assignment]


class OriginShape(serializers.Serializer[Any]):
    """Where numbers come from."""

    kind = serializers.ChoiceField(choices=("key", "policy", "organisation"))
    id = serializers.CharField()
    name = serializers.CharField()
    scope = serializers.CharField(help_text="Empty, policy:<id> or api:<id>.")
    limits = ExplainedNumbersShape()


class StateShape(serializers.Serializer[Any]):
    name = serializers.CharField()
    max = serializers.IntegerField()
    used = serializers.IntegerField()
    remaining = serializers.IntegerField()
    window_seconds = serializers.IntegerField(allow_null=True)
    reset_seconds = serializers.IntegerField(allow_null=True)
    resets_at = serializers.IntegerField(allow_null=True)
    denies = serializers.BooleanField()


class SharersShape(serializers.Serializer[Any]):
    key_ids = serializers.ListField(child=serializers.CharField(), help_text="At most 50.")
    complete = serializers.BooleanField()


class ThresholdShape(serializers.Serializer[Any]):
    percent = serializers.CharField()
    needed = serializers.IntegerField(help_text="Units that reach it.")
    asked_by = serializers.CharField()
    fired = serializers.BooleanField(help_text="In the running period.")


class ExplainedLimitShape(serializers.Serializer[Any]):
    name = serializers.ChoiceField(choices=("org-rate", "org-quota", "key-rate", "key-quota"))
    origin = OriginShape()
    losers = OriginShape(many=True, help_text="Policies that grant the API too and are less generous.")
    counter = serializers.CharField()
    subject = serializers.CharField(allow_null=True, help_text="The custom rate limit key's value, if there is one.")
    sharers = SharersShape(allow_null=True)
    state = StateShape()
    thresholds = ThresholdShape(many=True)


class ExplanationShape(serializers.Serializer[Any]):
    """Everything that decides what a key may do on an API."""

    key_id = serializers.CharField()
    api_id = serializers.CharField()
    refusal = serializers.CharField(allow_null=True)
    limits = ExplainedLimitShape(many=True)
    unknown_policies = serializers.ListField(child=serializers.CharField())
    inactive_policies = serializers.ListField(child=serializers.CharField())
    meta_data = serializers.DictField()
    throttle_interval_seconds = serializers.FloatField()
    throttle_retry_limit = serializers.IntegerField()
