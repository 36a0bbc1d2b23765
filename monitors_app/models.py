"""Who is told: monitors, the ledger of threshold events, their deliveries and every attempt."""

import secrets
from datetime import time

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from organisations_app.models import Developer, Organisation


def new_message_id() -> str:
    """A Standard Webhooks message id: constant over all attempts of a delivery."""
    return "msg_" + secrets.token_urlsafe(18)


class Monitor(models.Model):
    """Who wants to hear about thresholds, and where. Exactly one is the gateway's own, in the shape of Tyk's
    `monitor` section.
    """

    class Method(models.TextChoices):
        GET = "GET"
        POST = "POST"
        PUT = "PUT"
        PATCH = "PATCH"
        DELETE = "DELETE"

    class KeyFormat(models.TextChoices):
        RAW = "raw", "Raw: the key itself"
        MASKED = "masked", "Masked: prefix and last four"
        HASH = "hash", "Hash: its stored digest"
        ID = "id", "Id: its public id"

    name = models.CharField(max_length=200)
    organisation = models.ForeignKey(
        Organisation,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="monitors",
        help_text="Empty: all organisations.",
    )
    is_gateway = models.BooleanField("gateway monitor", default=False, editable=False)
    is_enabled = models.BooleanField("enabled", default=True)
    method = models.CharField(max_length=8, choices=Method.choices, default=Method.POST)
    target_path = models.CharField(
        "target URL", max_length=1000, blank=True, help_text="Where webhooks go. Empty: e-mails only."
    )
    template_path = models.CharField(
        max_length=300, blank=True, help_text="A file in the templates folder. Empty: the default body."
    )
    template = models.TextField(blank=True, help_text="A JSON document with {{ placeholders }}; wins over the path.")
    header_map_sealed = models.TextField(blank=True, editable=False)
    event_timeout = models.FloatField(
        "event timeout (seconds)",
        default=0,
        validators=[MinValueValidator(0)],
        help_text="At least this long between two webhooks about the same key or organisation.",
    )
    signing_secret_sealed = models.TextField(blank=True, editable=False)
    previous_secret_sealed = models.TextField(blank=True, editable=False)
    previous_secret_until = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Until then webhooks are signed with both secrets."
    )
    global_trigger_limit = models.FloatField("global threshold (% used)", default=0, help_text="0: none.")
    monitor_user_keys = models.BooleanField("watch keys", default=True)
    monitor_org_keys = models.BooleanField("watch organisations", default=True)
    key_format = models.CharField(max_length=8, choices=KeyFormat.choices, default=KeyFormat.RAW)
    failures_in_row = models.PositiveIntegerField(default=0, editable=False)
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    disabled_reason = models.CharField(max_length=300, blank=True, editable=False)
    extra = models.JSONField(default=dict, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-is_gateway", "name"]
        constraints = [
            models.UniqueConstraint(fields=["is_gateway"], condition=Q(is_gateway=True), name="monitor_one_gateway"),
            models.CheckConstraint(condition=Q(event_timeout__gte=0), name="monitor_event_timeout_not_negative"),
            models.CheckConstraint(
                condition=Q(global_trigger_limit__gte=0, global_trigger_limit__lte=100),
                name="monitor_global_trigger_limit_percent",
            ),
            models.CheckConstraint(
                condition=Q(method__in=["GET", "POST", "PUT", "PATCH", "DELETE"]), name="monitor_method_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class TriggerEvent(models.Model):
    """The ledger: one row for each threshold crossed, once per counter, period and limit source (rule 7.3)."""

    class Kind(models.TextChoices):
        KEY = "key", "Key"
        ORGANISATION = "org", "Organisation"

    kind = models.CharField(max_length=4, choices=Kind.choices)
    counter = models.CharField(max_length=250)
    period_start_ms = models.BigIntegerField()
    source = models.CharField(max_length=80)
    threshold = models.CharField(max_length=20)
    is_own = models.BooleanField(
        default=True,
        help_text="Asked for by the key, policy or organisation; otherwise only by a monitor's global threshold.",
    )
    organisation_id = models.CharField(max_length=64)
    key_id = models.CharField(max_length=32, blank=True)
    key_hint = models.CharField(max_length=24, blank=True)
    key_digest = models.CharField(max_length=64, blank=True)
    key_sealed = models.TextField(
        blank=True, editable=False, help_text="The raw key, encrypted; erased once delivered."
    )
    api_id = models.CharField(max_length=64, blank=True)
    alias = models.CharField(max_length=200, blank=True)
    used = models.BigIntegerField()
    quota_max = models.BigIntegerField()
    period_end_ms = models.BigIntegerField(null=True, blank=True)
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "threshold event"
        ordering = ["-occurred_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["counter", "period_start_ms", "source", "threshold"], name="trigger_event_once_per_period"
            )
        ]
        indexes = [
            models.Index(fields=["-occurred_at", "-id"], name="trigger_event_newest_first"),
            models.Index(fields=["organisation_id", "-occurred_at", "-id"], name="trigger_event_of_organisation"),
            models.Index(fields=["key_id", "-occurred_at", "-id"], name="trigger_event_of_key"),
            models.Index(fields=["alias", "-occurred_at", "-id"], name="trigger_event_of_alias"),
            models.Index(fields=["id"], condition=~Q(key_sealed=""), name="trigger_event_key_sealed"),
        ]

    def __str__(self) -> str:
        return f"{self.threshold} % of {self.quota_max:,} ({self.alias or self.key_id or self.organisation_id})"


class Delivery(models.Model):
    """One message to one receiver: a webhook of one monitor, an e-mail to one developer, or the notice of a monitor's
    end to its owner. The content is frozen at the crossing.
    """

    class Channel(models.TextChoices):
        WEBHOOK = "webhook", "Webhook"
        EMAIL = "email", "E-mail"

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        SENDING = "sending", "Sending"
        DELIVERED = "delivered", "Delivered"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    event = models.ForeignKey(
        TriggerEvent,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="deliveries",
        help_text="Empty: a test of a monitor, or by e-mail the notice of its end.",
    )
    channel = models.CharField(max_length=8, choices=Channel.choices)
    monitor = models.ForeignKey(Monitor, on_delete=models.CASCADE, null=True, blank=True, related_name="deliveries")
    developer = models.ForeignKey(Developer, on_delete=models.CASCADE, null=True, blank=True, related_name="deliveries")
    recipient = models.CharField(max_length=1000, help_text="The URL or the e-mail address.")
    target = models.CharField(
        max_length=270,
        blank=True,
        editable=False,
        help_text="Host and port of a webhook: what may be slow or dead as one. Few deliveries to it run at once.",
    )
    subject = models.CharField(max_length=64, help_text="What it is about: the key's or the organisation's id.")
    in_digest = models.BooleanField(
        default=False, help_text="An e-mail that goes out together with the developer's others."
    )
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    message_id = models.CharField(max_length=40, unique=True, default=new_message_id)
    method = models.CharField(max_length=8, blank=True)
    headers_sealed = models.TextField(blank=True, editable=False)
    body = models.TextField(
        blank=True,
        editable=False,
        help_text="The rendered template with {{ key }} still standing in it, so that no raw key is stored.",
    )
    attempt_count = models.PositiveIntegerField(default=0)
    round_attempts = models.PositiveIntegerField(
        default=0, help_text="Attempts since it was last asked for; the retry schedule counts these."
    )
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    claimed_until = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Sending: until when the claim holds. Pending: until when it need not be woken again.",
    )
    first_attempt_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "deliveries"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["event", "monitor"],
                condition=Q(channel="webhook", event__isnull=False),
                name="delivery_once_per_event_and_monitor",
            ),
            models.UniqueConstraint(
                fields=["event", "developer"],
                condition=Q(channel="email", event__isnull=False),
                name="delivery_once_per_event_and_developer",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "sending", "delivered", "failed", "cancelled"]),
                name="delivery_status_known",
            ),
            models.CheckConstraint(
                condition=Q(finished_at=None) | ~Q(status__in=["pending", "sending"]), name="delivery_open_or_finished"
            ),
        ]
        indexes = [
            # "Open" is said as finished_at IS NULL: SQLite does not see that a list of states implies another one.
            models.Index(fields=["next_attempt_at"], condition=Q(finished_at=None), name="delivery_open_due"),
            models.Index(
                fields=["monitor", "subject", "id"],
                condition=Q(finished_at=None, attempt_count=0),
                name="delivery_open_order",
            ),
            models.Index(
                fields=["target", "next_attempt_at", "id"],
                condition=Q(finished_at=None),
                name="delivery_open_of_target",
            ),
            models.Index(fields=["target", "claimed_until"], condition=Q(status="sending"), name="delivery_in_flight"),
            models.Index(
                fields=["developer", "id"],
                condition=Q(finished_at=None, in_digest=True),
                name="delivery_open_digest",
            ),
            models.Index(fields=["finished_at"], condition=~Q(body=""), name="delivery_body_kept"),
            # What a monitor sent in the last day, by its end: entered once, when it ends.
            models.Index(
                fields=["monitor", "finished_at", "status"],
                condition=Q(channel="webhook", event__isnull=False, finished_at__isnull=False),
                name="delivery_finished_of_monitor",
            ),
            # Few among all: counted by every health check, listed newest first.
            models.Index(
                fields=["status", "id", "event"],
                condition=Q(status__in=["failed", "cancelled"]),
                name="delivery_not_delivered",
            ),
            # Its operators serve "begins with", too, in any language's order.
            models.Index(
                fields=["target", "id"],
                opclasses=["varchar_pattern_ops", "int8_ops"],
                condition=~Q(target=""),
                name="delivery_of_target",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_channel_display()} to {self.recipient}"

    @property
    def is_notice(self) -> bool:
        """Tells the owner of a monitor that it was switched off."""
        return self.channel == self.Channel.EMAIL and self.event_id is None


class Attempt(models.Model):
    """One try of a delivery, as the receiver answered it (rule 7.10)."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField()
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    error = models.CharField(max_length=500, blank=True)
    response_body = models.TextField(blank=True)

    class Meta:
        ordering = ["delivery", "number"]
        constraints = [models.UniqueConstraint(fields=["delivery", "number"], name="attempt_numbered_once")]

    def __str__(self) -> str:
        return f"Attempt {self.number} of {self.delivery_id}"


class Pacing(models.Model):
    """When a monitor last began a webhook about a subject: keeps `event_timeout` between two (rule 7.9)."""

    monitor = models.ForeignKey(Monitor, on_delete=models.CASCADE, related_name="+")
    subject = models.CharField(max_length=64)
    last_first_attempt_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["monitor", "subject"], name="pacing_once_per_subject")]

    def __str__(self) -> str:
        return f"{self.subject} by {self.monitor_id}"


class EmailPreference(models.Model):
    """What a developer wants to hear by e-mail. No row means immediate (rule 7.12)."""

    class Thresholds(models.TextChoices):
        IMMEDIATE = "immediate", "At once"
        DIGEST = "digest", "Once a day, together"
        OFF = "off", "Never"

    developer = models.OneToOneField(Developer, on_delete=models.CASCADE, related_name="email_preference")
    thresholds = models.CharField(
        "quota e-mails", max_length=10, choices=Thresholds.choices, default=Thresholds.IMMEDIATE
    )
    digest_at = models.TimeField(
        "time of the daily e-mail", default=time(8), help_text="In the organisation's time zone."
    )
    refused_address = models.EmailField(
        blank=True, editable=False, help_text="The mail server refused it for good; nothing more is sent to it."
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(thresholds__in=["immediate", "digest", "off"]), name="email_preference_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.developer}: {self.get_thresholds_display()}"
