"""`/api/v1/monitors/gateway`: Tyk's section in and out, secrets masked, mistakes named."""

from typing import Any

import pytest

from monitors_app.models import Monitor
from monitors_app.monitors import MASK, header_map
from monitors_app.tyk import monitor_from_tyk
from organisations_app.models import ConfigVersion
from organisations_app.sealing import unseal
from tests.administration import pointers

pytestmark = pytest.mark.django_db

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
SECTION: dict[str, Any] = {
    "enable_trigger_monitors": True,
    "configuration": {
        "method": "PUT",
        "target_path": "https://hooks.example/quota",
        "template_path": "templates/monitor_template.json",
        "header_map": {"x-tyk-monitor-secret": "12345"},
        "event_timeout": 10,
    },
    "global_trigger_limit": 80.0,
    "monitor_user_keys": True,
    "monitor_org_keys": False,
}


def test_the_section_comes_back_with_its_secrets_masked(rest):
    made = rest.done("PUT", "/monitors/gateway", SECTION)
    assert made["signing_secret"].startswith("whsec_")
    shown = rest.get("/monitors/gateway")
    expected = {**SECTION["configuration"], "template": "", "header_map": {"x-tyk-monitor-secret": MASK}}
    assert shown == {
        **SECTION,
        "configuration": expected,
        "key_format": "raw",
        "signing_secret": MASK,
        "disabled_reason": "",
    }


def test_what_was_read_can_be_written_back(rest):
    rest.done("PUT", "/monitors/gateway", {**SECTION, "signing_secret": SECRET, "key_format": "hash"})
    shown = rest.get("/monitors/gateway")
    assert rest.done("PUT", "/monitors/gateway", shown) == shown
    monitor = Monitor.objects.get()
    assert header_map(monitor) == {"x-tyk-monitor-secret": "12345"} and unseal(monitor.signing_secret_sealed) == SECRET


def test_a_put_replaces_all_but_the_secret(rest):
    rest.done("PUT", "/monitors/gateway", {**SECTION, "signing_secret": SECRET})
    before = ConfigVersion.objects.get(scope="gateway").number
    rest.done("PUT", "/monitors/gateway", {})
    monitor = Monitor.objects.get()
    assert (monitor.is_enabled, monitor.target_path, monitor.method, header_map(monitor)) == (False, "", "POST", {})
    assert unseal(monitor.signing_secret_sealed) == SECRET
    assert ConfigVersion.objects.get(scope="gateway").number == before + 1


def test_before_the_first_write_there_is_one_that_is_off(rest):
    shown = rest.get("/monitors/gateway")
    assert (shown["enable_trigger_monitors"], shown["signing_secret"]) == (False, "")


@pytest.mark.parametrize("section", [{"configuration": {"template": '{"a": 1}'}}, {"template": '{"a": 1}'}])
def test_a_template_may_stand_in_either_place(rest, section):
    assert rest.done("PUT", "/monitors/gateway", section)["configuration"]["template"] == '{"a": 1}'


def test_the_import_keeps_what_tyk_ignores():
    draft = monitor_from_tyk({"configuration": {"id": "1", "other": 2, "method": "put"}, "more": 3})
    assert draft.extra == {"more": 3, "configuration": {"id": "1", "other": 2}} and draft.values["method"] == "PUT"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"enable_trigger_monitors": "yes"}, "/enable_trigger_monitors"),
        ({"global_trigger_limit": 120}, "/global_trigger_limit"),
        ({"global_trigger_limit": "80"}, "/global_trigger_limit"),
        ({"monitor_user_keys": 1}, "/monitor_user_keys"),
        ({"key_format": "clear"}, "/key_format"),
        ({"signing_secret": "secret"}, "/signing_secret"),
        ({"signing_secret": 5}, "/signing_secret"),
        ({"monitor_keys": True}, "/monitor_keys"),
        ({"configuration": []}, "/configuration"),
        ({"configuration": {"method": "BREW"}}, "/configuration/method"),
        ({"configuration": {"method": 5}}, "/configuration/method"),
        ({"configuration": {"target_path": "nowhere"}}, "/configuration/target_path"),
        ({"configuration": {"event_timeout": -1}}, "/configuration/event_timeout"),
        ({"configuration": {"event_timeout": ""}}, "/configuration/event_timeout"),
        ({"configuration": {"header_map": ["x"]}}, "/configuration/header_map"),
        ({"configuration": {"header_map": {"x": 5}}}, "/configuration/header_map"),
        ({"configuration": {"template_path": "../settings.py"}}, "/configuration/template_path"),
        ({"configuration": {"template": '{"a": "{{ nothing }}"}'}}, "/configuration/template"),
        ({"configuration": {"headers": {}}}, "/configuration/headers"),
    ],
)
def test_a_wrong_section_is_refused_where_it_is_wrong_and_changes_nothing(rest, changes, pointer):
    rest.done("PUT", "/monitors/gateway", SECTION)
    before = list(Monitor.objects.values()), list(ConfigVersion.objects.values())
    code, problem = rest.refused("PUT", "/monitors/gateway", {**SECTION, **changes})
    assert (code, pointers(problem)) == (400, [pointer])
    assert (list(Monitor.objects.values()), list(ConfigVersion.objects.values())) == before


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_there_is_always_exactly_one(rest, method):
    assert rest.refused(method, "/monitors/gateway", {})[0] == 405


def test_gateway_stands_for_the_id_of_the_gateways_monitor(rest):
    rest.done("PUT", "/monitors/gateway", SECTION)
    assert rest.done("POST", "/monitors/gateway/rotate-secret")["is_gateway"]
    code, problem = rest.refused("DELETE", "/monitors/gateway/rotate-secret")
    assert code == 405, problem
    assert rest.ask("POST", "/monitors/gateway/test").status_code != 404
