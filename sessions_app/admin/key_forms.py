"""The forms of the key pages."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from organisations_app.admin_confirmation import ReasonForm
from policies_app.durations import duration_text
from policies_app.limit_forms import SessionForm
from sessions_app import tokens
from sessions_app.keys import find_by_token
from sessions_app.models import Key

OVERLAPS = (0, 300, 3_600, 86_400, 604_800)


class KeyForm(SessionForm[Key]):
    """A key. `custom_key` is only asked for when it is made; it is never part of a history entry."""

    custom_key = forms.CharField(
        required=False,
        strip=False,
        max_length=tokens.MAX_BYTES,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="For a key that exists elsewhere already. Leave it empty to have one made.",
    )

    class Meta:
        model = Key
        fields: list[str] = []

    def clean_custom_key(self) -> str:
        token: str = self.cleaned_data["custom_key"]
        if token and (message := tokens.token_error(token)):
            raise ValidationError(message)
        if token and find_by_token(token) is not None:
            raise ValidationError("This key exists already.")
        return token


class RemainingForm(ReasonForm):
    """For the key-level quota."""

    quota_remaining = forms.IntegerField(
        label="Remaining requests",
        min_value=0,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="0 to the quota's maximum.",
    )
    field_order: Any = ["quota_remaining", "reason"]


class RotateForm(ReasonForm):
    overlap_seconds = forms.TypedChoiceField(
        label="Old key works on for",
        coerce=int,
        choices=[(seconds, duration_text(seconds) if seconds else "not at all") for seconds in OVERLAPS],
        initial=86_400,
        widget=UnfoldAdminSelectWidget,
        help_text="Usage, limits and history stay: it is the same key with a new secret.",
    )
    field_order: Any = ["overlap_seconds", "reason"]
