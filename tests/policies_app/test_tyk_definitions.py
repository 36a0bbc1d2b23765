"""API definitions and policies between Tyk's JSON and ours."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from organisations_app.documents import DocumentError
from organisations_app.models import Organisation
from policies_app.drafts import save_api_draft, save_policy_draft
from policies_app.limits import Limits
from policies_app.models import Api, Policy
from policies_app.tyk import api_from_tyk, api_to_tyk, policy_from_tyk, policy_to_tyk

SAMPLES = Path(settings.BASE_DIR).parent / "shared" / "tyk" / "samples"
API: dict[str, Any] = {
    "api_id": "orders",
    "name": "Orders",
    "org_id": "acme",
    "active": True,
    "proxy": {"listen_path": "/orders/", "target_url": "http://upstream.example/v1", "strip_listen_path": True},
}
POLICY: dict[str, Any] = {
    "id": "gold",
    "name": "Gold",
    "org_id": "acme",
    "rate": 5,
    "per": 1,
    "quota_max": 100,
    "quota_renewal_rate": 60,
    "throttle_interval": 0.5,
    "throttle_retry_limit": 3,
    "access_rights": {
        "orders": {"api_id": "orders", "api_name": "Orders", "versions": ["Default"], "limit": {}},
        "users": {
            "api_id": "users",
            "api_name": "",
            "allowed_urls": [{"url": "/me", "methods": ["GET"]}],
            "limit": {
                "quota_max": 7, "quota_renewal_rate": 0, "rate": 0, "per": 0,
                "throttle_interval": 0, "throttle_retry_limit": 0, "max_query_depth": 3,
            },
        },
    },
    "active": True,
    "is_inactive": False,
    "partitions": {"quota": True, "rate_limit": False, "acl": True, "per_api": False, "complexity": True},
    "key_expires_in": 3600,
    "meta_data": {"rate_limit_pattern": "$tyk_meta.DeveloperID"},
    "tags": ["paid"],
    "monitor": {"trigger_limits": [90, 12.5]},
    "hmac_enabled": False,
}  # fmt: skip


def changed(document, path, value):
    """A copy with the member at `path` (a/b/c) replaced."""
    copy = json.loads(json.dumps(document))
    *parents, last = path.split("/")
    inner = copy
    for name in parents:
        inner = inner[name]
    inner[last] = value
    return copy


def refused(read, document, **options) -> dict[str, str]:
    with pytest.raises(DocumentError) as error:
        read(document, **options)
    return {problem.pointer: problem.detail for problem in error.value.problems}


# --- APIs -------------------------------------------------------------------------------------------------------------


def test_an_api_needs_only_what_tyk_needs():
    draft = api_from_tyk(API)
    assert (draft.id, draft.organisation_id, draft.listen_path, draft.strip_listen_path) == (
        "orders",
        "acme",
        "/orders/",
        True,
    )
    assert draft.is_active and not draft.extra and draft.auth_header_name == ""


@pytest.mark.django_db
def test_an_api_comes_back_as_it_was_written():
    document = {
        **API,
        "auth": {"auth_header_name": "X-Custom", "use_cookie": True},
        "proxy": {**API["proxy"], "preserve_host_header": True},
        "disable_quota": True,
        "disable_rate_limit": False,
        "on_store_failure": "closed",
        "version_data": {"not_versioned": True},
    }
    assert api_to_tyk(save_api_draft(api_from_tyk(document))) == document


@pytest.mark.parametrize("name", ["gold~v2", "_gold", "5f2a", "a.b:c-d"])
def test_ids_are_what_tyk_allows(name):
    assert policy_from_tyk(changed(POLICY, "id", name)).id == name


@pytest.mark.parametrize(
    ("path", "value", "pointer", "words"),
    [
        ("proxy/listen_path", None, "/proxy/listen_path", "required"),
        ("proxy/listen_path", "orders", "/proxy/listen_path", "begins and ends with /"),
        ("proxy/listen_path", "/admin/", "/proxy/listen_path", "reserved"),
        ("proxy/listen_path", "/tyk", "/proxy/listen_path", "reserved"),
        ("proxy/listen_path", "/a/../b/", "/proxy/listen_path", "segments"),
        ("proxy/listen_path", "/" + "x" * 300, "/proxy/listen_path", "at most"),
        ("proxy/target_url", "ftp://upstream", "/proxy/target_url", "no usable target"),
        ("proxy/target_url", "http://[", "/proxy/target_url", "no usable target"),
        ("proxy/strip_listen_path", "yes", "/proxy/strip_listen_path", "true or false"),
        ("proxy", [], "/proxy", "must be a JSON object"),
        ("org_id", None, "/org_id", "required"),
        ("org_id", "two words", "/org_id", "An id is"),
        ("api_id", "a/b", "/api_id", "An id is"),
        ("api_id", 5, "/api_id", "must be a text"),
        ("name", "x" * 201, "/name", "at most 200"),
        ("active", "true", "/active", "true or false"),
        ("auth", {"auth_header_name": "two words"}, "/auth/auth_header_name", "name of an HTTP header"),
        ("on_store_failure", "maybe", "/on_store_failure", "open or closed"),
    ],
)
def test_a_wrong_api_is_refused_with_pointer_and_reason(path, value, pointer, words):
    assert words in refused(api_from_tyk, changed(API, path, value))[pointer]


def test_a_listen_path_may_lack_its_closing_slash():
    assert api_from_tyk(changed(API, "proxy/listen_path", "/orders")).listen_path == "/orders/"


# --- policies ---------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_policy_comes_back_as_it_was_written():
    Api.objects.create(
        id="orders", organisation=Organisation.objects.create(id="acme"), name="Orders", listen_path="/o/"
    )
    policy = save_policy_draft(policy_from_tyk(POLICY))
    assert policy_to_tyk(policy, policy.access.all(), {"orders": "Orders"}) == POLICY


def test_a_policy_is_read_into_our_words():
    draft = policy_from_tyk(POLICY)
    assert draft.limits == Limits(100, 60, rate=5, per=1, throttle_interval=0.5, throttle_retry_limit=3)
    assert draft.partitions == {"quota", "acl"}
    assert list(draft.trigger_limits) == [90, 12.5]
    assert [(right.api_id, right.limits) for right in draft.rights] == [("orders", None), ("users", Limits(7))]


@pytest.mark.parametrize("maximum", [0, -1, -5, None])
def test_tyks_quota_max_of_0_or_less_or_none_is_unlimited(maximum):
    assert policy_from_tyk(changed(POLICY, "quota_max", maximum)).limits.quota_max == -1
    assert policy_from_tyk(changed(POLICY, "access_rights/users/limit/quota_max", maximum)).limits.quota_max == 100


def test_the_rest_api_refuses_a_quota_of_0_and_unknown_members():
    document = {name: value for name, value in POLICY.items() if name not in ("active", "hmac_enabled")}
    document["partitions"] = {"quota": True}
    assert policy_from_tyk(document, strict=True).limits.quota_max == 100
    assert "use -1" in refused(policy_from_tyk, {**document, "quota_max": 0}, strict=True)["/quota_max"]
    wrong = {**document, "quotamax": 5, "monitor": {"trigger_limit": []}}
    assert set(refused(policy_from_tyk, wrong, strict=True)) == {"/quotamax", "/monitor/trigger_limit"}
    wrong = changed(document, "access_rights/orders", {"limits": {"quota_max": 1}})
    assert set(refused(policy_from_tyk, wrong, strict=True)) == {"/access_rights/orders/limits"}


@pytest.mark.parametrize(
    ("limit", "own"),
    [
        (None, None),
        ({}, None),
        ({"quota_max": 0, "rate": 0, "per": 0, "quota_remaining": 9, "quota_renews": 9}, None),
        ({"quota_max": -1}, Limits()),
        ({"rate": 3, "per": 1}, Limits(rate=3, per=1)),
        ({"quota_max": 5, "quota_period": "month", "quota_anchor_day": 15}, Limits(5, 0, "month", 15)),
    ],
)
def test_a_right_has_limits_of_its_own_when_one_number_is_not_0(limit, own):
    [right] = policy_from_tyk({"org_id": "acme", "access_rights": {"a": {"limit": limit}}}).rights
    assert right.limits == own


@pytest.mark.parametrize(
    ("path", "value", "pointer", "words"),
    [
        ("quota_max", "5", "/quota_max", "whole number"),
        ("quota_max", True, "/quota_max", "whole number"),
        ("quota_max", 1.5, "/quota_max", "whole number"),
        ("quota_max", 10**30, "/quota_max", "between"),
        ("rate", "fast", "/rate", "must be a number"),
        ("rate", float("nan"), "/rate", "must be a number"),
        ("per", [], "/per", "must be a number"),
        ("quota_period", "year", "/quota_period", "one of rolling"),
        ("monitor/trigger_limits", [50, 80], "/monitor/trigger_limits", "the 2nd, 80"),
        ("monitor/trigger_limits", [120], "/monitor/trigger_limits", "threshold 1"),
        ("monitor/trigger_limits", 80, "/monitor/trigger_limits", "list of percentages"),
        ("monitor", [80], "/monitor", "must be a JSON object"),
        ("partitions/per_api", True, "/partitions", "cannot stand with"),
        ("partitions/quota", "yes", "/partitions/quota", "true or false"),
        ("meta_data/rate_limit_pattern", "$tyk_meta.", "/meta_data/rate_limit_pattern", "no reference"),
        ("meta_data", [], "/meta_data", "must be a JSON object"),
        ("tags", "paid", "/tags", "list of texts"),
        ("key_expires_in", 10**12, "/key_expires_in", "between"),
        ("access_rights", [], "/access_rights", "must be a JSON object"),
        ("access_rights/orders", "all", "/access_rights/orders", "must be a JSON object"),
        ("access_rights/orders/api_id", "users", "/access_rights/orders/api_id", "another API"),
        ("access_rights/users/limit/rate", "1", "/access_rights/users/limit/rate", "must be a number"),
        ("id", "no spaces", "/id", "An id is"),
        ("id", ".", "/id", "begins with"),
    ],
)
def test_a_wrong_policy_is_refused_with_pointer_and_reason(path, value, pointer, words):
    assert words in refused(policy_from_tyk, changed(POLICY, path, value))[pointer]


def test_every_mistake_is_told_at_once():
    wrong = {"quota_max": "x", "tags": 5, "access_rights": {"a b": {"limit": {"per": "x"}}}}
    assert set(refused(policy_from_tyk, wrong)) == {
        "/quota_max", "/tags", "/org_id", "/access_rights/a b", "/access_rights/a b/limit/per",
    }  # fmt: skip


@pytest.mark.django_db
def test_tyks_active_false_is_inactive_and_stays_the_member_to_change():
    policy = save_policy_draft(policy_from_tyk({**POLICY, "active": False}))
    shown = policy_to_tyk(policy, [])
    assert (policy.is_inactive, shown["active"], shown["is_inactive"]) == (True, False, False)
    assert not policy_from_tyk({**shown, "active": True}).is_inactive


@pytest.mark.parametrize("identifier", ["5ead7120575961000181867e", {"$oid": "5ead7120575961000181867e"}])
def test_mongodbs_id_names_a_policy_without_one(identifier):
    document = {**POLICY, "_id": identifier, "id": ""}
    assert policy_from_tyk(document).id == "5ead7120575961000181867e"


@pytest.mark.django_db
def test_saving_again_replaces_the_rights():
    draft = policy_from_tyk(POLICY)
    save_policy_draft(draft)
    save_policy_draft(replace(draft, rights=draft.rights[:1]))
    assert [right.api_id for right in Policy.objects.get().access.all()] == ["orders"]


# --- Tyk's own files --------------------------------------------------------------------------------------------------

needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="Tyk's sample files are not beside this checkout")
REFUSED_SAMPLES = {"per_api_and_partitions", "per_api_and_some_partitions"}


@needs_samples
@pytest.mark.parametrize("file", ["app_sample.json", "jq.json", "quickstart.json"])
@pytest.mark.django_db
def test_tyks_sample_apis_come_back_with_all_their_members(file):
    document = json.loads((SAMPLES / "apps" / file).read_text())
    shown = api_to_tyk(save_api_draft(api_from_tyk(document)))
    assert {name: shown[name] for name in document} == document


@needs_samples
@pytest.mark.django_db
def test_tyks_sample_policies_come_back_with_all_their_members():
    for file in ("policies.json", "testdata-policies.json"):
        for name, document in json.loads((SAMPLES / "policies" / file).read_text()).items():
            if name in REFUSED_SAMPLES:
                assert "/partitions" in refused(policy_from_tyk, document, policy_id=name, organisation_id="acme")
            else:
                check_round_trip(document, name)


def check_round_trip(document, name):
    policy = save_policy_draft(policy_from_tyk(document, policy_id=name, organisation_id="acme"))
    shown = policy_to_tyk(policy, policy.access.all())
    first = policy_from_tyk(document, policy_id=name, organisation_id="acme")
    again = policy_from_tyk(shown)
    assert replace(again, name=first.name, rights=(), extra={}) == replace(first, rights=(), extra={})
    assert [(right.api_id, right.limits) for right in again.rights] == [
        (right.api_id, right.limits) for right in first.rights
    ]
    members = set(document) - {"access_rights", "partitions", "quota_renews"}
    assert {member: shown[member] for member in members} == {member: document[member] for member in members}
