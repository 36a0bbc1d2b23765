"""The forms of the key pages."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from organisations_app.admin_confirmation import ReasonForm
from policies_app.durations import duration_text
from policies_app.limit_forms import SessionForm
from policies_app.models import Policy
from sessions_app import tokens
from sessions_app.keys import find_by_token
from sessions_app.models import Key, KeyPolicy

OVERLAPS = (0, 300, 3_600, 86_400, 604_800)
MOST_DAYS = 3_650


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


class ActForm(ReasonForm):
    """Of an act of key_acts.py. What it asks for beside the reason is what the act is given."""

    def acts_upon(self) -> dict[str, Any]:
        """As JSON."""
        asked = {name: value for name, value in self.cleaned_data.items() if name != "reason"}
        return {name: value.pk if isinstance(value, Model) else value for name, value in asked.items()}


class RemainingForm(ActForm):
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


class ExtendForm(ActForm):
    days = forms.IntegerField(
        label="Extend by (days)",
        min_value=1,
        max_value=MOST_DAYS,
        initial=30,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="From its end; from now, if that is past.",
    )
    field_order: Any = ["days", "reason"]


class PolicyForm(ActForm):
    """`policies` are those that the person may see: the field offers them as one types."""

    policy = forms.ModelChoiceField(
        Policy.objects.none(), widget=AutocompleteSelect(KeyPolicy._meta.get_field("policy"), admin.site)
    )
    alone = forms.BooleanField(
        label="Replace the policies that it has",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Otherwise it is applied after them, with a counter of its own (two policies are two buckets).",
    )
    field_order: Any = ["policy", "alone", "reason"]

    def __init__(self, *args: Any, policies: QuerySet[Policy], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["policy"]
        field.queryset = policies
