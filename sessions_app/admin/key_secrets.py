"""Raw keys in the admin: shown once in the answer to the POST that made them, and kept nowhere (rule 1.3)."""

from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from unfold.decorators import action

from organisations_app.admin_confirmation import Question, actor_of, ask, is_confirmed
from organisations_app.documents import words_of
from sessions_app import custody
from sessions_app.admin.key_forms import RotateForm
from sessions_app.admin.key_panels import page_of
from sessions_app.admin.key_selections import KeySelections
from sessions_app.key_csv import csv_answer
from sessions_app.models import Key

ROTATE_TEXT = "The key gets a new secret, shown once. Limits, usage and history stay."
ROTATE_MANY_TEXT = (
    "Each key gets a new secret. They are downloaded once, as a CSV file: keep it as carefully as the keys themselves."
)
MOST_ROTATED = 1_000


class KeySecrets(KeySelections):
    @action(description="Rotate", icon="sync", permissions=["rotate"])
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = get_object_or_404(self.get_queryset(request), pk=unquote(object_id))
        form = RotateForm(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            return self._rotated(request, key, form)
        question = Question(f"Rotate: {key}", ROTATE_TEXT, "Make new secret", page_of(key), is_danger=False)
        return ask(self, request, question, form)

    def _rotated(self, request: HttpRequest, key: Key, form: RotateForm) -> HttpResponse:
        try:
            token = self._rotate(request, key, form)
        except ValidationError as error:
            messages.error(request, words_of(error))
            return HttpResponseRedirect(page_of(key))
        return self.show_secret(request, key, token, f"New secret of {key}")

    @transaction.atomic
    def _rotate(self, request: HttpRequest, key: Key, form: RotateForm) -> str:
        token = custody.rotate_key(key, form.cleaned_data["overlap_seconds"], actor_of(request), form.given)
        self.log_change(request, key, f"Rotated.{form.suffix()}")
        return token

    @action(description="Rotate …", permissions=["rotate"])
    def rotate_selected(self, request: HttpRequest, queryset: QuerySet[Key]) -> HttpResponseBase | None:
        """At once only: a job could hand the secrets to nobody."""
        form = RotateForm(request.POST if is_confirmed(request) else None)
        if self.size_of(request, queryset, MOST_ROTATED) > MOST_ROTATED:
            messages.error(request, f"At most {MOST_ROTATED:,} keys are rotated together; select fewer.")
            return None
        if form.is_valid():
            rows = [self._row(request, key, form) for key in queryset]
            return csv_answer("new-secrets.csv", ("id", "alias", "new key", "problem"), rows)
        return self.ask_about_selected(request, queryset, "rotate_selected", "Rotate", ROTATE_MANY_TEXT, form, False)

    def _row(self, request: HttpRequest, key: Key, form: RotateForm) -> tuple[str, str, str, str]:
        try:
            return key.pk, key.alias, self._rotate(request, key, form), ""
        except ValidationError as error:
            return key.pk, key.alias, "", words_of(error)

    def show_secret(self, request: HttpRequest, key: Key, token: str, title: str) -> TemplateResponse:
        """The answer to the POST itself: the raw key is in no message, no session and no redirect."""
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.model._meta,
            "key": key,
            "token": token,
            "page": page_of(key),
            "opens_nothing": not key.access.exists() and not key.key_policies.exists(),
        }
        return TemplateResponse(request, "sessions_app/admin/secret.html", context)
