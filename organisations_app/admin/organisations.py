"""Admin of organisations, their developers and applications."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminEmailInputWidget

from organisations_app import developers
from organisations_app.admin_audit import AuditedAdmin, reason_of
from organisations_app.admin_confirmation import actor_of
from organisations_app.admin_erasure import ErasingAdmin
from organisations_app.admin_lists import PagedAdmin
from organisations_app.admin_tenancy import is_confined
from organisations_app.admin_versions import VersionedAdmin
from organisations_app.models import Application, AttributeDefinition, Developer, Job, Organisation
from organisations_app.organisations import delete_organisation
from organisations_app.versions import organisation_scope


class OrganisationAdmin(ErasingAdmin, PagedAdmin, VersionedAdmin):
    """Registered by sessions_app, which adds the organisation's session. One that is being deleted is only shown."""

    tenancy = ("pk",)
    list_display = ["name_and_end", "id", "timezone", "created_at"]
    search_fields = ["name", "id"]
    search_help_text = "Name or id"
    list_filter = ["timezone"]
    fields = ["name", "id", "timezone"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """An id is for life: keys, counters and events carry it."""
        return ["id"] if obj else []

    def has_add_permission(self, request: HttpRequest) -> bool:
        """As in the REST API, who is bound to organisations makes no others."""
        return not is_confined(request) and super().has_add_permission(request)

    @display(description="Name", ordering="name")
    def name_and_end(self, organisation: Organisation) -> str:
        return f"{organisation} (being deleted)" if organisation.closed_at else str(organisation)

    def config_scopes(self, obj: Any) -> Iterable[str]:
        return [organisation_scope(obj.pk)]

    def remove(self, request: HttpRequest, obj: Any) -> Job | None:
        return delete_organisation(obj, actor_of(request), reason_of(request))


class DeveloperForm(forms.ModelForm[Developer]):
    """A new developer is a new login, by e-mail, or one that exists."""

    email = forms.EmailField(
        required=False,
        max_length=254,
        widget=UnfoldAdminEmailInputWidget,
        help_text="Of a new login, which is also its user name. The password is set on the login's page.",
    )

    class Meta:
        model = Developer
        fields: list[str] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "user" in self.fields:
            self.fields["user"].required = False
            self.fields["user"].label = "Or a login that exists"

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if self.instance._state.adding and bool(values.get("email")) == bool(values.get("user")):
            raise ValidationError({"email": "Name the e-mail address of a new login, or choose one that exists."})
        return values

    def _get_validation_exclusions(self) -> set[str]:
        """The login of a new developer is made with it."""
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]  # Django has it
        return excluded | {"user"} if self.instance.user_id is None else excluded


@admin.register(Developer)
class DeveloperAdmin(ErasingAdmin, PagedAdmin, AuditedAdmin):
    form = DeveloperForm
    erase_act = developers.ERASE
    list_display = ["__str__", "organisation", "role"]
    list_filter = [("organisation", AutocompleteSelectFilter), ("role", ChoicesDropdownFilter)]
    list_filter_submit = True
    list_select_related = ["organisation", "user"]
    search_fields = ["user__email", "user__username", "organisation__name"]
    search_help_text = "E-mail, login or organisation"
    autocomplete_fields = ["organisation", "user"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if obj is None:
            chosen = [] if is_confined(request) else ["user"]  # logins of nobody are the operator's
            return ["organisation", "email", *chosen, "role", "attributes"]
        return ["user", "organisation", "role", "attributes"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """The same person in another organisation is another developer: applications and keys would stay behind."""
        return ["user", "organisation"] if obj else []

    def save_model(self, request: HttpRequest, obj: Developer, form: Any, change: bool) -> None:
        email = form.cleaned_data.get("email")
        developers.save_developer(obj, {"email": email} if email else {})

    def remove(self, request: HttpRequest, obj: Developer) -> Job | None:
        return developers.delete_developer(obj, actor_of(request), reason_of(request))


@admin.register(Application)
class ApplicationAdmin(PagedAdmin, AuditedAdmin):
    list_display = ["name", "organisation", "developer", "description"]
    list_filter = [("organisation", AutocompleteSelectFilter)]
    list_filter_submit = True
    list_select_related = ["organisation", "developer__user"]
    search_fields = ["name", "organisation__name", "developer__user__email"]
    search_help_text = "Name, organisation or developer"
    autocomplete_fields = ["organisation", "developer"]
    fields = ["name", "organisation", "developer", "description"]


@admin.register(AttributeDefinition)
class AttributeDefinitionAdmin(AuditedAdmin):
    """They tell what the attributes of all developers mean, so confined staff may read them."""

    tenancy = ()
    is_for_all = True
    audit_kind = "attribute"
    list_display = ["name", "kind", "is_required", "add_to_key_metadata"]
    fields = ["name", "kind", "is_required", "add_to_key_metadata"]
    search_fields = ["name"]
