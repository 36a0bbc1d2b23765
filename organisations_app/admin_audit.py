"""What admin pages write leaves an entry in the audit beside Django's own history, in the transaction of the write.

An admin inherits `AuditedAdmin`; create, change, delete and the deletion of selected rows are then recorded in the
words of the REST API. Inlines are part of the object's document. Own verbs (reset, revoke, …) are recorded by the
functions that do them.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.admin.utils import unquote
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse

from organisations_app import audit
from organisations_app.admin_confirmation import actor_of
from organisations_app.admin_deletion import BriefDeletion
from organisations_app.admin_tenancy import ConfinedAdmin
from organisations_app.audit import Subject
from organisations_app.models import Organisation

REASON = "audit_reason"  # the member of a form's POST that says why
SECRET = re.compile("digest|sealed|secret|password|pepper")
NAMES = {"organisation": "org_id"}  # fields that the REST API calls otherwise


class AuditedAdmin(BriefDeletion, ConfinedAdmin):
    """`audit_kind` is what the REST API calls the subject; the model's name unless given. `audit_document` is replaced
    where that API shows another document, or where a field is a secret under an innocent name.
    """

    audit_kind = ""
    asks_for_reason = True  # beside the buttons: see templates/admin/submit_line.html

    def audit_document(self, obj: Any) -> Mapping[str, Any]:
        """The object as the audit keeps it: JSON, without secrets, read from the database. Only what differs between
        two of them is recorded.
        """
        return plain_document(obj)

    def audit_subject(self, obj: Any) -> Subject:
        kind = self.audit_kind or obj._meta.model_name
        organisation = obj.pk if isinstance(obj, Organisation) else getattr(obj, "organisation_id", None)
        return Subject(kind, str(obj.pk), str(organisation or ""))

    # --- one object ---------------------------------------------------------------------------------------------------

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Remembers how the object was; its row is locked, so that nobody changes it in between."""
        if request.method != "POST" or object_id is None:
            answer: HttpResponse = super().changeform_view(request, object_id, form_url, extra_context)
            return answer
        with transaction.atomic():
            self._remember(request, object_id)
            answer = super().changeform_view(request, object_id, form_url, extra_context)
        return answer

    def _remember(self, request: HttpRequest, object_id: str) -> None:
        seen = self.get_object(request, unquote(object_id))
        stored = seen and self.model._default_manager.select_for_update().filter(pk=seen.pk).first()
        if stored is not None:
            _before(request)[self.model, stored.pk] = self.audit_document(stored)

    def remembered(self, request: HttpRequest, obj: Any) -> Mapping[str, Any] | None:
        """How the object was when the POST that may change it came; None if this request is no such POST."""
        return _before(request).get((self.model, obj.pk))

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        audit.record(actor_of(request), "create", self.audit_subject(obj), reason_of(request), after=self._now(obj))
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Called for forms, whose `before` is remembered, and by actions, which are recorded by what they call."""
        before = _before(request).pop((self.model, obj.pk), None)
        if before is not None:
            self._record_change(request, obj, before, message)
        return super().log_change(request, obj, message)

    def _record_change(self, request: HttpRequest, obj: Any, before: Mapping[str, Any], message: Any) -> None:
        """A form that changed nothing leaves no entry; of a changed secret only its name is told."""
        was, became = audit.difference(before, self._now(obj))
        if not was and not became:
            if not (hidden := _changed_fields(message)):
                return
            became = {"changed": hidden}
        reason = reason_of(request)
        audit.record(actor_of(request), "change", self.audit_subject(obj), reason, before=was, after=became)

    def _now(self, obj: Any) -> Mapping[str, Any]:
        return self.audit_document(self.model._default_manager.get(pk=obj.pk))

    # --- deletion -----------------------------------------------------------------------------------------------------

    def log_deletions(self, request: HttpRequest, queryset: Iterable[Any]) -> Any:
        """Django calls it before it deletes."""
        for obj in queryset:
            before = self.audit_document(obj)
            audit.record(actor_of(request), "delete", self.audit_subject(obj), reason_of(request), before=before)
        return super().log_deletions(request, queryset)

    def get_actions(self, request: HttpRequest) -> Any:
        """Unlike Django's, the deletion of selected rows and its entries are one transaction."""
        actions = super().get_actions(request)
        if "delete_selected" in actions:
            delete, name, description = actions["delete_selected"]
            actions["delete_selected"] = (transaction.atomic(delete), name, description)
        return actions


def reason_of(request: HttpRequest) -> str:
    """Why, as it was typed beside the button, or on the page that asked (admin_confirmation.py)."""
    return (request.POST.get(REASON) or request.POST.get("reason", "")).strip()


def plain_document(obj: Model) -> dict[str, Any]:
    """Fields and many-to-many relations of a row, without those whose names tell of a secret."""
    values = {field.name: field.value_from_object(obj) for field in obj._meta.concrete_fields}
    for relation in obj._meta.many_to_many:
        values[relation.name] = sorted(map(str, getattr(obj, relation.name).all()))
    shown = {NAMES.get(name, name): value for name, value in values.items() if not SECRET.search(name)}
    document: dict[str, Any] = json.loads(json.dumps(shown, cls=DjangoJSONEncoder))
    return document


def _before(request: HttpRequest) -> dict[tuple[type[Model], Any], Mapping[str, Any]]:
    """The documents that this request remembers, by model and primary key."""
    if not hasattr(request, "audited_before"):
        request.audited_before = {}  # type: ignore[attr-defined]
    remembered: dict[tuple[type[Model], Any], Mapping[str, Any]] = request.audited_before  # type: ignore[attr-defined]
    return remembered


def _changed_fields(message: Any) -> list[str]:
    """The labels in Django's own note on what a form changed."""
    parts = [part for note in message for part in note.values()] if isinstance(message, list) else []
    return [str(field) for part in parts for field in part.get("fields", [])]
