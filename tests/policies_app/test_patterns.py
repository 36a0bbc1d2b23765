"""Custom rate limit keys (section 5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies_app.patterns import PatternError, parse

SUBJECTS = {
    "one reference": ("$tyk_meta.DeveloperID", {"DeveloperID": "ada"}, "ada"),
    "alias": ("$meta.DeveloperID", {"DeveloperID": "ada"}, "ada"),
    "two parts": ("$tyk_meta.a|$tyk_meta.b", {"a": 7, "b": "gold"}, "7|gold"),
    "one part empty": ("$tyk_meta.a|$tyk_meta.b", {"a": 7}, "7|"),
    "all empty is the credential": ("$tyk_meta.a|$tyk_meta.b", {}, None),
    "all empty beside a literal is the credential": ("team-$tyk_meta.a", {"a": None}, None),
    "literal": ("everyone", {}, "everyone"),
    "literal around": ("team-$tyk_meta.a|x", {"a": "red"}, "team-red|x"),
    "longest match": ("$tyk_meta.Dev|$tyk_meta.DeveloperID", {"Dev": "d", "DeveloperID": "ada"}, "d|ada"),
    "dots belong to the name": ("$tyk_meta.a.b", {"a": {"b": "no"}, "a.b": "flat"}, "flat"),
    "escapes the separator": ("$tyk_meta.a|$tyk_meta.b", {"a": "a|b", "b": "c"}, "a\\|b|c"),
    "escapes the escape": ("$tyk_meta.a", {"a": "x\\"}, "x\\\\"),
    "never expands a value": ("$tyk_meta.a|$tyk_meta.b", {"a": "$tyk_meta.b", "b": "v"}, "$tyk_meta.b|v"),
    "whole float": ("$tyk_meta.a", {"a": 12.0}, "12"),
    "fraction": ("$tyk_meta.a", {"a": 12.5}, "12.5"),
    "every digit of a fraction": ("$tyk_meta.a", {"a": 0.30000000000000004}, "0.30000000000000004"),
    "small fraction": ("$tyk_meta.a", {"a": 1e-7}, "0.0000001"),
    "exponent of a whole number": ("$tyk_meta.a", {"a": 1e21}, "1000000000000000000000"),
    "truth": ("$tyk_meta.a", {"a": True}, "true"),
    "list": ("$tyk_meta.a", {"a": ["x", 2, False]}, "x,2,false"),
    "object is empty": ("$tyk_meta.a", {"a": {"x": 1}}, None),
    "price is no reference": ("cost $5|$tyk_meta.a", {"a": "x"}, "cost $5|x"),
}


@pytest.mark.parametrize(("text", "meta_data", "subject"), SUBJECTS.values(), ids=SUBJECTS.keys())
def test_subject(text, meta_data, subject):
    assert parse(text).subject(meta_data) == subject


@pytest.mark.parametrize(
    "text",
    ["$tyk_meta.", "$tyk_meta.|x", "$tyk_context.remote_addr", "$secret_env.X", "a|$foo.bar", 7, ["$tyk_meta.a"]],
)
def test_refuses_references_that_mean_nothing(text):
    with pytest.raises(PatternError, match="rate_limit_pattern"):
        parse(text)


@pytest.mark.parametrize("text", ["", None])
def test_no_pattern(text):
    assert parse(text) is None


@given(st.text(), st.text(), st.text(), st.text())
def test_different_values_never_share_a_subject(a, b, c, d):
    pattern = parse("$tyk_meta.a|$tyk_meta.b")
    first, second = pattern.subject({"a": a, "b": b}), pattern.subject({"a": c, "b": d})
    assert (first == second) == ((a, b) == (c, d)) or None in (first, second)
