"""Admin of what happened: to be read and searched, never to be changed."""

from typing import Any

from django.http import HttpRequest

from organisations_app.admin_lists import PagedAdmin
from organisations_app.admin_tenancy import ConfinedAdmin


class ReadOnlyAdmin(PagedAdmin, ConfinedAdmin):
    list_filter_submit = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
