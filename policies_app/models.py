"""What is allowed: API definitions, policies and their access rights. The same limit fields stand wherever limits
occur.
"""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

from organisations_app.models import IDENTIFIER, Organisation, new_identifier
from policies_app import limits, patterns
from policies_app.durations import renewal_text


class LimitFields(models.Model):
    """A quota, a rate limit and throttling, in Tyk's fields and units."""

    class Period(models.TextChoices):
        ROLLING = "rolling", "Rolling: begins with the first request"
        DAY = "day", "Calendar day"
        WEEK = "week", "Calendar week (from Monday)"
        MONTH = "month", "Calendar month"

    quota_max = models.BigIntegerField(
        "max requests per period", default=limits.UNLIMITED, help_text="-1 is unlimited. To block, use “inactive”."
    )
    quota_renewal_rate = models.BigIntegerField(
        "quota resets every (seconds)", default=0, help_text="For rolling periods. 0 never resets."
    )
    quota_period = models.CharField("period", max_length=8, choices=Period.choices, default=Period.ROLLING)
    quota_anchor_day = models.PositiveSmallIntegerField(
        "month begins on day", default=1, help_text="1 to 31, for calendar months; clamped to the month's length."
    )
    rate = models.FloatField("rate: requests", default=0, help_text="0 is no rate limit.")
    per = models.FloatField("rate: per seconds", default=0)
    throttle_interval = models.FloatField(
        "throttle: wait seconds", default=0, help_text="Hold a rate-denied request this long, then try again."
    )
    throttle_retry_limit = models.IntegerField("throttle: retries", default=0)

    class Meta:
        abstract = True
        constraints = [
            models.CheckConstraint(
                condition=models.Q(quota_max=-1) | models.Q(quota_max__gte=1),
                name="%(class)s_quota_max_unlimited_or_positive",
            ),
            models.CheckConstraint(
                condition=models.Q(quota_period__in=limits.PERIODS), name="%(class)s_quota_period_known"
            ),
            models.CheckConstraint(
                condition=models.Q(quota_anchor_day__gte=1, quota_anchor_day__lte=31),
                name="%(class)s_quota_anchor_day_of_month",
            ),
        ]

    def limits(self) -> limits.Limits:
        return limits.Limits(**{name: getattr(self, name) for name in limits.LIMIT_FIELDS})

    @property
    def resets_every(self) -> str:
        """In words, where the form that asks for it cannot be used."""
        return renewal_text(self.limits())

    def clean(self) -> None:
        super().clean()
        names = {field.name for field in self._meta.get_fields()}
        values = {name: getattr(self, name) for name in (*limits.LIMIT_FIELDS, "trigger_limits") if name in names}
        if errors := limits.limit_errors({name: value for name, value in values.items() if value is not None}):
            raise ValidationError(errors)


class ThresholdFields(models.Model):
    """Percentages of the quota at which somebody is told (rule 7.2)."""

    trigger_limits = models.JSONField(
        "thresholds (% used)", default=list, blank=True, help_text="Descending percentages, for example [90, 75, 50]."
    )

    class Meta:
        abstract = True


class MetaDataFields(models.Model):
    """Free metadata; `rate_limit_pattern` in it is a custom rate limit key (section 5)."""

    meta_data = models.JSONField("metadata", default=dict, blank=True)
    tags = models.JSONField(default=list, blank=True)
    extra = models.JSONField(
        "other Tyk fields",
        default=dict,
        blank=True,
        editable=False,
        help_text="Kept and given back by the Tyk dialect.",
    )

    class Meta:
        abstract = True

    def clean(self) -> None:
        super().clean()
        if errors := meta_data_errors(self.meta_data, self.tags):
            raise ValidationError(errors)


def meta_data_errors(meta_data: Any, tags: Any) -> dict[str, str]:
    """What is wrong with metadata and tags, by field name (rule 5.2)."""
    errors = {}
    if not isinstance(meta_data, dict):
        errors["meta_data"] = f"must be a JSON object, not {meta_data!r}"
    else:
        try:
            patterns.parse(meta_data.get(patterns.FIELD))
        except patterns.PatternError as error:
            errors["meta_data"] = str(error)
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        errors["tags"] = f"must be a list of texts, not {tags!r}"
    return errors


def check_listen_path(path: str) -> None:
    """A listen path begins and ends with `/` and leaves the gateway's own pages alone. Raises ValidationError."""
    if (
        not path.startswith("/")
        or not path.endswith("/")
        or "//" in path
        or any(sign in path for sign in "?#%\\ ")
        or not path.isprintable()
    ):
        raise ValidationError(
            "A listen path begins and ends with / and has no spaces, ?, #, % or empty segments; for example /orders/."
        )
    if ".." in path.split("/") or "." in path.split("/"):
        raise ValidationError("A listen path has no . or .. segments.")
    first = path.split("/")[1]
    if first in settings.GATEWAY_RESERVED_PREFIXES:
        taken = ", ".join(f"/{prefix}/" for prefix in settings.GATEWAY_RESERVED_PREFIXES if prefix)
        raise ValidationError(f"/{first}/ is reserved for the gateway itself; choose a path outside {taken}.")


