"""How limits, access rights and policies look in the schema of `/api/v1`.

For people and their tools only: what is allowed is asked of `policies_app.tyk` and `policies_app.limits`.
"""

from typing import Any

from rest_framework import serializers

from policies_app.limits import PERIODS


class LimitShape(serializers.Serializer[Any]):
    quota_max = serializers.IntegerField(
        min_value=-1, required=False, help_text="Requests per period; -1 is unlimited, 0 is refused."
    )
    quota_renewal_rate = serializers.IntegerField(
        required=False, help_text="Seconds after which a rolling quota renews; 0 never."
    )
    quota_period = serializers.ChoiceField(choices=PERIODS, required=False)
    quota_anchor_day = serializers.IntegerField(min_value=1, max_value=31, required=False)
    quota_remaining = serializers.IntegerField(
        read_only=True, help_text="Live; -1 when unlimited; absent while the store does not answer."
    )
    quota_renews = serializers.IntegerField(read_only=True, help_text="Unix seconds; 0 while no period runs.")
    rate = serializers.FloatField(required=False, help_text="Requests per `per` seconds; 0 is no rate limit.")
    per = serializers.FloatField(required=False)
    throttle_interval = serializers.FloatField(required=False)
    throttle_retry_limit = serializers.IntegerField(required=False)


class MonitorShape(serializers.Serializer[Any]):
    trigger_limits = serializers.ListField(
        child=serializers.FloatField(), max_length=20, help_text="Percent used, descending."
    )


class RightShape(serializers.Serializer[Any]):
    api_id = serializers.CharField(required=False)
    api_name = serializers.CharField(required=False)
    versions = serializers.ListField(child=serializers.CharField(), required=False)
    allowed_urls = serializers.ListField(child=serializers.DictField(), required=False)
    limit = LimitShape(
        required=False, allow_null=True, help_text="Limits of its own replace the others on this API; empty: none."
    )


class PartitionShape(serializers.Serializer[Any]):
    quota = serializers.BooleanField(required=False)
    rate_limit = serializers.BooleanField(required=False)
    acl = serializers.BooleanField(required=False)
    per_api = serializers.BooleanField(required=False)


class PolicyShape(LimitShape):
    quota_remaining = None  # type: ignore[assignment]  # a policy has no counter of its own
    quota_renews = None  # type: ignore[assignment]
    id = serializers.CharField(required=False, max_length=64)
    org_id = serializers.CharField()
    name = serializers.CharField(required=False, max_length=200)
    access_rights = serializers.DictField(child=RightShape(), required=False)
    partitions = PartitionShape(required=False)
    is_inactive = serializers.BooleanField(required=False)
    key_expires_in = serializers.IntegerField(required=False)
    meta_data = serializers.DictField(required=False)
    tags = serializers.ListField(child=serializers.CharField(), required=False)
    monitor = MonitorShape(required=False)


class ChangedPolicyShape(PolicyShape):
    """The members of a policy that would be changed."""

    org_id = serializers.CharField(required=False)


class ReplacedPolicyShape(PolicyShape):
    """A policy whose address says which it is, and with that whose."""

    org_id = serializers.CharField(required=False)
