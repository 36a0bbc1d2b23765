"""Admin of the tokens of `/api/v1`: made and shown once, seen in use, revoked. They are never changed."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.contrib.filters.admin import AutocompleteSelectFilter, DropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import CHECKBOX_CLASSES, UnfoldAdminSelectWidget

from organisations_app.admin_audit import AuditedAdmin
from organisations_app.admin_confirmation import Question, ReasonForm, actor_of, ask, is_confirmed
from organisations_app.admin_lists import PagedAdmin
from organisations_app.admin_tokens import SCOPES, create_token, delete_token, reach_of_staff
from organisations_app.models import AdminToken

LIFETIMES = ((30, "30 days"), (90, "90 days"), (365, "a year"), (0, "for ever, until it is revoked"))
REVOKE_TEXT = "From the next request on this token is refused. What it did stays in the audit."
MAY_BE_UNUSED = timedelta(days=90)


class ScopesWidget(forms.CheckboxSelectMultiple):
    """A table: a row for each resource, columns to read and to write."""

    template_name = "organisations_app/widgets/scopes.html"

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        boxes = {box["value"]: box for _, group, _ in context["widget"]["optgroups"] for box in group}
        resources = dict.fromkeys(scope.partition(":")[0] for scope in boxes)
        context["rows"] = [
            (resource, [boxes.get(f"{resource}:{right}") for right in ("read", "write")]) for resource in resources
        ]
        context["classes"] = " ".join(CHECKBOX_CLASSES)
        return context


class TokenForm(forms.ModelForm[AdminToken]):
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in SCOPES],
        widget=ScopesWidget,
        error_messages={"required": "Tick at least one: a token without scopes can do nothing."},
    )
    lifetime_days = forms.TypedChoiceField(
        label="Valid for", coerce=int, choices=LIFETIMES, initial=365, widget=UnfoldAdminSelectWidget
    )

    class Meta:
        model = AdminToken
        fields: list[str] = []

    def clean_lifetime_days(self) -> int:
        days: int = self.cleaned_data["lifetime_days"]
        self.instance.expires_at = timezone.now() + timedelta(days=days) if days else None
        return days


class EndFilter(DropdownFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("unused", "Not used for 90 days"), ("expired", "Expired"), ("endless", "Never expires")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AdminToken]) -> QuerySet[AdminToken]:
        match self.value():
            case "unused":
                return queryset.exclude(last_used_at__gt=timezone.now() - MAY_BE_UNUSED)
            case "expired":
                return queryset.filter(expires_at__lte=timezone.now())
            case "endless":
                return queryset.filter(expires_at=None)
        return queryset


@admin.register(AdminToken)
class AdminTokenAdmin(PagedAdmin, AuditedAdmin):
    form = TokenForm
    audit_kind = "token"
    list_display = ["name", "hint", "reaches", "may", "expires_at", "last_used_at", "created_by", "state"]
    list_filter = [("organisation", AutocompleteSelectFilter), EndFilter]
    list_filter_submit = True
    list_select_related = ["organisation"]
    search_fields = ["name", "hint", "created_by"]
    search_help_text = "Name, hint or who made it"
    autocomplete_fields = ["organisation"]
    actions_detail = ["revoke"]

    class Media:
        js = ["tollgate/copy.js", "tollgate/scopes.js"]

    @display(description="Reaches", ordering="organisation__name")
    def reaches(self, token: AdminToken) -> str:
        return str(token.organisation) if token.organisation else "all organisations"

    @display(description="May")
    def may(self, token: AdminToken) -> str:
        if set(token.scopes) == set(SCOPES):
            return "everything"
        return ", ".join(token.scopes[:3]) + (f" and {len(token.scopes) - 3} more" if len(token.scopes) > 3 else "")

    @display(description="Scopes")
    def all_scopes(self, token: AdminToken) -> str:
        return ", ".join(token.scopes)

    @display(description="State", label={"active": "success", "expired": "danger", "never used": "warning"})
    def state(self, token: AdminToken) -> str:
        if token.expires_at and token.expires_at <= timezone.now():
            return "expired"
        return "active" if token.last_used_at else "never used"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if obj is None:
            return ["name", "organisation", "scopes", "lifetime_days"]
        return ["name", "hint", "reaches", "all_scopes", "expires_at", "last_used_at", "created_by", "created_at"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.get_fields(request, obj) if obj else []

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What a program relies on is not changed under it: make another token, then revoke this one."""
        return False

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_delete_permission(request)

    # --- making -------------------------------------------------------------------------------------------------------

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Offers the scopes that the maker has."""
        form = super().get_form(request, obj, change, **kwargs)
        if "scopes" in form.base_fields:
            mine = reach_of_staff(request.user).scopes
            form.base_fields["scopes"].choices = [(scope, scope) for scope in SCOPES if scope in mine]
        return form

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.scopes = form.cleaned_data["scopes"]
        obj.new_text = create_token(obj, actor_of(request), reach_of_staff(request.user, obj.organisation_id))

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """The answer to the POST itself: the token is in no message, no session and no redirect."""
        context = {
            **self.admin_site.each_context(request),
            "title": f"Token {obj.name} is made",
            "opts": self.model._meta,
            "token": obj,
            "text": obj.new_text,
            "page": reverse("admin:organisations_app_admintoken_change", args=[obj.pk]),
        }
        return TemplateResponse(request, "organisations_app/admin/new_token.html", context)

    # --- revoking -----------------------------------------------------------------------------------------------------

    @action(description="Revoke", icon="block", permissions=["revoke"], variant=ActionVariant.DANGER)
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        token = get_object_or_404(self.get_queryset(request), pk=object_id)
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            self._revoke(request, token, form)
            return HttpResponseRedirect(reverse("admin:organisations_app_admintoken_changelist"))
        page = reverse("admin:organisations_app_admintoken_change", args=[token.pk])
        return ask(self, request, Question(f"Revoke {token.name}?", REVOKE_TEXT, "Revoke token", page), form)

    @transaction.atomic
    def _revoke(self, request: HttpRequest, token: AdminToken, form: ReasonForm) -> None:
        self.log_deletions(request, [token])
        delete_token(token)
        messages.success(request, f"{token} is revoked.")
