"""tyk.conf: what is taken of it and what is not."""

import pytest

from monitors_app.monitors import gateway_monitor, header_map
from organisations_app.models import ConfigVersion
from tests.tyk_migration.conftest import SAMPLES, needs_samples
from tyk_migration.importing import Unreadable

pytestmark = pytest.mark.django_db
MONITOR = {
    "enable_trigger_monitors": True,
    "configuration": {
        "method": "POST",
        "target_path": "https://hooks.example/quota",
        "template_path": "templates/monitor_template.json",
        "header_map": {"X-Secret": "s3cret"},
        "event_timeout": 10,
    },
    "global_trigger_limit": 80.0,
    "monitor_user_keys": True,
    "monitor_org_keys": True,
}
TYKS_TEMPLATE = '{"event": "{{.Type}}", "who": "{{.Meta.Key}}"}'


def conf(desk, **members):
    return desk.file("tyk.conf", members)


def monitor_with(**configuration):
    return MONITOR | {"configuration": MONITOR["configuration"] | configuration}


def test_the_monitor_section_becomes_the_gateway_monitor(desk):
    first = desk.take(conf=conf(desk, monitor=MONITOR))
    monitor = gateway_monitor()
    assert first.counts("monitor") == {"changed": 1}
    assert (monitor.is_enabled, monitor.target_path, monitor.global_trigger_limit) == (
        True,
        "https://hooks.example/quota",
        80,
    )
    assert header_map(monitor) == {"X-Secret": "s3cret"} and monitor.event_timeout == 10
    assert any("whsec_" in note for note in first.report.notes)


def test_importing_it_again_changes_nothing(desk):
    desk.take(conf=conf(desk, monitor=MONITOR))
    before = ConfigVersion.objects.get(scope="gateway").number
    again = desk.take(conf=conf(desk, monitor=MONITOR))
    assert again.counts("monitor") == {"unchanged": 1}
    assert ConfigVersion.objects.get(scope="gateway").number == before
    assert "s3cret" not in str(again.json)


def test_without_a_monitor_section_the_monitor_is_left_alone(desk):
    desk.take(conf=conf(desk, monitor=MONITOR))
    assert "monitor" not in desk.take(conf=conf(desk, listen_port=8080)).json["kinds"]
    assert gateway_monitor().is_enabled


def test_every_member_is_told_and_the_secret_is_never_shown(desk):
    report = desk.take(conf=conf(desk, secret="352d20ee", enforce_org_quotas=True, hash_keys=True, novelty=1)).json
    told = {each["name"]: each["taken"] for each in report["settings"]}
    assert told == {"secret": False, "enforce_org_quotas": True, "hash_keys": True, "novelty": False}
    assert all(each["why"] for each in report["settings"]) and "352d20ee" not in str(report)


def test_a_template_beside_tyk_conf_comes_along(desk):
    desk.file("templates/mine.json", TYKS_TEMPLATE)
    desk.take(conf=conf(desk, monitor=monitor_with(template_path="/opt/tyk/templates/mine.json")))
    assert gateway_monitor().template == TYKS_TEMPLATE


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (monitor_with(template_path="templates/nowhere.json"), "/configuration/template_path: .*nowhere.json"),
        (MONITOR | {"configuration": 5}, "/configuration: must be a JSON object"),
        (7, "must be a JSON object"),
    ],
)
def test_a_monitor_that_cannot_be_read_changes_nothing(desk, section, words):
    with pytest.raises(Unreadable, match=words):
        desk.take(conf=conf(desk, monitor=section))
    assert not gateway_monitor().is_enabled


def test_a_monitor_with_a_wrong_value_is_refused_with_its_pointer(desk):
    report = desk.take(conf=conf(desk, monitor=MONITOR | {"global_trigger_limit": 120}))
    assert report.counts("monitor") == {"refused": 1}
    assert "#/monitor/global_trigger_limit" in report.reasons[0]


def test_a_masked_header_without_a_stored_value_is_left_out_and_told(desk):
    report = desk.take(conf=conf(desk, monitor=monitor_with(header_map={"X-Secret": "••••••", "X-Other": "o"})))
    assert header_map(gateway_monitor()) == {"X-Other": "o"}
    assert any("X-Secret" in note for note in report.report.notes)


# --- Tyk's own files --------------------------------------------------------------------------------------------------


@needs_samples
@pytest.mark.parametrize("name", ["tyk.conf.example", "tyk.standalone.conf"])
def test_tyks_sample_files_are_taken(desk, name):
    report = desk.take(conf=SAMPLES / name)
    assert not report.report.refused and len(report.report.settings) > 15


@needs_samples
def test_an_install_template_is_refused_with_file_line_and_reason(desk):
    with pytest.raises(Unreadable, match=r"tyk.with_dash.conf: no JSON at line 2 column 18: Expecting value"):
        desk.take(conf=SAMPLES / "tyk.with_dash.conf")


@needs_samples
def test_tyks_monitor_template_is_the_default(desk):
    desk.file("templates/monitor_template.json", (SAMPLES / "templates" / "monitor_template.json").read_text())
    desk.take(conf=conf(desk, monitor=MONITOR))
    assert (gateway_monitor().template, gateway_monitor().template_path) == ("", "templates/monitor_template.json")


@needs_samples
def test_a_template_with_functions_is_refused_with_its_line(desk):
    desk.file("default_webhook.json", (SAMPLES / "templates" / "default_webhook.json").read_text())
    section = monitor_with(template_path="templates/default_webhook.json")
    with pytest.raises(Unreadable, match=r"/configuration/template_path: .*line 1"):
        desk.take(conf=conf(desk, monitor=section))
