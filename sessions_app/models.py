"""What a key may still do: keys and their credentials, organisation sessions, and usage as the database knows it."""

import secrets

from django.core.exceptions import ValidationError
from django.db import models

from organisations_app.models import Application, Job, Organisation
from organisations_app.secret_texts import ALPHANUMERIC
from policies_app.models import AccessRightFields, Api, LimitFields, MetaDataFields, Policy, ThresholdFields


def new_key_id() -> str:
    """The public id of a key: says nothing about its secret."""
    return "key_" + "".join(secrets.choice(ALPHANUMERIC) for _ in range(16))


class Key(LimitFields, ThresholdFields, MetaDataFields):
    """A key's session object. Its secrets are `credentials`; its own limits count unless policies supply them (rule
    3.2).
    """

    id = models.CharField("key id", primary_key=True, max_length=32, default=new_key_id, editable=False)
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="keys")
    application = models.ForeignKey(Application, on_delete=models.SET_NULL, null=True, blank=True, related_name="keys")
    alias = models.CharField(max_length=200, blank=True)
    policies = models.ManyToManyField(Policy, through="KeyPolicy", related_name="keys", blank=True)
    is_inactive = models.BooleanField("inactive", default=False)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: never.")
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(LimitFields.Meta):
        abstract = False
        ordering = ["-created_at", "id"]
        indexes = [
            models.Index(fields=["-created_at", "id"], name="key_newest_first"),
            models.Index(fields=["organisation", "-created_at", "id"], name="key_newest_of_organisation"),
            models.Index(fields=["application", "-created_at", "id"], name="key_newest_of_application"),
            models.Index(fields=["-created_at", "id"], condition=models.Q(is_inactive=True), name="key_inactive"),
            models.Index(
                fields=["-created_at", "id"], condition=models.Q(revoked_at__isnull=False), name="key_revoked"
            ),
            models.Index(fields=["alias", "id"], name="key_by_alias"),
            models.Index(fields=["expires_at"], condition=models.Q(expires_at__isnull=False), name="key_by_expiry"),
        ]
        permissions = [
            ("reset_key_quota", "Can reset the quota of a key"),
            ("set_remaining_quota", "Can set what remains of the quota of a key"),
            ("rotate_key", "Can rotate a key"),
            ("revoke_key", "Can revoke a key"),
        ]

    def __str__(self) -> str:
        return self.alias or self.id

    def clean(self) -> None:
        super().clean()
        if self.application is not None and self.application.organisation_id != self.organisation_id:
            raise ValidationError({"application": "The application belongs to another organisation."})


class Credential(models.Model):
    """One secret of a key. Only its keyed digest and a display hint are stored (rule 1.3)."""

    key = models.ForeignKey(Key, on_delete=models.CASCADE, related_name="credentials")
    digest = models.CharField(max_length=64, unique=True)
    pepper = models.CharField(
        max_length=24,
        blank=True,
        help_text="Which pepper the digest was made with; then a colon and the algorithm, if it is of another "
        "gateway's hash.",
    )
    hint = models.CharField(max_length=24)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="When a rotated credential stops working.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["hint"], name="credential_by_hint")]

    def __str__(self) -> str:
        return self.hint


class KeyPolicy(models.Model):
    """A policy applied to a key, in order. A policy that is gone leaves its id behind: it is skipped, never forgotten
    (rule 3.6).
    """

    key = models.ForeignKey(Key, on_delete=models.CASCADE, related_name="key_policies")
    policy = models.ForeignKey(Policy, on_delete=models.DO_NOTHING, db_constraint=False, related_name="key_policies")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        verbose_name = "applied policy"
        verbose_name_plural = "applied policies"
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["key", "policy"], name="policy_once_per_key")]

    def __str__(self) -> str:
        return f"{self.policy_id} on {self.key_id}"


class KeyAccess(AccessRightFields):
    key = models.ForeignKey(Key, on_delete=models.CASCADE, related_name="access")

    class Meta(AccessRightFields.Meta):
        abstract = False
        verbose_name = "access right"
        ordering = ["id"]
        constraints = [
            *LimitFields.Meta.constraints,
            models.UniqueConstraint(fields=["key", "api"], name="key_access_once_per_api"),
        ]

    def __str__(self) -> str:
        return f"{self.key_id} on {self.api_id}"


class OrgSession(LimitFields, ThresholdFields, MetaDataFields):
    """The session object of an organisation: limits all its keys together (section 6)."""

    organisation = models.OneToOneField(Organisation, on_delete=models.CASCADE, related_name="session")
    is_inactive = models.BooleanField("inactive", default=False, help_text="Blocks every key of the organisation.")

    class Meta(LimitFields.Meta):
        abstract = False
        verbose_name = "organisation session"
        permissions = [("reset_organisation_quota", "Can reset the quota of an organisation")]

    def __str__(self) -> str:
        return f"Session of {self.organisation_id}"


