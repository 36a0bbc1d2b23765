"""Who: organisations, their developers and what these build. Also the versions that make a change hold at once."""

import secrets
import zoneinfo
from typing import Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from organisations_app.attributes import attribute_errors

IDENTIFIER = RegexValidator(
    r"\A[A-Za-z0-9_~][A-Za-z0-9_.:~-]{0,63}\Z",
    "An id is 1 to 64 letters, digits, or . _ ~ : - and begins with a letter, a digit, _ or ~.",
)


def new_identifier() -> str:
    """24 hexadecimal digits, the shape of Tyk's ids."""
    return secrets.token_hex(12)


def check_time_zone(name: str) -> None:
    if name not in zoneinfo.available_timezones():
        raise ValidationError(
            "%(name)s is no IANA time zone; examples: UTC, Europe/Berlin, America/New_York.", params={"name": name}
        )


class OrganisationRows(models.QuerySet["Organisation"]):
    def living(self) -> Self:
        """Without those that wait to be erased."""
        return self.filter(closed_at=None)


class Organisation(models.Model):
    """Owner of developers, applications and keys: one B2B customer."""

    id = models.CharField(primary_key=True, max_length=64, default=new_identifier, validators=[IDENTIFIER])
    name = models.CharField(max_length=200)
    timezone = models.CharField(
        "time zone",
        max_length=64,
        default="UTC",
        validators=[check_time_zone],
        help_text="IANA name. Calendar quota periods begin at midnight here.",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="It was deleted then: nothing of it works any more, and a job erases what it owned.",
    )

    objects = OrganisationRows.as_manager()

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name


class AttributeDefinition(models.Model):
    """A custom attribute of developers, as admins define it: what a value may be, and whether keys carry it as
    metadata.
    """

    class Kind(models.TextChoices):
        STRING = "string", "Text"
        NUMBER = "number", "Number"
        BOOLEAN = "boolean", "Yes or no"
        LIST = "list", "List of texts"

    name = models.CharField(
        max_length=64,
        unique=True,
        validators=[
            RegexValidator(
                r"\A[A-Za-z0-9_.-]+\Z", "A name has letters, digits, or _ - . so that $tyk_meta.NAME can refer to it."
            )
        ],
    )
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.STRING)
    is_required = models.BooleanField("required", default=False)
    add_to_key_metadata = models.BooleanField(
        "add to key metadata", default=False, help_text="New keys of the developer's applications carry the value."
    )

    class Meta:
        verbose_name = "developer attribute"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=["string", "number", "boolean", "list"]), name="attribute_kind_known"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Developer(models.Model):
    """A portal user of one organisation."""

    class Role(models.TextChoices):
        ADMIN = "admin", "Admin: is told of the organisation's thresholds"
        MEMBER = "member", "Member"

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="developers")
    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="developer")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.MEMBER)
    attributes = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["organisation", "user"]
        constraints = [
            models.CheckConstraint(condition=models.Q(role__in=["admin", "member"]), name="developer_role_known")
        ]

    def __str__(self) -> str:
        return self.user.email or self.user.get_username()

    def clean(self) -> None:
        if errors := attribute_errors(self.attributes, AttributeDefinition.objects.all()):
            raise ValidationError({"attributes": errors})


class Application(models.Model):
    """What a developer builds; owns keys."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="applications")
    developer = models.ForeignKey(Developer, on_delete=models.CASCADE, related_name="applications")
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["developer", "name"], name="application_name_unique_per_developer")
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.developer_id and self.organisation_id and self.developer.organisation_id != self.organisation_id:
            raise ValidationError({"developer": "The developer belongs to another organisation."})


class StaffConfinement(models.Model):
    """Confines a member of staff to organisations. A row without any, as after the last one was deleted, shows nothing;
    no row shows all.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="confinement")
    organisations = models.ManyToManyField(Organisation, blank=True, related_name="+")

    class Meta:
        verbose_name = "confinement to organisations"
        verbose_name_plural = "confinement to organisations"

    def __str__(self) -> str:
        return f"Confinement of {self.user}"


