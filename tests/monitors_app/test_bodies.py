"""Templates of webhook bodies: what they may say, and that what comes out is JSON, whatever goes in."""

import json

import pytest

from monitors_app import bodies, ledger
from monitors_app.models import Monitor

AWKWARD = 'quote " backslash \\ brace {{ key }} line\nend \u2028 ü \x00 </script>'


def sent(template, values=None, key="KEY"):
    known = dict.fromkeys(bodies.NAMES, "v") | (values or {})
    return bodies.with_key(bodies.render(bodies.parse(template), known), key)


def test_the_default_body_has_exactly_the_documented_members_in_order(crossing):
    event = ledger.event_of(crossing(threshold="80"))
    body = bodies.with_key(bodies.body_of(Monitor(), event), "raw-key")
    assert body.decode() == (
        '{"event":"TriggerExceeded","message":"Quota trigger reached",'
        '"org":"acme","key":"raw-key","trigger_limit":"80"}'
    )


def test_every_name_has_a_value(crossing):
    event = ledger.event_of(crossing())
    event.pk = 7
    template = json.dumps({name: f"{{{{ {name} }}}}" for name in bodies.NAMES})
    document = json.loads(bodies.with_key(bodies.body_of(Monitor(template=template), event), "raw"))
    assert document == {
        "event": "TriggerExceeded",
        "message": "Quota trigger reached",
        "org": "acme",
        "key": "raw",
        "trigger_limit": "80",
        "usage_percent": "80",
        "used": "8",
        "quota_max": "10",
        "remaining": "2",
        "period_start": "2026-09-21T14:13:20Z",
        "renews_at": "2026-09-21T14:14:20Z",
        "api": "echo",
        "alias": "My key",
        "event_id": "evt_7",
        "timestamp": "2026-09-21T14:13:21Z",
    }


def test_a_quota_that_never_renews_has_an_empty_renewal(crossing):
    assert bodies.values_of(ledger.event_of(crossing(period_end_ms=0)))["renews_at"] == ""


@pytest.mark.parametrize(("tyk", "ours"), bodies.TYK_NAMES.items())
def test_tyk_names_are_accepted(tyk, ours):
    template = json.dumps([f"{{{{{tyk}}}}}", f"{{{{ {ours} }}}}"])
    first, second = json.loads(sent(template, {ours: "value"}))
    assert first == second == ("KEY" if ours == "key" else "value")


def test_tyks_sample_template_is_the_default_body(crossing):
    sample = """{
        "event": "{{.Type}}", "message": "{{.Meta.Message}}", "org": "{{.Meta.OrgID}}",
        "key": "{{.Meta.Key}}", "trigger_limit": "{{.Meta.TriggerLimit}}"
    }"""
    event = ledger.event_of(crossing())
    assert bodies.body_of(Monitor(template=sample), event) == bodies.body_of(Monitor(), event)


@pytest.mark.parametrize("name", ["org", "alias", "key"])
def test_values_are_texts_never_json_or_templates(name):
    template = json.dumps({"a": f"<{{{{ {name} }}}}>", "n": [1, 2.5, None, True]})
    document = json.loads(sent(template, {"alias": AWKWARD, "org": AWKWARD}, key=AWKWARD))
    assert document == {"a": f"<{AWKWARD}>", "n": [1, 2.5, None, True]}


def test_a_value_cannot_smuggle_the_key_into_its_place():
    document = json.loads(sent('{"alias":"{{ alias }}"}', {"alias": bodies.KEY_MARK}, key="SECRET"))
    assert "SECRET" not in document["alias"]