class UsageSnapshot(models.Model):
    """A quota counter as it was copied from the store; restores it if the store loses its data (rule 9.2)."""

    counter = models.CharField(primary_key=True, max_length=250)
    used = models.BigIntegerField()
    period_start_ms = models.BigIntegerField(help_text="As in the store: negative when no period runs.")
    fired = models.TextField(blank=True)
    taken_at = models.DateTimeField()
    key_id = models.CharField(
        max_length=32, blank=True, help_text="Whose counter it is; empty for shared ones and for organisations."
    )
    percent = models.PositiveBigIntegerField(
        default=0, help_text="Used, of the key's or a sharer's quota when it was taken; 0 for organisations."
    )
    ends_at = models.DateTimeField(null=True, help_text="When the period ends, by the quota when it was taken.")

    class Meta:
        indexes = [
            models.Index(fields=["taken_at"], name="usage_snapshot_taken"),
            models.Index(fields=["key_id", "percent"], condition=~models.Q(key_id=""), name="usage_snapshot_of_key"),
            models.Index(fields=["-percent", "key_id"], condition=~models.Q(key_id=""), name="usage_snapshot_fullest"),
            models.Index(
                fields=["-percent"], condition=models.Q(key_id="", percent__gt=0), name="usage_snapshot_fullest_shared"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.counter}: {self.used}"


class CounterShare(models.Model):
    """A key that counts on a counter together with others (section 5), as of its first request of an hour."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="+")
    key = models.ForeignKey(Key, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")
    counter = models.CharField(max_length=250)
    seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "counter"], name="counter_share_once")]
        indexes = [models.Index(fields=["counter", "-seen_at"], name="counter_share_newest")]

    def __str__(self) -> str:
        return f"{self.key_id} on {self.counter}"


class UsageHour(models.Model):
    """Requests of one key on one API in one hour. `epoch` names the life of the store that counted; readers sum over
    it.
    """

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="+")
    key = models.ForeignKey(Key, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    api = models.ForeignKey(Api, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    hour = models.DateTimeField()
    epoch = models.CharField(max_length=40, blank=True)
    passed = models.BigIntegerField(default=0)
    denied = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-hour"]
        constraints = [models.UniqueConstraint(fields=["key", "api", "hour", "epoch"], name="usage_hour_once")]
        indexes = [
            models.Index(fields=["organisation", "hour"], name="usage_hour_by_organisation"),
            models.Index(fields=["hour"], name="usage_hour_by_hour"),
        ]

    def __str__(self) -> str:
        return f"{self.key_id} on {self.api_id} at {self.hour:%Y-%m-%d %H}h"


class UsageDay(models.Model):
    """Requests of one organisation on one day (UTC): the sum of its hours, kept up with them, so that a chart of all
    organisations reads some thousand rows instead of millions.
    """

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="+")
    day = models.DateField()
    passed = models.BigIntegerField(default=0)
    denied = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-day"]
        constraints = [models.UniqueConstraint(fields=["day", "organisation"], name="usage_day_once")]

    def __str__(self) -> str:
        return f"{self.organisation_id} on {self.day}"


class PeriodicRun(models.Model):
    """When a periodic task last ended well: an old one tells that its queue has no worker, or that beat is down."""

    task = models.CharField(primary_key=True, max_length=100)
    ended_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.task} at {self.ended_at}"


class KeyJobItem(models.Model):
    """A key that a job has still to act on."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="items", db_index=False)
    key_id = models.CharField(max_length=32)

    class Meta:
        indexes = [models.Index(fields=["job", "id"], name="key_job_item_in_order")]

    def __str__(self) -> str:
        return f"{self.key_id} of job {self.job_id}"

    @property
    def correction_id(self) -> str:
        """Names what this item does to a counter, however often it is tried."""
        return f"job-{self.job_id}-{self.pk}"

    @staticmethod
    def of_correction(correction_id: str) -> int | None:
        """The item that a correction is of, if it is any's."""
        kind, _, numbers = correction_id.partition("-")
        return int(numbers.partition("-")[2]) if kind == "job" else None


class KeyJobShare(models.Model):
    """A key that a job has to look at together with all that count on the same counter."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="shares", db_index=False)
    counter = models.CharField(max_length=250)
    key_id = models.CharField(max_length=32)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["job", "counter", "key_id"], name="key_job_share_once"),
        ]

    def __str__(self) -> str:
        return f"{self.key_id} on {self.counter} of job {self.job_id}"
