"""Admin of keys: the list with live usage, and the form of one key."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib import admin, messages
from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display
from unfold.views import ChangeList

from organisations_app.admin_lists import PagedAdmin
from organisations_app.admin_versions import VersionedAdmin
from organisations_app.versions import key_scope
from policies_app.limit_forms import QUOTA_FIELDS, RATE_FIELDS
from sessions_app.admin.key_actions import KeyActions
from sessions_app.admin.key_filters import ExpiryFilter, StatusFilter, UsedFilter, search
from sessions_app.admin.key_forms import KeyForm
from sessions_app.admin.key_inlines import KeyAccessInline, KeyPolicyInline
from sessions_app.admin.key_panels import KeyPanels, page_of
from sessions_app.admin.usage_lists import KeyChangeList, last_used_text, usage_cell
from sessions_app.documents import stored_documents
from sessions_app.key_status import status_of
from sessions_app.keys import create_key, find_credential
from sessions_app.models import Credential, Key, KeyAccess, KeyPolicy
from sessions_app.terms import HOLDER

OWN_LIMITS_NOTE = "The key's own. They count where no applied policy supplies that part."


@admin.register(Key)
class KeyAdmin(KeyActions, KeyPanels, PagedAdmin, VersionedAdmin):
    form = KeyForm
    list_display = ["name", "organisation", "application", "applied", "usage", "status", "last_used"]
    list_filter = [
        ("organisation", AutocompleteSelectFilter),
        ("policies", AutocompleteSelectFilter),
        StatusFilter,
        ExpiryFilter,
        UsedFilter,  # last: see there
    ]
    list_filter_submit = True
    list_select_related = [HOLDER, "application"]
    sortable_by = ["name"]  # by its index; no other order of a million keys is quick
    search_fields = ["alias"]  # `get_search_results` looks further
    search_help_text = "Alias, id, hint, or the whole key"
    autocomplete_fields = ["organisation", "application"]
    inlines = [KeyPolicyInline, KeyAccessInline]
    change_form_template = "sessions_app/admin/key_form.html"
    change_form_outer_after_template = "sessions_app/admin/key_changes_below.html"

    class Media:
        js = ["tollgate/copy.js", "tollgate/key-search.js"]

    # --- rows and columns ---------------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Key]:
        keys: QuerySet[Key] = super().get_queryset(request)
        newest = Credential.objects.filter(key=OuterRef("pk")).order_by("-created_at", "-id")
        has_policies = Exists(KeyPolicy.objects.filter(key=OuterRef("pk")))
        return keys.annotate(hint=Subquery(newest.values("hint")[:1]), has_policies=has_policies)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeyChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Key], search_term: str
    ) -> tuple[QuerySet[Key], bool]:
        text = search_term.strip()
        return (search(queryset, text) if text else queryset), False

    @display(description="Key", ordering="alias", header=True)
    def name(self, key: Any) -> list[str]:
        return [str(key), key.hint or "no secret"]

    @display(description="Policies")
    def applied(self, key: Any) -> str:
        return ", ".join(key.holder.policy_names.values()) or "own limits"

    @display(description="Usage")
    def usage(self, key: Any) -> str | None:
        """Of keys that can be used."""
        return None if status_of(key.holder, timezone.now()).has_ended else usage_cell(key)

    @display(
        description="Status",
        label={"active": "success", "inactive": "warning", "expired": "danger", "revoked": "danger"},
    )
    def status(self, key: Any) -> str:
        return status_of(key.holder, timezone.now()).value

    @display(description="Last used")
    def last_used(self, key: Any) -> str:
        """To the hour, as usage is added up."""
        return last_used_text(key.last_hour, timezone.now())

    # --- finding a key by its raw value -------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        find = self.admin_site.admin_view(require_POST(self.find))
        return [path("find/", find, name="sessions_app_key_find"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """A pasted key leads to its page, so that it stands in no further address, page or log."""
        key = self._key_with(request, request.GET.get("q", ""))
        if key is not None and self.has_view_permission(request):
            return HttpResponseRedirect(page_of(key))
        response: HttpResponse = super().changelist_view(request, extra_context)
        return response

    def find(self, request: HttpRequest) -> HttpResponse:
        """The search box sends whole keys here, by POST: an address would end up in logs."""
        key = self._key_with(request, request.POST.get("q", ""))
        if key is not None and self.has_view_permission(request):
            return HttpResponseRedirect(page_of(key))
        messages.warning(request, "No key has this value.")
        return HttpResponseRedirect(reverse("admin:sessions_app_key_changelist"))

    def _key_with(self, request: HttpRequest, token: str) -> Key | None:
        """Also a revoked one, unlike the gateway's look-up; for confined staff, one of theirs."""
        credential = find_credential(token.strip())
        found: Key | None = self.get_queryset(request).filter(pk=credential.key_id).first() if credential else None
        return found

    # --- the page of one key ------------------------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: Key | None = None) -> Any:
        """Own limits are folded away where policies supply them."""
        identity = ["alias", "organisation", "application", "is_inactive" if obj else "custom_key"]
        folded = ["collapse"] if getattr(obj, "has_policies", False) else []
        return [
            (None, {"fields": identity}),
            ("Rate and throttling", {"fields": RATE_FIELDS, "classes": folded, "description": OWN_LIMITS_NOTE}),
            ("Usage quotas", {"fields": QUOTA_FIELDS, "classes": folded, "description": OWN_LIMITS_NOTE}),
            ("Monitor", {"fields": ["trigger_limits"], "classes": folded, "description": OWN_LIMITS_NOTE}),
            ("Metadata", {"fields": ["meta_data"]}),
            ("Tags", {"fields": ["tags"]}),
            ("Expiry", {"fields": ["expires_at"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Key | None = None) -> list[str]:
        """A key cannot move to another organisation: its counters and events would stay behind."""
        return ["organisation"] if obj else []

    # --- writing ------------------------------------------------------------------------------------------------------

    def audit_document(self, obj: Key) -> Mapping[str, Any]:
        return stored_documents([obj])[obj.pk]

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
