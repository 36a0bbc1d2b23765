"""Admin of keys: the list with live usage, and the page of one key."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter, DropdownFilter
from unfold.decorators import display
from unfold.views import ChangeList

from organisations_app.admin_versions import VersionedAdmin
from organisations_app.versions import key_scope
from policies_app.admin import AccessInline
from policies_app.limit_forms import PERIOD_CONDITIONS, QUOTA_FIELDS, RATE_FIELDS
from sessions_app.admin.key_actions import KeyActions
from sessions_app.admin.key_forms import KeyForm
from sessions_app.admin.usage_lists import KeyChangeList, usage_cell
from sessions_app.key_cards import key_cards, sharing_shown
from sessions_app.key_status import KeyStatus, status_of
from sessions_app.keys import create_key, find_credential
from sessions_app.models import Credential, Key, KeyAccess, KeyPolicy, UsageHour
from sessions_app.usage_charts import daily_chart

OWN_LIMITS_NOTE = "The key's own. They count where no applied policy supplies that part."
EXPIRING_DAYS = (7, 30)


class KeyPolicyInline(TabularInline):
    model = KeyPolicy
    fields = ["policy", "position"]
    autocomplete_fields = ["policy"]
    ordering_field = "position"
    hide_ordering_field = True
    hide_title = True
    extra = 0

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        formfield = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "policy" and formfield is not None:
            gone = "This policy does not exist any more. Delete this row or choose another policy."
            formfield.error_messages["invalid_choice"] = gone
        return formfield


class KeyAccessInline(AccessInline):
    model = KeyAccess


class StatusFilter(DropdownFilter):
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(status.value, status.value.title()) for status in KeyStatus]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Key]) -> QuerySet[Key]:
        expired = Q(expires_at__lte=timezone.now())
        blocked = Q(is_inactive=True) | Q(organisation__session__is_inactive=True)
        blocked |= Q(pk__in=KeyPolicy.objects.filter(policy__is_inactive=True).values("key"))
        living = queryset.filter(revoked_at__isnull=True)
        match self.value():
            case KeyStatus.REVOKED:
                return queryset.filter(revoked_at__isnull=False)
            case KeyStatus.EXPIRED:
                return living.filter(expired)
            case KeyStatus.INACTIVE:
                return living.exclude(expired).filter(blocked)
            case KeyStatus.ACTIVE:
                return living.exclude(expired).exclude(blocked)
        return queryset


class ExpiryFilter(DropdownFilter):
    title = "expiry"
    parameter_name = "expires"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("never", "Never expires"), *((str(days), f"Within {days} days") for days in EXPIRING_DAYS)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Key]) -> QuerySet[Key]:
        if self.value() == "never":
            return queryset.filter(expires_at__isnull=True)
        if self.value() in map(str, EXPIRING_DAYS):
            now = timezone.now()
            return queryset.filter(expires_at__gt=now, expires_at__lte=now + timedelta(days=int(self.value() or 0)))
        return queryset


@admin.register(Key)
class KeyAdmin(KeyActions, VersionedAdmin):
    form = KeyForm
    list_display = ["name", "organisation", "application", "applied", "usage", "status"]
    list_filter = [
        ("organisation", AutocompleteSelectFilter),
        ("policies", AutocompleteSelectFilter),
        StatusFilter,
        ExpiryFilter,
    ]
    list_filter_submit = True
    list_per_page = 50
    show_full_result_count = False
    list_select_related = ["organisation__session", "application"]
    search_fields = ["alias", "id", "credentials__hint"]
    search_help_text = "Alias, id, hint, or the whole key"
    autocomplete_fields = ["organisation", "application"]
    inlines = [KeyPolicyInline, KeyAccessInline]
    conditional_fields = PERIOD_CONDITIONS
    change_form_template = "sessions_app/admin/key_form.html"
    change_form_before_template = "sessions_app/admin/key_panel.html"

    class Media:
        js = ["tollgate/copy.js", "tollgate/key-search.js"]

    # --- rows and columns ---------------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Key]:
        keys: QuerySet[Key] = super().get_queryset(request)
        newest = Credential.objects.filter(key=OuterRef("pk")).order_by("-created_at", "-id")
        return keys.annotate(hint=Subquery(newest.values("hint")[:1])).prefetch_related("policies")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeyChangeList

    @display(description="Key", ordering="alias", header=True)
    def name(self, key: Any) -> list[str]:
        return [str(key), key.hint or "no secret"]

    @display(description="Policies")
    def applied(self, key: Key) -> str:
        return ", ".join(policy.name for policy in key.policies.all()) or "own limits"

    @display(description="Usage")
    def usage(self, key: Key) -> str | None:
        """Of keys that can be used."""
        return usage_cell(key) if self._status_of(key) in (KeyStatus.ACTIVE, KeyStatus.INACTIVE) else None

    @display(
        description="Status",
        label={"active": "success", "inactive": "warning", "expired": "danger", "revoked": "danger"},
    )
    def status(self, key: Key) -> str:
        return self._status_of(key).value

    def _status_of(self, key: Key) -> KeyStatus:
        session = getattr(key.organisation, "session", None)
        blocked = any(policy.is_inactive for policy in key.policies.all()) or bool(session and session.is_inactive)
        return status_of(key, blocked=blocked, now=timezone.now())

    # --- finding a key by its raw value -------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        find = self.admin_site.admin_view(require_POST(self.find))
        panel = self.admin_site.admin_view(self.panel)
        return [
            path("find/", find, name="sessions_app_key_find"),
            path("<str:object_id>/usage/", panel, name="sessions_app_key_usage"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """A pasted key leads to its page, so that it stands in no further address, page or log."""
        key = self._key_with(request.GET.get("q", ""))
        if key is not None and self.has_view_permission(request):
            return HttpResponseRedirect(self.page_of(key))
        response: HttpResponse = super().changelist_view(request, extra_context)
        return response

    def find(self, request: HttpRequest) -> HttpResponse:
        """The search box sends whole keys here, by POST: an address would end up in logs."""
        key = self._key_with(request.POST.get("q", ""))
        if key is not None and self.has_view_permission(request):
            return HttpResponseRedirect(self.page_of(key))
        messages.warning(request, "No key has this value.")
        return HttpResponseRedirect(reverse("admin:sessions_app_key_changelist"))

    def _key_with(self, token: str) -> Key | None:
        """Also a revoked one, unlike the gateway's look-up."""
        credential = find_credential(token.strip())
        return credential.key if credential else None

    # --- the page of one key ------------------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: Key | None = None) -> Any:
        """Own limits are folded away where policies supply them."""
        identity = ["alias", "organisation", "application", "is_inactive" if obj else "custom_key"]
        folded = ["collapse"] if obj is None or obj.key_policies.exists() else []
        return [
            (None, {"fields": identity}),
            ("Usage quotas", {"fields": QUOTA_FIELDS, "classes": folded, "description": OWN_LIMITS_NOTE}),
            ("Rate and throttling", {"fields": RATE_FIELDS, "classes": folded, "description": OWN_LIMITS_NOTE}),
            ("Monitor", {"fields": ["trigger_limits"], "classes": folded, "description": OWN_LIMITS_NOTE}),
            ("Metadata and tags", {"fields": ["meta_data", "tags"], "classes": ["collapse"]}),
            ("Expiry", {"fields": ["expires_at"], "classes": ["collapse"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Key | None = None) -> list[str]:
        """A key cannot move to another organisation: its counters and events would stay behind."""
        return ["organisation"] if obj else []

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        key = Key.objects.filter(pk=unquote(object_id)).first()
        panel = _panel(key) if key else {}
        context = {**(extra_context or {}), **panel, "sharing": sharing_shown(panel["card"]) if panel else None}
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    def panel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The live part of the page alone, for its refresh."""
        key = get_object_or_404(self.get_queryset(request), pk=unquote(object_id))
        if not self.has_view_permission(request, key):
            return HttpResponse(status=403)
        return TemplateResponse(request, "sessions_app/admin/key_usage.html", _panel(key))

    # --- writing ------------------------------------------------------------------------------------------------------

    def config_scopes(self, obj: Key) -> Iterable[str]:
        return [key_scope(obj.organisation_id, obj.pk)]

    def save_model(self, request: HttpRequest, obj: Key, form: ModelForm[Key], change: bool) -> None:
        """A new key waits for its rights and policies: see `save_related`."""
        if change:
            super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        if change:
            super().save_related(request, form, formsets, change)
            return
        rows = [row for formset in formsets for row in formset.save(commit=False)]
        applied = sorted((row for row in rows if isinstance(row, KeyPolicy)), key=lambda row: row.position)
        form.instance.new_token = create_key(
            form.instance,
            access=[row for row in rows if isinstance(row, KeyAccess)],
            policies=[row.policy_id for row in applied],
            token=form.cleaned_data["custom_key"] or None,
        )

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        return self.show_secret(request, obj, obj.new_token, f"Key {obj} is made")


def _panel(key: Key) -> dict[str, Any]:
    now, zone = timezone.now(), key.organisation.timezone
    return {
        "card": key_cards([key], now)[0],
        "zone": zone,
        "chart": daily_chart(UsageHour.objects.filter(key=key.pk), ZoneInfo(zone), now),
        "usage_url": reverse("admin:sessions_app_key_usage", args=[quote(key.pk)]),
    }
