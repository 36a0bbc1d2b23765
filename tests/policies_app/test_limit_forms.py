"""What people type for limits: how often a quota renews, thresholds, tags and metadata."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.forms import modelform_factory

from policies_app.limit_forms import RenewalField, SessionForm, ThresholdsField
from policies_app.limit_widgets import RenewalInput
from policies_app.limits import Limits
from policies_app.models import Policy
from tests.factories import AcmeFactory

PERIODS = {
    "never": (("rolling", 0, 1), ["0", None, 1], "never"),
    "never, as Tyk writes it": (("rolling", -1, 1), ["0", None, 1], "never"),
    "1 hour": (("rolling", 3600, 1), ["3600", None, 1], "1 hour"),
    "30 days": (("rolling", 2_592_000, 1), ["2592000", None, 1], "30 days"),
    "custom": (("rolling", 90, 1), ["custom", 90, 1], "90 seconds"),
    "a week": (("week", 0, 1), ["week", None, 1], "calendar week"),
    "a month": (("month", 0, 15), ["month", None, 15], "calendar month from day 15"),
}


@pytest.mark.parametrize(("stored", "shown", "words"), PERIODS.values(), ids=PERIODS)
def test_a_renewal_is_shown_and_read_back(stored: tuple[str, int, int], shown: list[Any], words: str) -> None:
    field = RenewalField()
    assert RenewalInput().decompress(stored) == shown
    assert field.clean(["" if part is None else str(part) for part in shown]) == (
        stored[0],
        max(0, stored[1]),
        stored[2],
    )
    period, seconds, day = stored
    assert Policy(quota_period=period, quota_renewal_rate=seconds, quota_anchor_day=day).resets_every == words


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["custom", "", ""], "how many seconds"),
        (["custom", "0", ""], "1 to 10,000,000,000"),
        (["custom", str(10**11), ""], "1 to 10,000,000,000"),
        (["month", "", ""], "1 to 31"),
        (["month", "", "32"], "between 1 and 31"),
        (["year", "", ""], "not one of the available choices"),
    ],
)
def test_a_renewal_that_cannot_be_is_refused(typed: list[str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        RenewalField().clean(typed)


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("75, 80", "Thresholds must descend: 90, 75, 50; the 2nd, 80, is above the 1st, 75."),
        ("90, 75, 75", "Thresholds must descend: 90, 75, 50; the 3rd, 75, repeats the 2nd, 75."),
        ("90, 0", "Threshold 2 must be above 0"),
        ("many", "'many' is no number"),
    ],
)
def test_thresholds_are_refused_in_words(typed: str, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        ThresholdsField().clean(typed)
    assert refused.value.messages[0].startswith(words)


@pytest.mark.django_db
def test_a_form_writes_the_period_and_leaves_an_untouched_one_as_it_was() -> None:
    form_class = modelform_factory(Policy, SessionForm, fields=["name", "resets_every", "trigger_limits", "tags"])
    stored = Policy(organisation=AcmeFactory.create(), name="Free", quota_renewal_rate=-1)
    typed = {"name": "Free", "resets_every_0": "0", "resets_every_2": "1", "trigger_limits": "90, 75 %", "tags": "a, b"}
    untouched = form_class(typed, instance=stored)
    assert untouched.is_valid(), untouched.errors
    assert (stored.limits(), stored.trigger_limits, stored.tags) == (
        Limits(quota_renewal_rate=-1),
        [90, 75],
        ["a", "b"],
    )
    changed = form_class({**typed, "resets_every_0": "month", "resets_every_2": "15"}, instance=stored)
    assert changed.is_valid(), changed.errors
    assert stored.limits() == Limits(quota_period="month", quota_anchor_day=15)


@pytest.mark.parametrize(
    ("renewal", "chosen"), [(("rolling", 86_400, 1), "86400"), (("rolling", 77, 1), "custom"), (("week", 0, 1), "week")]
)
def test_the_page_shows_the_renewal_that_is_stored(renewal: tuple[str, int, int], chosen: str) -> None:
    """Else Save would write what the page shows instead."""
    assert f'<option value="{chosen}" selected>' in RenewalInput().render("resets_every", renewal)
