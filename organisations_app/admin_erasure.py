"""Deletion in the admin of what may own more than a request can erase. Until a job has erased it, it is only shown."""

from typing import Any

from django.contrib import messages
from django.contrib.admin.options import IS_POPUP_VAR
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html

from organisations_app.admin_jobs import JobPages
from organisations_app.erasure import is_being_erased
from organisations_app.models import Job

CLOSED = "{} is switched off: nothing of it works any more. <a href='{}'>A worker erases what belongs to it.</a>"


class ErasingAdmin(JobPages):
    """`erase_act` are the jobs that erase such a row, if nothing in the row itself says that it waits for one."""

    erase_act = ""

    def remove(self, request: HttpRequest, obj: Any) -> Job | None:
        """Deletes it at once, or answers the job that will."""
        raise NotImplementedError

    def waits_to_be_erased(self, obj: Any) -> bool:
        if super().waits_to_be_erased(obj):  # of ConfinedAdmin
            return True
        if not isinstance(obj, Model) or not self.erase_act:
            return False
        if not hasattr(obj, "_waits_to_be_erased"):  # asked for several times on a page
            row = self.erased_row(obj)
            obj._waits_to_be_erased = row is not None and is_being_erased(self.erase_act, row.pk)  # type: ignore[attr-defined]
        return bool(obj._waits_to_be_erased)  # type: ignore[attr-defined]

    def erased_row(self, obj: Any) -> Any:
        """What the jobs erase when this is deleted; None if there is nothing of the kind."""
        return obj

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not self.waits_to_be_erased(obj) and bool(super().has_delete_permission(request, obj))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        job = self.remove(request, obj)
        if job is not None:
            messages.warning(request, format_html(CLOSED, obj, self.page_of_job(job)))

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for obj in queryset:
            self.delete_model(request, obj)

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        """One that a worker still erases is not called deleted."""
        if IS_POPUP_VAR not in request.POST and self.model._default_manager.filter(pk=obj_id).exists():
            return HttpResponseRedirect(reverse(f"admin:{self._place}_changelist"))
        response: HttpResponse = super().response_delete(request, obj_display, obj_id)
        return response
