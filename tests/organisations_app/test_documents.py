"""Reading JSON: what is no JSON, what no database can keep, and what has the wrong type."""

import pytest
from django.core.exceptions import ValidationError

from organisations_app.documents import (
    MAX_DEPTH,
    DocumentError,
    MalformedDocument,
    Problem,
    Reader,
    brief,
    parse_json,
    parse_object,
    problems_of,
)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "line 1 column 1"),
        (b"{not json", "line 1 column 2"),
        (b'{"rate": NaN}', "NaN is no JSON number"),
        (b'{"rate": -Infinity}', "-Infinity"),
        (b'{"rate": 1e999}', "finite"),
        (b'{"alias": "\\u0000"}', "NUL"),
        (b'{"\\ud800": 1}', "surrogate"),
        (b"\xff\xfe", "UTF-8"),
        (b'{"rate": 1, "rate": 2}', "'rate' occurs twice"),
        (b"[" * 100_000, "deeper"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "deeper"),
        (b"9" * 5000, "malformed"),
    ],
)
def test_refuses_what_is_no_storable_json(body, words):
    with pytest.raises(MalformedDocument, match=words) as refused:
        parse_json(body)
    assert [problem.code for problem in refused.value.problems] == ["malformed"]


@pytest.mark.parametrize("body", [b"[]", b"5", b"null", b'"text"'])
def test_an_object_is_asked_for(body):
    with pytest.raises(MalformedDocument, match="must be a JSON object"):
        parse_object(body)


def test_takes_every_other_json():
    assert parse_json('{"a": [1, 2.5, "é\\u0001", null, {"b/c": true}]}'.encode()) == {
        "a": [1, 2.5, "é\x01", None, {"b/c": True}]
    }


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("text", 5),
        ("text", True),
        ("boolean", "true"),
        ("boolean", 1),
        ("texts", "one"),
        ("texts", [1]),
        ("nested", []),
        ("nested", "x"),
    ],
)
def test_a_wrong_type_is_named_with_its_pointer(method, value):
    reader = Reader({"a/b": value}, "/root")
    getattr(reader, method)("a/b")
    with pytest.raises(DocumentError) as refused:
        reader.finish()
    [problem] = refused.value.problems
    assert problem.pointer == "/root/a~1b" and problem.detail.startswith("must be")


@pytest.mark.parametrize("value", [1.5, "1", True, float("inf"), 11, -1, 10**400])
def test_a_whole_number_has_bounds(value):
    reader = Reader({"n": value})
    reader.whole("n", low=0, high=10)
    with pytest.raises(DocumentError, match="n: must be"):
        reader.finish()


def test_null_is_absent_and_all_mistakes_are_told_together():
    reader = Reader({"a": None, "b": 1, "c": {"d": 2}, "e": 3})
    assert (reader.text("a", "default"), reader.boolean("b"), reader.nested("c").text("d")) == ("default", False, "")
    assert reader.rest() == {"e": 3}
    reader.refuse_rest()
    with pytest.raises(DocumentError) as refused:
        reader.finish()
    assert [problem.pointer for problem in refused.value.problems] == ["/b", "/c/d", "/e"]


def test_djangos_errors_become_problems_where_the_member_stands():
    error = ValidationError({"listen_path": ["taken"], "__all__": ["no"]})
    assert problems_of(error, {"listen_path": "/proxy/listen_path"}) == [
        Problem("/proxy/listen_path", "taken"),
        Problem("", "no"),
    ]
    assert problems_of(ValidationError("alone")) == [Problem("", "alone")]


def test_a_value_in_a_message_is_short_and_can_be_sent():
    assert brief({"a": [1, "é"]}) == '{"a": [1, "é"]}'
    assert len(brief("x" * 1000)) == 58 and brief("\ud800").encode() == b'"\\ud800"'