def check_target_url(url: str) -> None:
    """An absolute http(s) URL without userinfo, query or fragment. Raises ValidationError."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    else:
        valid = valid and not (
            parts.query or parts.fragment or "@" in parts.netloc or any(sign.isspace() for sign in url)
        )
    if not valid:
        raise ValidationError(
            f"{url!r} is no usable target: write http://host[:port]/path or https://…, without user, query or fragment."
        )


class Api(models.Model):
    """An API definition: where it listens, where it goes, and which limits it skips."""

    class OnStoreFailure(models.TextChoices):
        OPEN = "open", "Open: requests pass uncounted"
        CLOSED = "closed", "Closed: 503"

    id = models.CharField("API id", primary_key=True, max_length=64, default=new_identifier, validators=[IDENTIFIER])
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="apis")
    name = models.CharField(max_length=200)
    listen_path = models.CharField(
        max_length=200, unique=True, validators=[check_listen_path], help_text="For example /orders/."
    )
    target_url = models.CharField(
        "target URL",
        max_length=500,
        blank=True,
        validators=[check_target_url],
        help_text="The upstream. Empty: a Django view of this project serves the path.",
    )
    strip_listen_path = models.BooleanField(default=True)
    is_active = models.BooleanField("active", default=True)
    auth_header_name = models.CharField(
        "key header", max_length=100, blank=True, help_text="Empty: Authorization or X-Api-Key."
    )
    disable_quota = models.BooleanField(default=False)
    disable_rate_limit = models.BooleanField(default=False)
    on_store_failure = models.CharField(
        max_length=8,
        choices=OnStoreFailure.choices,
        default=OnStoreFailure.OPEN,
        help_text="What happens to requests while the counter store does not answer.",
    )
    extra = models.JSONField("other Tyk fields", default=dict, blank=True, editable=False)

    class Meta:
        verbose_name = "API"
        verbose_name_plural = "APIs"
        ordering = ["name", "id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(on_store_failure__in=["open", "closed"]), name="api_on_store_failure_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.listen_path})"


class Policy(LimitFields, ThresholdFields, MetaDataFields):
    """A plan: limits, access rights and metadata for all keys that it is applied to."""

    id = models.CharField("policy id", primary_key=True, max_length=64, default=new_identifier, validators=[IDENTIFIER])
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="policies")
    name = models.CharField(max_length=200)
    is_inactive = models.BooleanField("inactive", default=False, help_text="Blocks every key that has this policy.")
    partition_quota = models.BooleanField("only quota", default=False)
    partition_rate_limit = models.BooleanField("only rate limit", default=False)
    partition_acl = models.BooleanField("only access rights", default=False)
    partition_per_api = models.BooleanField("per-API limits", default=False)
    key_expires_in = models.BigIntegerField(
        "keys expire after (seconds)", default=0, help_text="Counted from a key's creation. 0: never."
    )

    class Meta(LimitFields.Meta):
        abstract = False
        verbose_name_plural = "policies"
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name

    @property
    def partitions(self) -> frozenset[str]:
        return frozenset(part for part in PARTITIONS if getattr(self, f"partition_{part}"))

    def clean(self) -> None:
        super().clean()
        if message := partition_error(self.partitions):
            raise ValidationError({"partition_per_api": message})


PARTITIONS = ("quota", "rate_limit", "acl", "per_api")


def partition_error(partitions: frozenset[str]) -> str:
    """Rule 3.5."""
    if "per_api" in partitions and len(partitions) > 1:
        return "per_api cannot stand with other partitions (quota, rate_limit, acl): it supplies access and limits both"
    return ""


class AccessRightFields(LimitFields):
    """One API that a policy or key gives access to, with limits of its own if `has_limit` (rule 3.1).

    No database constraint on the API: a right outlives the definition, so that replacing one (DELETE, then POST) takes
    nobody's access away.
    """

    api = models.ForeignKey(Api, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    has_limit = models.BooleanField(
        "own limits",
        default=False,
        help_text="Set per API limits and quota: they replace the others on this API, with a counter of their own.",
    )
    extra = models.JSONField(default=dict, blank=True, editable=False)

    class Meta(LimitFields.Meta):
        abstract = True

    def own_limits(self) -> limits.Limits | None:
        return self.limits() if self.has_limit else None


class PolicyAccess(AccessRightFields):
    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="access")

    class Meta(AccessRightFields.Meta):
        abstract = False
        verbose_name = "access right"
        ordering = ["id"]
        constraints = [
            *LimitFields.Meta.constraints,
            models.UniqueConstraint(fields=["policy", "api"], name="policy_access_once_per_api"),
        ]

    def __str__(self) -> str:
        return f"{self.policy_id} on {self.api_id}"
