"""A page that asks before an admin action is done, with room for a reason. Actions run on POST only."""

from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest
from django.template.response import TemplateResponse
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextInputWidget

from organisations_app.audit import Actor

CONFIRMED = "confirmed"  # the POST member that tells the answer from the question
LISTED = 20


class ReasonForm(forms.Form):
    reason = forms.CharField(
        required=False, max_length=200, widget=UnfoldAdminTextInputWidget, help_text="Kept in the history. Optional."
    )

    @property
    def given(self) -> str:
        reason: str = self.cleaned_data["reason"].strip()
        return reason

    def suffix(self) -> str:
        """For the end of a history entry."""
        return f" Reason: {self.given}" if self.given else ""


@dataclass(frozen=True)
class Question:
    """What the page asks. `objects` are listed; `action` is the name of a bulk action that the answer returns to.

    `total` is given when all that match are meant, of which `objects` are only the first.
    """

    title: str
    text: str
    button: str
    back_url: str
    objects: list[Any] = field(default_factory=list)
    action: str = ""
    is_danger: bool = True
    total: int = 0

    @property
    def unlisted(self) -> int:
        """How many of the objects the page does not name."""
        return len(self.objects) - len(self.objects[:LISTED])


def actor_of(request: HttpRequest) -> Actor:
    """As the audit names who is logged in."""
    return Actor.person(request.user.get_username())


def is_confirmed(request: HttpRequest) -> bool:
    return request.method == "POST" and CONFIRMED in request.POST


def ask(admin: ModelAdmin, request: HttpRequest, question: Question, form: forms.Form) -> TemplateResponse:
    context = {
        **admin.admin_site.each_context(request),
        "title": question.title,
        "opts": admin.model._meta,
        "question": question,
        "form": form,
        "confirmed": CONFIRMED,
        "checkbox_name": ACTION_CHECKBOX_NAME,
        "selected": _selected(question) if question.action else [],
        "listed": question.objects[:LISTED],
    }
    return TemplateResponse(request, "organisations_app/admin/confirm.html", context)


def _selected(question: Question) -> list[str]:
    """Django looks at "all that match" only when something is selected, too: one is enough."""
    objects = question.objects[:1] if question.total else question.objects
    return [str(obj.pk) for obj in objects]
