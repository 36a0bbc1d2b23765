"""Admin of organisations, their developers and applications, and of logins and groups."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin import AllValuesFieldListFilter as AllValuesFilter
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from organisations_app.admin_versions import VersionedAdmin
from organisations_app.models import Application, AttributeDefinition, AuditEntry, Developer, Organisation
from organisations_app.versions import GATEWAY, organisation_scope


class DeveloperInline(TabularInline):
    model = Developer
    fields = ["user", "role", "attributes"]
    autocomplete_fields = ["user"]
    extra = 0
    show_change_link = True


class ApplicationInline(TabularInline):
    model = Application
    fields = ["name", "developer", "description"]
    autocomplete_fields = ["developer"]
    extra = 0
    show_change_link = True


class OrganisationAdmin(VersionedAdmin):
    """Registered by sessions_app, which adds the organisation's session."""

    list_display = ["name", "id", "timezone", "created_at"]
    search_fields = ["name", "id"]
    search_help_text = "Name or id"
    list_filter = ["timezone"]
    fields = ["name", "id", "timezone"]
    inlines = [DeveloperInline, ApplicationInline]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """An id is for life: keys, counters and events carry it."""
        return ["id"] if obj else []

    def config_scopes(self, obj: Organisation) -> Iterable[str]:
        """The gateway too: with an organisation its APIs and policies go."""
        return [organisation_scope(obj.pk), GATEWAY]


@admin.register(Developer)
class DeveloperAdmin(ModelAdmin):
    list_display = ["__str__", "organisation", "role"]
    list_filter = [("organisation", AutocompleteSelectFilter), ("role", ChoicesDropdownFilter)]
    list_filter_submit = True
    list_select_related = ["organisation", "user"]
    search_fields = ["user__email", "user__username", "organisation__name"]
    search_help_text = "E-mail, login or organisation"
    autocomplete_fields = ["organisation", "user"]
    fields = ["user", "organisation", "role", "attributes"]


@admin.register(Application)
class ApplicationAdmin(ModelAdmin):
    list_display = ["name", "organisation", "developer", "description"]
    list_filter = [("organisation", AutocompleteSelectFilter)]
    list_filter_submit = True
    list_select_related = ["organisation", "developer__user"]
    search_fields = ["name", "organisation__name", "developer__user__email"]
    search_help_text = "Name, organisation or developer"
    autocomplete_fields = ["organisation", "developer"]
    fields = ["name", "organisation", "developer", "description"]


@admin.register(AttributeDefinition)
class AttributeDefinitionAdmin(ModelAdmin):
    list_display = ["name", "kind", "is_required", "add_to_key_metadata"]
    fields = ["name", "kind", "is_required", "add_to_key_metadata"]
    search_fields = ["name"]


@admin.register(AuditEntry)
class AuditEntryAdmin(ModelAdmin):
    """To be read: nobody edits what was done."""

    list_display = ["at", "actor", "action", "subject_kind", "subject_id", "organisation_id", "reason"]
    list_filter = [("action", AllValuesFilter), ("subject_kind", AllValuesFilter)]
    search_fields = ["actor", "subject_id", "organisation_id", "reason"]
    search_help_text = "Who, the id of what was changed, organisation or reason"
    date_hierarchy = "at"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    pass
