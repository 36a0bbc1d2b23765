"""What stands inside the page of a key: its policies, in order, and its own access rights."""

from typing import Any

from django.http import HttpRequest
from unfold.admin import TabularInline

from organisations_app.admin_choices import NamedChoices
from organisations_app.admin_tenancy import ConfinedChoices
from policies_app.admin import AccessInline
from sessions_app.models import KeyAccess, KeyPolicy


class KeyPolicyInline(NamedChoices, ConfinedChoices, TabularInline):
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
