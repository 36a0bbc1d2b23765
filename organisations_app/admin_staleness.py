"""A form that somebody else overtook is refused: both versions are shown, nothing that was typed is lost, and saving it
once more is a decision.

The form carries, signed, the document that it was filled from. When the object says something else by the time that the
form comes back, the difference is shown, and the form now carries what the object says today.
"""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.core import signing
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse

from organisations_app.admin_audit import AuditedAdmin
from organisations_app.audit_lines import lines
from organisations_app.models import AuditEntry

SEEN = "seen_version"
SALT = "organisations_app.admin_staleness"
REFUSED = (
    "Nothing was saved: somebody changed this after you opened it. What you typed still stands below; press Save again "
    "to put it over theirs."
)


class StaleSafeAdmin(AuditedAdmin):
    """`audit_document` says what a version is."""

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        now = self.remembered(request, obj) if obj is not None and change else None
        if now is None or SEEN not in request.POST:
            return form
        request.overtaken_by = _overtaken(request, now)  # type: ignore[attr-defined]
        return type(form.__name__, (_Refusing, form), {}) if request.overtaken_by else form  # type: ignore[attr-defined]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        answer: HttpResponse = super().changeform_view(request, object_id, form_url, extra_context)
        if object_id is not None and hasattr(answer, "context_data") and answer.context_data.get("original"):
            answer.context_data |= self._versions(request, answer.context_data["original"])
        return answer

    def _versions(self, request: HttpRequest, shown: Any) -> dict[str, Any]:
        """For the template: the version that the form is (or is to be put) upon, and who came in between."""
        if not self.has_change_permission(request, shown):
            return {}
        version = self.remembered(request, shown) or self.audit_document(shown)
        overtaken = getattr(request, "overtaken_by", [])
        context = {"seen_version": signing.dumps(version, salt=SALT, compress=True)}
        return context | ({"overtaken_by": overtaken, "overtaken_in": self._last_entry(shown)} if overtaken else {})

    def _last_entry(self, obj: Any) -> AuditEntry | None:
        subject = self.audit_subject(obj)
        return AuditEntry.objects.filter(subject_kind=subject.kind, subject_id=subject.id).order_by("-at").first()


class _Refusing(forms.BaseForm):
    def clean(self) -> Any:
        raise ValidationError(REFUSED, code="overtaken")


def _overtaken(request: HttpRequest, now: Mapping[str, Any]) -> list[Any]:
    """What changed since the form was filled, member by member. A token that is not ours is as old as can be."""
    try:
        seen = signing.loads(request.POST[SEEN], salt=SALT)
    except signing.BadSignature:
        seen = {}
    return lines(seen, now)
