"""Form fields for limits, thresholds and tags: what people type, and the order in which admin pages show it."""

import json
from typing import Any, TypeVar

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldBooleanSwitchWidget

from policies_app.limit_widgets import CUSTOM, MONTH, RENEWALS, ChipsInput, KeyValuesInput, RenewalInput
from policies_app.limits import MAX_SECONDS, limit_errors, threshold_errors, threshold_label

RATE_FIELDS = (("rate", "per"), ("throttle_interval", "throttle_retry_limit"))
QUOTA_FIELDS = ("quota_max", "resets_every")
# What stands in the database for "Quota resets every".
RENEWAL_FIELDS = ("quota_period", "quota_renewal_rate", "quota_anchor_day")
Renewal = tuple[str, int, int]


class CommaSeparated(forms.CharField):
    """A list, typed and shown with commas between its items."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("widget", ChipsInput())
        super().__init__(required=False, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(map(self.item_text, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        items = [item.strip() for item in str(super().to_python(value) or "").split(",")]
        return [self.read_item(item) for item in items if item]

    def item_text(self, item: Any) -> str:
        return str(item)

    def read_item(self, text: str) -> Any:
        return text


class ThresholdsField(CommaSeparated):
    """Percentages used, such as `90, 75, 50` (rule 7.2)."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", "Thresholds (% used)")
        kwargs.setdefault("help_text", "Descending percentages, for example 90, 75, 50. Each is told once per period.")
        kwargs.setdefault("widget", ChipsInput("percent"))
        super().__init__(**kwargs)

    def item_text(self, item: Any) -> str:
        return threshold_label(item) if isinstance(item, int | float) else str(item)

    def read_item(self, text: str) -> float | int:
        try:
            number = float(text.removesuffix("%"))
        except ValueError:
            raise ValidationError(f"{text!r} is no number; write percentages such as 90, 75, 50.") from None
        return int(number) if number.is_integer() else number

    def validate(self, value: Any) -> None:
        if message := threshold_errors(value):
            raise ValidationError(
                f"Thresholds {message}." if message.startswith("must") else f"{message.capitalize()}."
            )


class TagsField(CommaSeparated):
    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("help_text", "Separated by commas.")
        super().__init__(**kwargs)


class RenewalField(forms.MultiValueField):
    """ "Quota resets every": one of the usual periods, or any number of seconds. Its value is a Renewal."""

    widget = RenewalInput

    def __init__(self, **kwargs: Any) -> None:
        parts = (forms.ChoiceField(choices=RENEWALS), forms.IntegerField(), forms.IntegerField())
        super().__init__(fields=parts, require_all_fields=False, required=False, **kwargs)
        for part in parts[1:]:
            part.required = False
        self.label = kwargs.get("label", "Quota resets every")

    def compress(self, parts: Any) -> Renewal:
        chosen, seconds, day = parts or (RENEWALS[0][0], None, None)
        if chosen == CUSTOM and not 1 <= (seconds or 0) <= MAX_SECONDS:
            raise ValidationError(f"Say after how many seconds, 1 to {MAX_SECONDS:,}; or choose never.")
        if chosen == MONTH and day is None:
            raise ValidationError("Say on which day the month begins, 1 to 31.")
        period = "rolling" if chosen == CUSTOM or chosen.isdecimal() else chosen
        length = seconds if chosen == CUSTOM else int(chosen) if chosen.isdecimal() else 0
        return _checked(period, length, 1 if day is None else day)


def _checked(*renewal: Any) -> Renewal:
    """Raises ValidationError in the words of the rules."""
    if errors := limit_errors(dict(zip(RENEWAL_FIELDS, renewal, strict=True))):
        raise ValidationError([f"{message.capitalize()}." for message in errors.values()])
    period, seconds, day = renewal
    return period, seconds, day


class ReadableEncoder(json.JSONEncoder):
    """For JSON that people edit: one member a line, letters as they are."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "ensure_ascii": False, "indent": 2})


class JsonField(forms.JSONField):
    """JSON, shown one member a line; an object also as rows of names and values."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault(
            "widget", UnfoldAdminTextareaWidget(attrs={"rows": 6, "spellcheck": "false", "class": "tg-json"})
        )
        super().__init__(required=False, encoder=ReadableEncoder, **kwargs)


Row = TypeVar("Row", bound=Model)


class PlainNumbers(forms.ModelForm[Row]):
    """Shows 5.0 as 5."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, value in self.initial.items():
            if isinstance(value, float) and value.is_integer():
                self.initial[name] = int(value)


class LimitsForm(PlainNumbers[Row]):
    """A form of anything with limits. Rules are the model's; this only gives the fields their faces."""

    resets_every = RenewalField()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "api" in self.fields:
            self.fields["api"].label = "API"
        if "has_limit" in self.fields:
            switch = self.fields["has_limit"]
            switch.label, switch.widget = "Set per API limits and quota", UnfoldBooleanSwitchWidget()
            switch.help_text = "They replace the others on this API, with a counter of their own."
        renewal = tuple(getattr(self.instance, name) for name in RENEWAL_FIELDS)
        self.initial.setdefault("resets_every", renewal)

    def _post_clean(self) -> None:
        """The renewal goes into its three columns before the model is checked as a whole."""
        if "resets_every" in self.changed_data and (renewal := self.cleaned_data.get("resets_every")):
            for name, value in zip(RENEWAL_FIELDS, renewal, strict=True):
                setattr(self.instance, name, value)
        super()._post_clean()  # type: ignore[misc]


class SessionForm(LimitsForm[Row]):
    """Of a policy, key or organisation session: limits with thresholds, metadata and tags."""

    trigger_limits = ThresholdsField()
    meta_data = JsonField(
        label="Metadata",
        initial=dict,
        widget=KeyValuesInput(),
        help_text="Names and values that custom rate limit keys and templates refer to, such as PlanID: pro.",
    )
    tags = TagsField()

    def clean_meta_data(self) -> Any:
        """An emptied field is an empty object."""
        value = self.cleaned_data["meta_data"]
        return {} if value is None else value
