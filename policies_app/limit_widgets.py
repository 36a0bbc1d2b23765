"""Widgets of limit forms: plain inputs that scripts of ours make comfortable, and that work without them, too."""

from typing import Any

from django import forms
from django.forms.widgets import Media
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

CUSTOM = "custom"
MONTH = "month"
# What "Quota resets every" offers: seconds of a rolling period, or a calendar period (rules 2.3, 2.4).
RENEWALS = (
    ("0", "never"),
    ("3600", "1 hour"),
    ("21600", "6 hours"),
    ("43200", "12 hours"),
    ("86400", "24 hours"),
    ("604800", "7 days"),
    ("2592000", "30 days"),
    ("day", "calendar day"),
    ("week", "calendar week, from Monday"),
    (MONTH, "calendar month"),
    (CUSTOM, "custom …"),
)
OFFERED = {value for value, _ in RENEWALS}


class RenewalInput(forms.MultiWidget):
    """How often a quota renews. Its value is (period, seconds, day on which a month begins)."""

    template_name = "policies_app/widgets/renewal.html"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        seconds = UnfoldAdminIntegerFieldWidget(attrs={"min": 1, "aria-label": "Seconds of the custom period"})
        day = UnfoldAdminIntegerFieldWidget(attrs={"min": 1, "max": 31, "aria-label": "Day on which the month begins"})
        super().__init__([UnfoldAdminSelectWidget(choices=RENEWALS), seconds, day], attrs)

    @property
    def media(self) -> Media:
        return super().media + Media(js=["tollgate/renewal.js"])

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        """A Renewal is a tuple, which Django would take for the parts; what was posted is a list of them."""
        return super().get_context(name, self.decompress(value) if isinstance(value, tuple) else value, attrs)

    def decompress(self, value: Any) -> list[Any]:
        if not value:
            return ["0", None, 1]
        period, seconds, day = value
        if period != "rolling":
            return [period, None, day]
        chosen = str(max(0, seconds))
        return [chosen, None, day] if chosen in OFFERED else [CUSTOM, seconds, day]

    def id_for_label(self, id_: str) -> str:
        return f"{id_}_0" if id_ else id_


class ChipsInput(UnfoldAdminTextInputWidget):
    """Items between commas, shown as chips. `kind` is "text", or "percent" for thresholds, checked as typed."""

    def __init__(self, kind: str = "text", attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs={"data-chips": kind, "autocomplete": "off", **(attrs or {})})

    class Media:
        js = ["tollgate/chips.js"]


class KeyValuesInput(UnfoldAdminTextareaWidget):
    """A JSON object, edited as rows of names and values with the JSON underneath."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        fixed = {"data-key-values": "", "rows": 6, "spellcheck": "false", "class": "tg-json"}
        super().__init__(attrs={**fixed, **(attrs or {})})

    class Media:
        js = ["tollgate/key-values.js"]
