"""The admin's side of rule 1.5: whatever an admin page writes or deletes moves the versions of what it changed.

An admin of configuration inherits `VersionedAdmin` and names the scopes; the bump joins the transaction of the write.
"""

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from organisations_app.admin_staleness import StaleSafeAdmin
from organisations_app.versions import bump


class VersionedAdmin(StaleSafeAdmin):
    """Subclasses answer `config_scopes`."""

    def config_scopes(self, obj: Any) -> Iterable[str]:
        """The scopes whose configuration this object belongs to."""
        raise NotImplementedError

    def save_related(self, request: HttpRequest, form: ModelForm[Any], formsets: Any, change: bool) -> None:
        """After the object and all its inlines are written; Django's views have the transaction open."""
        super().save_related(request, form, formsets, change)
        bump(*self.config_scopes(form.instance))

    @transaction.atomic
    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        scopes = list(self.config_scopes(obj))
        super().delete_model(request, obj)
        bump(*scopes)

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        scopes = {scope for obj in queryset for scope in self.config_scopes(obj)}
        super().delete_queryset(request, queryset)
        bump(*scopes)
