"""Acts on the keys that are selected in the list: at once when they are few, else as a job with a page of its own."""

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from unfold.decorators import action

from organisations_app.admin_confirmation import LISTED, Question, ReasonForm, actor_of, ask, is_confirmed
from organisations_app.admin_jobs import JobPages
from organisations_app.admin_lists import Amount
from organisations_app.documents import DocumentError, words_of
from sessions_app import key_jobs
from sessions_app.engine.types import StoreUnavailable
from sessions_app.key_acts import ACTS
from sessions_app.key_csv import MOST_EXPORTED, export
from sessions_app.models import Key

MOST_COUNTED = 100_000  # before somebody is asked
AT_ONCE = 200  # more would keep the browser waiting for longer than a few seconds
STORE_DOWN = "The counter store does not answer; nothing was changed. Try again."
EXPORT_TEXT = "A CSV file with what the list shows, and with live usage. It holds no secrets."
MOST_TOLD = 5


class KeySelections(JobPages):
    def has_reset_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("sessions_app.reset_key_quota"))

    def has_set_remaining_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("sessions_app.set_remaining_quota"))

    def has_rotate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("sessions_app.rotate_key"))

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("sessions_app.revoke_key"))

    def get_actions(self, request: HttpRequest) -> Any:
        """Keys are revoked, which keeps their history; a single one may be deleted on its page."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def size_of(self, request: HttpRequest, keys: QuerySet[Key], most: int) -> Amount:
        """How many keys are meant; counted only where all that match are, and no further than `most`."""
        if not _is_across(request):
            return Amount.exactly(len(_selected(request)))
        size = keys.order_by().values("pk")[: most + 1].count()
        return Amount.exactly(size) if size <= most else Amount.more_than(most)

    def ask_about_selected(
        self,
        request: HttpRequest,
        keys: QuerySet[Key],
        name: str,
        verb: str,
        text: str,
        form: Form,
        is_danger: bool,
    ) -> HttpResponse:
        size, back = self.size_of(request, keys, MOST_COUNTED), reverse("admin:sessions_app_key_changelist")
        across = _is_across(request)
        listed = list(keys[:LISTED] if across else keys)
        title = f"{verb}: {size} key{'' if size == 1 else 's'}"
        question = Question(title, text, verb, back, listed, name, is_danger, size if across else 0)
        return ask(self, request, question, form)

    def act_on_selected(
        self, request: HttpRequest, keys: QuerySet[Key], act: str, reason: str, given: Mapping[str, Any]
    ) -> HttpResponse | None:
        if self.size_of(request, keys, AT_ONCE) > AT_ONCE:
            return HttpResponseRedirect(self.page_of_job(key_jobs.start(act, keys, actor_of(request), reason, given)))
        self._act_at_once(request, list(keys), act, reason, given)
        return None

    def _act_at_once(
        self, request: HttpRequest, keys: list[Key], act: str, reason: str, given: Mapping[str, Any]
    ) -> None:
        done, refused = [], []
        for key in keys:
            try:
                words = ACTS[act].do_one(key, actor_of(request), reason, given)
                self.log_change(request, key, f"{ACTS[act].done}: {words}. {reason}".rstrip())
                done.append(key)
            except (ValidationError, DocumentError) as error:
                refused.append(f"{key}: {words_of(error)}")
            except StoreUnavailable:
                messages.error(request, f"The counter store does not answer; {len(done):,} were done before.")
                return
        if done:
            messages.success(request, f"{ACTS[act].done}: {_listed(list(map(str, done)))}.")
        if refused:
            messages.error(request, f"Not possible: {_listed(refused)}")

    @action(description="Export as CSV …", permissions=["view"])
    def export_selected(self, request: HttpRequest, queryset: QuerySet[Key]) -> HttpResponseBase | None:
        form = ReasonForm(request.POST if is_confirmed(request) else None)
        size = self.size_of(request, queryset, MOST_EXPORTED)
        if size > MOST_EXPORTED:
            messages.error(request, f"At most {MOST_EXPORTED:,} keys are exported together, not {size}: filter more.")
            return None
        if form.is_valid():
            return export(queryset, actor_of(request), form.given)
        return self.ask_about_selected(request, queryset, "export_selected", "Export", EXPORT_TEXT, form, False)


def _is_across(request: HttpRequest) -> bool:
    return request.POST.get("select_across") == "1"


def _selected(request: HttpRequest) -> list[str]:
    return request.POST.getlist("_selected_action")


def _listed(texts: list[str]) -> str:
    shown = ", ".join(texts[:MOST_TOLD])
    return f"{shown} and {len(texts) - MOST_TOLD:,} more" if len(texts) > MOST_TOLD else shown
