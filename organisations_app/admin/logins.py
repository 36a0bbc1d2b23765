"""Admin of logins, groups, and of who among the staff is confined to organisations."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.admin import StackedInline
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from organisations_app import audit, developers
from organisations_app.admin_audit import AuditedAdmin, plain_document, reason_of
from organisations_app.admin_confirmation import actor_of
from organisations_app.admin_erasure import ErasingAdmin
from organisations_app.admin_lists import PagedAdmin
from organisations_app.admin_permissions import TickedPermissions, completed_permissions, in_words
from organisations_app.admin_tenancy import ConfinedChoices, is_confined
from organisations_app.models import Job, StaffConfinement

CONFINED_TEXT = "This login sees only these organisations and what belongs to them; with none chosen, nothing."
POWERS = ("is_staff", "is_superuser", "groups", "user_permissions")

admin.site.unregister(User)
admin.site.unregister(Group)


class LoginForm(UserChangeForm):
    def clean_user_permissions(self) -> list[Permission]:
        return completed_permissions(self, "user_permissions")


class RoleForm(forms.ModelForm[Group]):
    def clean_permissions(self) -> list[Permission]:
        return completed_permissions(self, "permissions")


class ConfinementInline(ConfinedChoices, StackedInline):
    model = StaffConfinement
    autocomplete_fields = ["organisations"]
    extra = 0

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_manytomany(db_field, request, help_text=CONFINED_TEXT, **kwargs)


@admin.register(User)
class UserAdmin(ErasingAdmin, PagedAdmin, TickedPermissions, DjangoUserAdmin, AuditedAdmin):  # type: ignore[misc, type-arg]
    """Only superusers give powers, or touch the login of somebody who has some: the rest would give them themselves.
    A developer goes with the login.
    """

    tenancy = ("developer__organisation",)
    erase_act = developers.ERASE
    form = LoginForm
    filter_horizontal = ("groups",)
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Groups are nobody's: confined staff do not see them."""
        return [each for each in super().get_list_filter(request) if each != "groups" or not is_confined(request)]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        shown = (*super().get_readonly_fields(request, obj), "last_login", "date_joined")
        return shown if request.user.is_superuser else (*shown, *POWERS, "permissions_told")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who only reads permissions reads them in words."""
        shown: Any = super().get_fieldsets(request, obj)
        if request.user.is_superuser or obj is None:
            return shown
        told = {"user_permissions": "permissions_told"}
        return [(title, {**more, "fields": [told.get(each, each) for each in more["fields"]]}) for title, more in shown]

    @display(description="User permissions")
    def permissions_told(self, login: User) -> SafeString:
        return in_words(login.user_permissions.all())

    def get_inlines(self, request: HttpRequest, obj: Any) -> list[type[StackedInline]]:
        return [ConfinementInline] if request.user.is_superuser and obj and obj.is_staff else []

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may_touch(request, obj) and bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may_touch(request, obj) and bool(super().has_delete_permission(request, obj))

    def erased_row(self, obj: Any) -> Any:
        return getattr(obj, "developer", None)

    def page_of_job(self, job: Job) -> str:
        return reverse("admin:organisations_app_developer_job", args=[job.pk])

    def remove(self, request: HttpRequest, obj: User) -> Job | None:
        return developers.delete_login(obj, actor_of(request), reason_of(request))

    def audit_document(self, obj: Any) -> Mapping[str, Any]:
        confinement = StaffConfinement.objects.filter(user=obj).first()
        to = None if confinement is None else sorted(confinement.organisations.values_list("pk", flat=True))
        return {**plain_document(obj), "confined_to": to}

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> Any:
        request.sets_password = True  # type: ignore[attr-defined]
        return super().user_change_password(request, id, form_url)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        if hasattr(request, "sets_password"):
            audit.record(actor_of(request), "set-password", self.audit_subject(obj), reason_of(request))
        return super().log_change(request, obj, message)


@admin.register(Group)
class GroupAdmin(TickedPermissions, DjangoGroupAdmin, AuditedAdmin):  # type: ignore[misc]
    """Roles. Changed by superusers only."""

    tenancy = ()
    form = RoleForm
    filter_horizontal = ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return ["name", "permissions" if request.user.is_superuser else "permissions_told"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [] if request.user.is_superuser else ["name", "permissions_told"]

    @display(description="Permissions")
    def permissions_told(self, group: Group) -> SafeString:
        return in_words(group.permissions.all())

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)


def _may_touch(request: HttpRequest, login: Any) -> bool:
    return bool(request.user.is_superuser) or login is None or not login.is_staff
