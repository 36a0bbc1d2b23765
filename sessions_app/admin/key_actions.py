"""What can be done with keys beside editing them, one or many. Each act asks first, with room for a reason, and is kept
in the audit and in the history.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from unfold.decorators import action
from unfold.enums import ActionVariant

from organisations_app.admin_confirmation import Question, ReasonForm, actor_of, ask, is_confirmed
from organisations_app.documents import DocumentError, words_of
from organisations_app.tenancy import living
from policies_app.models import Policy
from sessions_app.admin.key_forms import ActForm, ExtendForm, PolicyForm, RemainingForm
from sessions_app.admin.key_panels import page_of
from sessions_app.admin.key_secrets import KeySecrets
from sessions_app.admin.key_selections import STORE_DOWN
from sessions_app.engine.types import StoreUnavailable
from sessions_app.key_acts import ACTS
from sessions_app.models import Key

REVOKE_TEXT = "From the next request on this key is refused. Its history stays. A revoked key cannot be brought back."
RESET_TEXT = "Usage becomes 0, thresholds can be told again, and a new period begins with the next request."
REMAINING_TEXT = "For credits and migrations: the period goes on, thresholds that were told stay told."
BLOCK_TEXT = "From the next request on this key is refused, until it is unblocked. Its secret and its usage stay."
UNBLOCK_TEXT = "From the next request on this key works again, with the usage that it had."
EXTEND_TEXT = "The key works longer. Its secret, limits and usage stay."
ASSIGN_TEXT = "From the next request on the key has the limits and access rights of this policy."


@dataclass(frozen=True, slots=True)
class Asking:
    """An act of key_acts.py as people meet it: `permission` is what it takes, `button` stands on the page of a key."""

    act: str
    verb: str
    text: str
    icon: str
    permission: str = "change"
    form: type[ActForm] = ActForm
    is_danger: bool = False
    button: str = ""


RESET = Asking("reset-quota", "Reset quota", RESET_TEXT, "restart_alt", "reset")
REMAINING = Asking("set-remaining", "Set remaining", REMAINING_TEXT, "tune", "set_remaining", RemainingForm)
REVOKE = Asking("revoke", "Revoke", REVOKE_TEXT, "block", "revoke", is_danger=True, button="Revoke key")
BLOCK = Asking("block", "Block", BLOCK_TEXT, "pause_circle", is_danger=True)
UNBLOCK = Asking("unblock", "Unblock", UNBLOCK_TEXT, "play_circle")
EXTEND = Asking("extend", "Extend", EXTEND_TEXT, "more_time", form=ExtendForm)
ASSIGN = Asking("assign-policy", "Assign policy", ASSIGN_TEXT, "sell", form=PolicyForm)


def _of_one(name: str, asking: Asking) -> Any:
    """The action of a key's page."""

    def do(self: "KeyActions", request: HttpRequest, object_id: str) -> HttpResponse:
        key = get_object_or_404(self.get_queryset(request), pk=unquote(object_id))
        form = self.act_form(request, asking)
        if form.is_valid() and self._is_done(request, key, asking, form):
            return HttpResponseRedirect(page_of(key))
        title = f"{asking.verb}: {key}"
        question = Question(title, asking.text, asking.button or asking.verb, page_of(key), is_danger=asking.is_danger)
        return ask(self, request, question, form)

    variant = ActionVariant.DANGER if asking.act == "revoke" else ActionVariant.DEFAULT
    return _named(name, do, asking, icon=asking.icon, variant=variant)


def _of_selected(name: str, asking: Asking) -> Any:
    """The same for the keys that are selected in the list."""

    def do(self: "KeyActions", request: HttpRequest, queryset: QuerySet[Key]) -> HttpResponse | None:
        form = self.act_form(request, asking)
        if form.is_valid():
            return self.act_on_selected(request, queryset, asking.act, form.given, form.acts_upon())
        return self.ask_about_selected(request, queryset, name, asking.verb, asking.text, form, asking.is_danger)

    return _named(name, do, asking, description=f"{asking.verb} …")


def _named(name: str, do: Callable[..., Any], asking: Asking, **how: Any) -> Any:
    do.__name__ = name
    how.setdefault("description", asking.verb)
    return action(permissions=[asking.permission], **how)(do)


class KeyActions(KeySecrets):
    actions_detail = [
        "reset_quota",
        "set_remaining",
        "rotate",
        {"title": "More", "icon": "more_horiz", "items": ["extend", "assign_policy", "block", "unblock"]},
        "revoke",
    ]
    actions = [
        "reset_selected",
        "set_remaining_selected",
        "rotate_selected",
        "extend_selected",
        "assign_policy_selected",
        "block_selected",
        "unblock_selected",
        "revoke_selected",
        "export_selected",
    ]

    reset_quota = _of_one("reset_quota", RESET)
    set_remaining = _of_one("set_remaining", REMAINING)
    extend = _of_one("extend", EXTEND)
    assign_policy = _of_one("assign_policy", ASSIGN)
    block = _of_one("block", BLOCK)
    unblock = _of_one("unblock", UNBLOCK)
    revoke = _of_one("revoke", REVOKE)

    reset_selected = _of_selected("reset_selected", RESET)
    set_remaining_selected = _of_selected("set_remaining_selected", REMAINING)
    extend_selected = _of_selected("extend_selected", EXTEND)
    assign_policy_selected = _of_selected("assign_policy_selected", ASSIGN)
    block_selected = _of_selected("block_selected", BLOCK)
    unblock_selected = _of_selected("unblock_selected", UNBLOCK)
    revoke_selected = _of_selected("revoke_selected", REVOKE)

    def act_form(self, request: HttpRequest, asking: Asking) -> ActForm:
        data = request.POST if is_confirmed(request) else None
        if asking.form is PolicyForm:
            return PolicyForm(data, policies=self._policies(request))
        return asking.form(data)

    def _policies(self, request: HttpRequest) -> QuerySet[Policy]:
        """Those that this person sees and may choose."""
        policies: QuerySet[Policy] = self.admin_site._registry[Policy].get_queryset(request)
        return living(policies)

    def _is_done(self, request: HttpRequest, key: Key, asking: Asking, form: ActForm) -> bool:
        """False if it is refused; the form then says why."""
        act = ACTS[asking.act]
        try:
            words = act.do_one(key, actor_of(request), form.given, form.acts_upon())
        except (ValidationError, DocumentError) as error:
            _tell(form, error)
            return False
        except StoreUnavailable:
            form.add_error(None, STORE_DOWN)
            return False
        self.log_change(request, key, f"{act.done}: {words}.{form.suffix()}")
        messages.success(request, f"{act.done}: {key}; {words}.")
        return True


def _tell(form: ReasonForm, error: ValidationError | DocumentError) -> None:
    """At the field that it names, if the form has it."""
    if (
        isinstance(error, ValidationError)
        and hasattr(error, "error_dict")
        and set(error.error_dict) <= set(form.fields)
    ):
        form.add_error(None, error)
    else:
        form.add_error(None, words_of(error))
