"""The page that asks before something is deleted says how much goes with it, without reading it: an organisation may
own a million keys. Django would load every row and list it.

Read-only admins (the ledger, deliveries) do not stand in the way: their rows go with what they belong to, if the reader
has the permission to delete them.
"""

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import messages
from django.contrib.auth import get_permission_codename
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.text import capfirst
from unfold.admin import ModelAdmin

from organisations_app.counting import MOST_COUNTED
from organisations_app.dependents import Dependents, dependents_of

MOST_LISTED = 100
MOST_SELECTED = 1_000


class BriefDeletion(ModelAdmin):
    """Names the objects themselves, and counts what goes with them, up to a bound."""

    def get_actions(self, request: HttpRequest) -> Any:
        """Each deleted row has an entry of its own in the audit, so a request does not take any number of them."""
        actions = super().get_actions(request)
        if "delete_selected" in actions:
            delete, name, description = actions["delete_selected"]
            actions["delete_selected"] = (_of_not_too_many(delete), name, description)
        return actions

    def get_deleted_objects(
        self, objs: Iterable[Model], request: HttpRequest
    ) -> tuple[list[str], dict[str, Any], set[str], list[str]]:
        rows = list(objs)
        counts: dict[str, Any] = {str(self.opts.verbose_name_plural): len(rows)}
        forbidden: set[str] = set()
        protecting: list[str] = []
        if not all(self.has_delete_permission(request, row) for row in rows):
            forbidden.add(str(self.opts.verbose_name))
        for found in dependents_of(self.model, [row.pk for row in rows]):
            kind = found.model._meta
            if not found.is_listed:
                continue
            if found.count:
                counts[str(kind.verbose_name_plural)] = _words(found)
                protecting += [str(kind.verbose_name_plural)] if found.forbids else []
            if not request.user.has_perm(f"{kind.app_label}.{get_permission_codename('delete', kind)}"):
                forbidden.add(str(kind.verbose_name))
        named = [f"{capfirst(self.opts.verbose_name)}: {row}" for row in rows[:MOST_LISTED]]
        more = [f"and {len(rows) - MOST_LISTED:,} more"] if len(rows) > MOST_LISTED else []
        return [*named, *more], counts, forbidden, protecting


def _words(found: Dependents) -> Any:
    if found.count > MOST_COUNTED:
        return f"more than {MOST_COUNTED:,}"
    return f"at least {found.count:,}" if found.is_least else found.count


def _of_not_too_many(delete: Callable[..., Any]) -> Callable[..., Any]:
    def delete_if_few(admin: ModelAdmin, request: HttpRequest, rows: QuerySet[Any]) -> Any:
        if rows.order_by().values("pk")[: MOST_SELECTED + 1].count() > MOST_SELECTED:
            messages.error(request, f"At most {MOST_SELECTED:,} are deleted together: filter more.")
            return None
        return delete(admin, request, rows)

    return delete_if_few
