"""The forms of a monitor: its two secrets are shown masked, and the mask written back keeps them (rule 7.8)."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse_lazy
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from monitors_app.bodies import DEFAULT_TEMPLATE, NAMES
from monitors_app.models import Monitor
from monitors_app.monitors import (
    MASK,
    METHODS,
    SECRET_OVERLAP_SECONDS,
    masked_header_map,
    monitor_errors,
    secret_errors,
)
from organisations_app.admin_confirmation import ReasonForm
from policies_app.limit_forms import JsonField, PlainNumbers

OVERLAPS = (
    (0, "ends now"),
    (3600, "works 1 hour more"),
    (SECRET_OVERLAP_SECONDS, "works 24 hours more"),
    (7 * 86400, "works 7 days more"),
    (30 * 86400, "works 30 days more"),
)


class TemplateInput(UnfoldAdminTextareaWidget):
    """A JSON template. A script adds a preview on a sample event, and says what is wrong as it is typed."""

    def __init__(self) -> None:
        super().__init__(
            attrs={
                "rows": 9,
                "spellcheck": "false",
                "class": "tg-json",
                "placeholder": DEFAULT_TEMPLATE,
                "data-template-names": " ".join(NAMES),
                "data-preview-url": reverse_lazy("admin:monitors_app_monitor_preview"),
            }
        )

    class Media:
        js = ["tollgate/template-editor.js"]


class MonitorForm(PlainNumbers[Monitor]):
    header_map = JsonField(
        label="Headers",
        help_text=f'A JSON object, sent with each webhook: {{"X-Team": "billing"}}. {MASK} keeps a stored value.',
    )
    signing_secret = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="whsec_ and base64, for the Standard Webhooks signature. Left empty or masked, the stored one stays; "
        "if there is none, one is made and shown once.",
    )

    class Meta:
        model = Monitor
        fields: list[str] = []
        widgets = {"template": TemplateInput}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["header_map"] = masked_header_map(self.instance)
        self.initial["signing_secret"] = MASK if self.instance.signing_secret_sealed else ""
        if "method" in self.fields:
            self.fields["method"].choices = [(method, method) for method in METHODS]  # type: ignore[attr-defined]

    def clean_header_map(self) -> dict[str, Any]:
        headers = self.cleaned_data["header_map"]
        if headers is not None and not isinstance(headers, dict):
            raise ValidationError('Must be a JSON object such as {"X-Team": "billing"}.')
        return headers or {}

    def _post_clean(self) -> None:
        """The same checks as everywhere else, at the fields they belong to."""
        super()._post_clean()  # type: ignore[misc]  # Django has it, its stubs do not
        written = self.cleaned_data.get("header_map"), self.cleaned_data.get("signing_secret")
        problems = monitor_errors(self.instance) | secret_errors(self.instance, *written)
        for name, message in problems.items():
            if name in self.fields and name not in self.errors:
                self.add_error(name, sentence(message))


class RotationForm(ReasonForm):
    overlap_seconds = forms.TypedChoiceField(
        label="The old secret",
        choices=OVERLAPS,
        coerce=int,
        initial=SECRET_OVERLAP_SECONDS,
        widget=UnfoldAdminSelectWidget,
        help_text="Until then webhooks carry both signatures, so that the receiver can change over without losing one.",
    )
    field_order = ["overlap_seconds", "reason"]


def sentence(message: str) -> str:
    """A message that follows a field's name, as a sentence of its own."""
    return f"{message[0].upper()}{message[1:]}."
