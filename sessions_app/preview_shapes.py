"""How the preview of a changed policy looks in the schema of `/api/v1`; what its members mean is said in `whatif`."""

from typing import Any

from rest_framework import serializers

from organisations_app.models import Job
from sessions_app.replay import Precision
from sessions_app.tallies import MOST_LISTED


class RecountedShape(serializers.Serializer[Any]):
    """One quota counter under the changed policy."""

    subject = serializers.CharField(help_text="A key's alias or id, or the custom rate limit key's value.")
    is_shared = serializers.BooleanField(help_text="Counted together with other keys (custom rate limit key).")
    organisation_id = serializers.CharField()
    key_ids = serializers.ListField(child=serializers.CharField(), help_text="At most 5 of `keys`.")
    keys = serializers.IntegerField(help_text="How many keys count on it.")
    max = serializers.IntegerField(help_text="The changed quota; the smallest, if its keys have several.")
    used = serializers.IntegerField(help_text="Live.")
    passed = serializers.IntegerField()
    denied = serializers.IntegerField()


class DayPreviewShape(serializers.Serializer[Any]):
    """Of the requests that passed on this day."""

    day = serializers.DateField(help_text="From midnight to midnight UTC.")
    passed = serializers.IntegerField(help_text="Still would.")
    denied = serializers.IntegerField(help_text="The quota would have denied.")


class PreviewShape(serializers.Serializer[Any]):
    """What a changed policy would have done."""

    begin = serializers.DateTimeField(help_text="Midnight UTC: whole days are counted again, the last of them today.")
    end = serializers.DateTimeField()
    keys = serializers.IntegerField(help_text="Living keys with this policy.")
    counters = serializers.IntegerField(help_text="Quota counters that it would judge them by.")
    above_now = RecountedShape(
        many=True, help_text=f"Whose next request would be denied; at most {MOST_LISTED}, fullest first."
    )
    above_now_total = serializers.IntegerField()
    denied = DayPreviewShape(many=True)
    denied_total = serializers.IntegerField(help_text="Requests that passed and would have been denied by the quota.")
    passed_total = serializers.IntegerField(help_text="Requests that passed and still would have.")
    refused_total = serializers.IntegerField(help_text="Requests that passed and would have had no access.")
    denied_unchanged_total = serializers.IntegerField(
        help_text="The same calculation with the policy as it is: the error of the calculation, or earlier changes."
    )
    admitted_at_most = serializers.IntegerField(
        help_text="Of the requests that were denied, for whatever limit, what the quota would have let pass."
    )
    worst = RecountedShape(many=True, help_text=f"With the most denied requests; at most {MOST_LISTED}.")
    precision = serializers.ChoiceField(choices=[str(each) for each in Precision], help_text="Of `denied_total`.")
    exactness = serializers.CharField(help_text="What the numbers can and cannot say.")


class PreviewJobShape(serializers.Serializer[Any]):
    """A preview that a worker counts."""

    id = serializers.IntegerField()
    policy_id = serializers.CharField()
    status = serializers.ChoiceField(choices=Job.STATUSES)
    keys_done = serializers.IntegerField()
    keys_total = serializers.IntegerField(
        allow_null=True, help_text="Null until a worker has counted; more than the policy has, if they share counters."
    )
    begun_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    problem = serializers.CharField(help_text="Why it was stopped or failed; else empty.")
    preview = PreviewShape(allow_null=True, help_text="Null until it is finished.")
