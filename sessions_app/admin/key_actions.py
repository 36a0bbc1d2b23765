"""What can be done with a key beside editing it: revoke, rotate, reset. Each asks first and is in the history."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.admin import ModelAdmin
from unfold.decorators import action
from unfold.enums import ActionVariant

from organisations_app.admin_confirmation import Question, ReasonForm, actor_of, ask, is_confirmed
from sessions_app import corrections, custody
from sessions_app.admin.key_forms import RemainingForm, RotateForm
from sessions_app.engine.types import StoreUnavailable
from sessions_app.models import Key

REVOKE_TEXT = "From the next request on this key is refused. Its history stays. A revoked key cannot be brought back."
RESET_TEXT = "Usage becomes 0, thresholds can be told again, and a new period begins with the next request."
REMAINING_TEXT = "For credits and migrations: the period goes on, thresholds that were told stay told."
ROTATE_TEXT = "The key gets a new secret, shown once. Limits, usage and history stay."


class KeyActions(ModelAdmin):
    """Actions of the key page and of the list of keys."""

    actions_detail = ["reset_quota", "set_remaining", "rotate", "revoke"]
    actions = ["reset_selected", "revoke_selected"]

    # --- one key ------------------------------------------------------------------------------------------------------

    @action(description="Revoke", icon="block", permissions=["change"], variant=ActionVariant.DANGER)
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = get_object_or_404(Key, pk=unquote(object_id))
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            self.revoke_keys(request, [key], form)
            return HttpResponseRedirect(self.page_of(key))
        question = Question(f"Revoke {key}?", REVOKE_TEXT, "Revoke key", self.page_of(key))
        return ask(self, request, question, form)

    @action(description="Rotate", icon="sync", permissions=["change"])
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = get_object_or_404(Key, pk=unquote(object_id))
        form = RotateForm(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            return self._rotated(request, key, form)
        question = Question(f"Rotate {key}?", ROTATE_TEXT, "Make new secret", self.page_of(key), is_danger=False)
        return ask(self, request, question, form)

    def _rotated(self, request: HttpRequest, key: Key, form: RotateForm) -> HttpResponse:
        try:
            with transaction.atomic():
                overlap_seconds = form.cleaned_data["overlap_seconds"]
                token = custody.rotate_key(key, overlap_seconds, actor_of(request), form.given)
                self.log_change(request, key, f"Rotated.{form.suffix()}")
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return HttpResponseRedirect(self.page_of(key))
        return self.show_secret(request, key, token, f"New secret of {key}")

    @action(description="Reset quota", icon="restart_alt", permissions=["change"])
    def reset_quota(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = get_object_or_404(Key, pk=unquote(object_id))
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            self.reset_keys(request, [key], form)
            return HttpResponseRedirect(self.page_of(key))
        question = Question(f"Reset the quota of {key}?", RESET_TEXT, "Reset quota", self.page_of(key), is_danger=False)
        return ask(self, request, question, form)

    @action(description="Set remaining", icon="tune", permissions=["change"])
    def set_remaining(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = get_object_or_404(Key, pk=unquote(object_id))
        form = RemainingForm(request.POST if is_confirmed(request) else None)
        if form.is_valid() and self._remaining_is_set(request, key, form):
            return HttpResponseRedirect(self.page_of(key))
        title = f"Set what remains of the quota of {key}"
        question = Question(title, REMAINING_TEXT, "Set remaining", self.page_of(key), is_danger=False)
        return ask(self, request, question, form)

    def _remaining_is_set(self, request: HttpRequest, key: Key, form: RemainingForm) -> bool:
        """False if the number is refused; the form then says why."""
        remaining = form.cleaned_data["quota_remaining"]
        try:
            before = corrections.set_remaining(key, remaining, actor_of(request), form.given)
        except ValidationError as error:
            form.add_error("quota_remaining", error.messages)
            return False
        except StoreUnavailable:
            form.add_error(None, "The counter store does not answer; nothing was changed. Try again.")
            return False
        self.log_change(request, key, f"Remaining requests set to {remaining:,}; were {before:,}.{form.suffix()}")
        messages.success(request, f"Remaining requests: {remaining:,} (were {before:,}).")
        return True

    # --- selected keys ------------------------------------------------------------------------------------------------

    @action(description="Revoke selected keys", permissions=["change"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[Key]) -> HttpResponse | None:
        return self._ask_for_all(request, queryset, "revoke_selected", "Revoke", REVOKE_TEXT, self.revoke_keys)

    @action(description="Reset quota of selected keys", permissions=["change"])
    def reset_selected(self, request: HttpRequest, queryset: QuerySet[Key]) -> HttpResponse | None:
        return self._ask_for_all(request, queryset, "reset_selected", "Reset quota", RESET_TEXT, self.reset_keys)

    def _ask_for_all(
        self,
        request: HttpRequest,
        queryset: QuerySet[Key],
        name: str,
        verb: str,
        text: str,
        act: Callable[[HttpRequest, list[Key], ReasonForm], None],
    ) -> HttpResponse | None:
        keys = list(queryset)
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        if form.is_valid():
            act(request, keys, form)
            return None
        back = reverse("admin:sessions_app_key_changelist")
        title = f"{verb}: {len(keys)} key{'' if len(keys) == 1 else 's'}"
        return ask(self, request, Question(title, text, verb, back, keys, name, verb == "Revoke"), form)

    # --- doing --------------------------------------------------------------------------------------------------------

    def revoke_keys(self, request: HttpRequest, keys: list[Key], form: ReasonForm) -> None:
        with transaction.atomic():
            for key in keys:
                custody.revoke_key(key, actor_of(request), form.given)
                self.log_change(request, key, f"Revoked.{form.suffix()}")
        messages.success(request, f"Revoked: {_names(keys)}. The next request with it is refused.")

    def reset_keys(self, request: HttpRequest, keys: list[Key], form: ReasonForm) -> None:
        try:
            for key in keys:
                used = corrections.reset_quota(key, actor_of(request), form.given)
                self.log_change(request, key, f"Quota reset; {used:,} requests had been used.{form.suffix()}")
        except StoreUnavailable:
            messages.error(request, "The counter store does not answer. Try again; what was reset stays reset.")
            return
        messages.success(request, f"Quota reset: {_names(keys)}.")

    def page_of(self, key: Key) -> str:
        return reverse("admin:sessions_app_key_change", args=[quote(key.pk)])

    def show_secret(self, request: HttpRequest, key: Key, token: str, title: str) -> TemplateResponse:
        """The answer to the POST itself: the raw key is in no message, no session and no redirect (rule 1.3)."""
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.model._meta,
            "key": key,
            "token": token,
            "page": self.page_of(key),
            "opens_nothing": not key.access.exists() and not key.key_policies.exists(),
        }
        response = TemplateResponse(request, "sessions_app/admin/secret.html", context)
        response["Cache-Control"] = "no-store"
        return response


def _names(keys: list[Key]) -> str:
    shown = ", ".join(map(str, keys[:5]))
    return f"{shown} and {len(keys) - 5} more" if len(keys) > 5 else shown