class ConfigVersion(models.Model):
    """How often the configuration of one scope changed: `gateway`, `org:<id>` or `key:<org>:<id>`.

    `number` moves in the transaction of the change; `published` follows once the counter store knows it. A row whose
    `published` lags is a change still to be told, so that a crash in between loses none (rule 1.5).
    """

    scope = models.CharField(primary_key=True, max_length=200)
    number = models.BigIntegerField(default=1)
    published = models.BigIntegerField(default=0)

    class Meta:
        indexes = [
            models.Index(
                fields=["scope"], condition=models.Q(number__gt=models.F("published")), name="config_version_to_publish"
            )
        ]

    def __str__(self) -> str:
        return f"{self.scope} at {self.number}"


class AuditEntry(models.Model):
    """One act of a person or program: who, when, why, and what it changed. Never edited; outlives what it tells of."""

    at = models.DateTimeField(auto_now_add=True)
    actor = models.CharField(max_length=200)
    action = models.CharField(max_length=40)
    subject_kind = models.CharField(max_length=20)
    subject_id = models.CharField(max_length=64)
    organisation_id = models.CharField(max_length=64)
    reason = models.CharField(max_length=500, blank=True)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ["-at", "-id"]
        indexes = [
            models.Index(fields=["-at", "-id"], name="audit_newest_first"),
            models.Index(fields=["subject_kind", "subject_id", "-at"], name="audit_of_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.action} of {self.subject_kind} {self.subject_id} by {self.actor}"


class AdminToken(models.Model):
    """A program's way into `/api/v1`: what it may do (scopes), where (one organisation or all) and until when.

    Only a keyed digest of it is stored.
    """

    name = models.CharField(max_length=200)
    organisation = models.ForeignKey(
        Organisation,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="admin_tokens",
        help_text="Empty: all organisations.",
    )
    scopes = models.JSONField(default=list)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(max_length=24, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty: never.")
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="To the minute.")
    created_by = models.CharField(max_length=200, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "admin token"
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.hint})"


class GivenAnswer(models.Model):
    """The answer to a request with an `Idempotency-Key`, kept for a day to be given again.

    `digest` is of the sender and the key, `request_digest` of what was sent. The body is sealed: it may hold a raw key.
    """

    digest = models.CharField(primary_key=True, max_length=64)
    request_digest = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    headers = models.JSONField(default=dict)
    body_sealed = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="given_answer_created")]

    def __str__(self) -> str:
        return f"{self.status} at {self.created_at}"


class Job(models.Model):
    """Work that no request can wait for, done by workers lot by lot: see jobs.py."""

    STATUSES = ("running", "finished", "stopped", "failed")

    act = models.CharField(max_length=40)
    given = models.JSONField(default=dict, help_text="What the act is asked for, such as a policy's id.")
    reason = models.CharField(max_length=500, blank=True)
    actor = models.CharField(max_length=200)
    total = models.PositiveIntegerField(null=True, help_text="Empty until the first worker has counted.")
    done = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    errors = models.JSONField(default=list, help_text="The first ones, as [id, what went wrong].")
    position = models.BigIntegerField(default=0, help_text="How far it is, in what the act goes through.")
    created_at = models.DateTimeField(auto_now_add=True)
    claimed_until = models.DateTimeField(null=True, help_text="A worker is at it; when this is over, another may.")
    finished_at = models.DateTimeField(null=True)
    stop_asked_by = models.CharField(max_length=200, blank=True, default="", db_default="")
    ended_early = models.CharField(
        max_length=500,
        blank=True,
        default="",
        db_default="",
        help_text="Why it ended before all was done, for people; empty: it did all.",
    )
    found = models.JSONField(
        default=dict, db_default={}, help_text="What an act that looks for something has found so far."
    )

    class Meta:
        indexes = [models.Index(fields=["created_at"], condition=models.Q(finished_at__isnull=True), name="job_open")]

    def __str__(self) -> str:
        return f"{self.act} by {self.actor}"

    @property
    def succeeded(self) -> int:
        return self.done - self.failed

    @property
    def status(self) -> str:
        """One of STATUSES."""
        if self.finished_at is None:
            return "running"
        if not self.ended_early:
            return "finished"
        return "stopped" if self.stop_asked_by else "failed"
