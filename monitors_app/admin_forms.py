"""The form of a monitor: its two secrets are shown masked, and the mask written back keeps them (rule 7.8)."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminTextInputWidget

from monitors_app.models import Monitor
from monitors_app.monitors import MASK, METHODS, masked_header_map, monitor_errors, secret_errors
from policies_app.limit_forms import JsonField, PlainNumbers


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
                self.add_error(name, message[0].upper() + message[1:] + ".")