def test_the_stored_body_does_not_hold_the_key_and_is_plain_ascii():
    stored = bodies.render(bodies.parse('{"k":"{{ key }}","ü":"\\ud800"}'), dict.fromkeys(bodies.NAMES, "v"))
    assert stored.isascii() and json.loads(stored)["k"] == bodies.KEY_MARK
    assert json.loads(bodies.with_key(stored, "K"))["k"] == "K"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ('{"a": "{{ nonsense }}"}', "nonsense"),
        ('{"a": "{{.Meta.Path}}"}', ".Meta.Path"),
        ('{"a": "{{.TimeStamp | as_rfc3339}}"}', "as_rfc3339"),
        ('{"a": "{{ }}"}', "unknown placeholder"),
        ('{"a": "{{ key"}', "unclosed"),
        ('{"{{ key }}": 1}', "member name"),
        ('{"a": {{ used }}}', "line 1, column"),
        ('{\n"a": 1,\n}', "line 3"),
        ('{{ if eq .Type "x"}}{}{{ end }}', "line 1"),
        ('{"a": NaN}', "NaN"),
        ('{"a": 1e999}', "JSON"),
        ("[" * 60 + "]" * 60, "nested"),
        ("[" * 20_000, "JSON"),
        ('"' + "a" * 70_000 + '"', "longer than"),
        ("{", "line 1"),
    ],
)
def test_refuses_templates_that_cannot_be_used_and_says_where(template, words):
    with pytest.raises(bodies.TemplateError, match=words.replace(".", r"\.").replace("|", r"\|")):
        bodies.parse(template)


@pytest.mark.parametrize("path", ["", "templates/monitor_template.json"])
def test_no_path_and_tyks_default_path_are_the_default_body(path):
    assert bodies.template_of("", path) == bodies.parse(bodies.DEFAULT_TEMPLATE)


@pytest.mark.parametrize("path", ["hooks/mine.json", "templates/hooks/mine.json"])
def test_files_of_the_templates_folder_are_read(path, settings, tmp_path):
    settings.BASE_DIR = tmp_path
    (tmp_path / "templates" / "hooks").mkdir(parents=True)
    (tmp_path / "templates" / "hooks" / "mine.json").write_text('{"mine": "{{ org }}"}')
    assert bodies.template_of("", path) == {"mine": "{{ org }}"}
    assert bodies.template_of('{"edited": 1}', path) == {"edited": 1}


@pytest.mark.parametrize(
    "path",
    [
        "../secret.json",
        "templates/../../secret.json",
        "/etc/passwd",
        "link.json",
        "gone.json",
        "a\x00b",
        "x" * 5000,
        ".",
    ],
)
def test_paths_outside_the_folder_and_unknown_files_are_refused(path, settings, tmp_path):
    settings.BASE_DIR = tmp_path
    (tmp_path / "templates").mkdir()
    (tmp_path / "secret.json").write_text("{}")
    (tmp_path / "templates" / "link.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(bodies.TemplateError, match="templates folder"):
        bodies.read_file(path)


@pytest.mark.parametrize(
    ("used", "quota_max", "percent"),
    [(8, 10, "80"), (1, 3, "33.33"), (99_999, 100_000, "99.99"), (12, 10, "120"), (1, 0, "0")],
)
def test_usage_percent_is_never_rounded_up(used, quota_max, percent):
    assert bodies.usage_percent(used, quota_max) == percent


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ('{\n  "a": "{{ key }}",\n  "b": "{{ trigger_limt }}"\n}', r"line 3: .*\{\{ trigger_limt \}\}.*trigger_limit"),
        ('{\n  "a": "x",\n  "b": {{ key }}\n}', "line 3, column"),
        ('{"a": "{{.Meta.Nothing}}"}', r"line 1: .*\.Meta\.Nothing"),
        ('{"a": "\\u007b{ nothing }}"}', "unknown placeholder {{ nothing }}"),
    ],
    ids=["unknown", "outside a string", "unknown to Tyk", "escaped"],
)
def test_a_bad_template_is_refused_with_its_line_and_the_placeholders_name(template, message):
    with pytest.raises(bodies.TemplateError, match=message):
        bodies.parse(template)
