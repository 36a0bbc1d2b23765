"""The form of a monitor: its two secrets are shown masked, and a mask that comes back keeps what is stored (rule 7.8)."""

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from monitors_app.models import Monitor
from monitors_app.monitors import MASK, METHODS, masked_header_map, monitor_errors, secret_errors
from policies_app.limit_forms import PlainNumbers


class MonitorForm(PlainNumbers):
    header_map = forms.JSONField(
        label="Headers",
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
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
        headers = masked_header_map(self.instance)
        self.initial["header_map"] = headers or None
        self.initial["signing_secret"] = MASK if self.instance.signing_secret_sealed else ""
        if "header_map" in self.fields:
            self.fields["method"].choices = [(method, method) for method in METHODS]  # type: ignore[attr-defined]
            self.fields["header_map"].encoder = ReadableEncoder  # type: ignore[attr-defined]

    def clean_header_map(self) -> dict[str, Any]:
        headers = self.cleaned_data["header_map"]
        if headers is not None and not isinstance(headers, dict):
            raise ValidationError('Must be a JSON object such as {"X-Team": "billing"}.')
        return headers or {}

    def _post_clean(self) -> None:
        """The same checks as everywhere else, at the fields they belong to."""
        super()._post_clean()
        written = self.cleaned_data.get("header_map"), self.cleaned_data.get("signing_secret")
        problems = monitor_errors(self.instance) | secret_errors(self.instance, *written)
        for name, message in problems.items():
            if name in self.fields and name not in self.errors:
                self.add_error(name, message[0].upper() + message[1:] + ".")


class ReadableEncoder(json.JSONEncoder):
    """Leaves the mask and other letters as they are, one member a line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "ensure_ascii": False, "indent": 2})
