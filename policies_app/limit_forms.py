"""Form fields for limits, thresholds and tags: what people type, and the order in which admin pages show it."""

import json
from typing import Any, TypeVar

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model
from unfold.widgets import UnfoldAdminBigIntegerFieldWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from policies_app.limits import threshold_errors, threshold_label

# Name and text of the presets that the renewal field offers; any other number of seconds can be typed.
RENEWALS = (
    (0, "never"),
    (60, "1 minute"),
    (3_600, "1 hour"),
    (21_600, "6 hours"),
    (43_200, "12 hours"),
    (86_400, "24 hours"),
    (604_800, "7 days"),
    (2_592_000, "30 days"),
)
RATE_FIELDS = (("rate", "per"), ("throttle_interval", "throttle_retry_limit"))
QUOTA_FIELDS = ("quota_max", "quota_period", "quota_renewal_rate", "quota_anchor_day")
# Alpine.js expressions: which fields matter for the chosen period.
PERIOD_CONDITIONS = {"quota_renewal_rate": "quota_period == 'rolling'", "quota_anchor_day": "quota_period == 'month'"}


class CommaSeparated(forms.CharField):
    """A list, typed and shown with commas between its items."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("widget", UnfoldAdminTextInputWidget)
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
            raise ValidationError(message[0].upper() + message[1:] + ".")


class TagsField(CommaSeparated):
    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("help_text", "Separated by commas.")
        super().__init__(**kwargs)


class PresetSeconds(UnfoldAdminBigIntegerFieldWidget):
    """A number of seconds with the usual ones on offer."""

    template_name = "policies_app/widgets/preset_seconds.html"

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        context["widget"]["attrs"]["list"] = f"{context['widget']['attrs'].get('id', name)}-presets"
        return {**context, "presets": RENEWALS}


class ReadableEncoder(json.JSONEncoder):
    """For JSON that people edit: one member a line, letters as they are."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "ensure_ascii": False, "indent": 2})


class JsonField(forms.JSONField):
    """JSON, shown one member a line."""

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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "api" in self.fields:
            self.fields["api"].label = "API"
        if "quota_renewal_rate" in self.fields:
            renewal = self.fields["quota_renewal_rate"]
            renewal.widget = PresetSeconds()
            renewal.help_text = "For rolling periods: 60 a minute, 3600 an hour, 86400 a day. 0 never resets."


class SessionForm(LimitsForm[Row]):
    """Of a policy, key or organisation session: limits with thresholds, metadata and tags."""

    trigger_limits = ThresholdsField()
    meta_data = JsonField(label="Metadata", help_text='A JSON object, for example {"PlanID": "pro"}.')
    tags = TagsField()

    def clean_meta_data(self) -> Any:
        """An emptied field is an empty object."""
        value = self.cleaned_data["meta_data"]
        return {} if value is None else value
