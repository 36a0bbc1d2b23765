"""Admin of APIs and policies, as far as they can be told without keys and requests."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.http import HttpRequest
from unfold.admin import StackedInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter
from unfold.decorators import display

from organisations_app.admin_choices import NamedChoices
from organisations_app.admin_lists import PagedAdmin
from organisations_app.admin_tenancy import ConfinedChoices
from organisations_app.admin_versions import VersionedAdmin
from organisations_app.versions import GATEWAY
from policies_app.api import policy_documents
from policies_app.durations import quota_text, rate_text
from policies_app.limit_forms import QUOTA_FIELDS, RATE_FIELDS, LimitsForm, SessionForm
from policies_app.limits import threshold_label
from policies_app.models import Api, LimitFields, Policy, PolicyAccess

OWN_LIMITS = (
    "Own limits on this API",
    {"fields": [*QUOTA_FIELDS, *RATE_FIELDS], "classes": ["own-limits"]},
)


class AccessInline(NamedChoices, ConfinedChoices, StackedInline):
    """Access rights of a policy or key; limits of their own are shown when they are switched on."""

    form = LimitsForm
    autocomplete_fields = ["api"]
    extra = 0
    fieldsets = [(None, {"fields": [("api", "has_limit")]}), OWN_LIMITS]
    verbose_name_plural = "Access rights"

    class Media:
        js = ["tollgate/own-limits.js"]


class PolicyAccessInline(AccessInline):
    model = PolicyAccess


class LimitColumns:
    """List columns of anything with limits."""

    @display(description="Quota", ordering="quota_max")
    def quota(self, obj: LimitFields) -> str:
        return quota_text(obj.limits())

    @display(description="Rate", ordering="rate")
    def rate_limit(self, obj: LimitFields) -> str:
        return rate_text(obj.limits())

    @display(description="Thresholds")
    def thresholds(self, obj: Any) -> str:
        return ", ".join(f"{threshold_label(percent)} %" for percent in obj.trigger_limits) or "none"


class PolicyAdmin(PagedAdmin, LimitColumns, VersionedAdmin):
    """Registered by sessions_app, which knows the keys of a policy."""

    form = SessionForm
    list_display = ["name", "organisation", "quota", "rate_limit", "thresholds", "status"]
    list_filter = [("organisation", AutocompleteSelectFilter), ("is_inactive", BooleanRadioFilter)]
    list_filter_submit = True
    list_select_related = ["organisation"]
    search_fields = ["name", "id", "organisation__name"]
    search_help_text = "Name, id or organisation"
    autocomplete_fields = ["organisation"]
    inlines = [PolicyAccessInline]
    fieldsets = [
        (None, {"fields": ["name", "id", "organisation", "is_inactive"]}),
        ("Usage quotas", {"fields": QUOTA_FIELDS}),
        ("Rate and throttling", {"fields": RATE_FIELDS}),
        ("Monitor", {"fields": ["trigger_limits"]}),
        (
            "Partitions",
            {
                "fields": [("partition_quota", "partition_rate_limit"), ("partition_acl", "partition_per_api")],
                "description": "A policy with none of these supplies everything. Otherwise it supplies only the ticked "
                "parts, and the key or its other policies the rest.",
            },
        ),
        (
            "Metadata",
            {
                "fields": ["meta_data", "tags"],
                "description": "With rate_limit_pattern in it, keys with the same computed value share counters.",
            },
        ),
        ("Expiry", {"fields": ["key_expires_in"]}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Policy | None = None) -> list[str]:
        return ["id"] if obj else []

    def config_scopes(self, obj: Policy) -> Iterable[str]:
        return [GATEWAY]

    def audit_document(self, obj: Policy) -> Mapping[str, Any]:
        return policy_documents([obj])[0]

    @display(description="Status", ordering="is_inactive", label={"active": "success", "inactive": "warning"})
    def status(self, obj: Policy) -> str:
        return "inactive" if obj.is_inactive else "active"


class ApiAdmin(PagedAdmin, VersionedAdmin):
    """Registered by sessions_app, which can send requests through the gateway."""

    list_display = ["name", "listen_path", "target", "organisation", "status"]
    list_filter = [("organisation", AutocompleteSelectFilter), ("is_active", BooleanRadioFilter)]
    list_filter_submit = True
    list_select_related = ["organisation"]
    search_fields = ["name", "id", "listen_path", "organisation__name"]
    search_help_text = "Name, id, listen path or organisation"
    autocomplete_fields = ["organisation"]
    fieldsets = [
        (None, {"fields": ["name", "id", "organisation", "is_active"]}),
        (
            "Where it listens, where it goes",
            {"fields": ["listen_path", "strip_listen_path", "target_url", "auth_header_name"]},
        ),
        ("Limits", {"fields": [("disable_quota", "disable_rate_limit"), "on_store_failure"]}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Api | None = None) -> list[str]:
        return ["id"] if obj else []

    def config_scopes(self, obj: Api) -> Iterable[str]:
        return [GATEWAY]

    @display(description="Goes to", ordering="target_url")
    def target(self, obj: Api) -> str:
        return obj.target_url or "a Django view of this project"

    @display(description="Status", ordering="is_active", label={"active": "success", "inactive": "warning"})
    def status(self, obj: Api) -> str:
        return "active" if obj.is_active else "inactive"
