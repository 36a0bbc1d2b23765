"""What the report says will be different, told from the data alone."""

import pytest

from tests.tyk_migration.conftest import API, POLICY, RIGHTS, SESSION

pytestmark = pytest.mark.django_db
PATTERN = "$tyk_meta.DeveloperID|$tyk_meta.PlanID"
WATCHED = {
    "enable_trigger_monitors": True,
    "configuration": {},
    "global_trigger_limit": 80,
    "monitor_user_keys": True,
    "monitor_org_keys": True,
}


def version_with(**paths):
    return {"version_data": {"not_versioned": True, "versions": {"Default": {"extended_paths": paths}}}}


def limited(**limit):
    return {"orders": {**RIGHTS["orders"], "limit": limit}}


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"use_keyless": True}, "keyless in Tyk"),
        ({"enable_jwt": True}, "JSON web tokens"),
        ({"auth": {"use_param": True}}, "keys in the query"),
        ({"version_data": {"not_versioned": False, "versions": {"v1": {}}}}, "versions of an API"),
        (version_with(ignored=["/x"]), "ignored paths need no key"),
        (version_with(white_list=["/x"]), "allowed and refused paths"),
        (version_with(cache=["/x"]), "cached"),
        ({"global_rate_limit": {"rate": 5, "per": 1}}, "rate limit of the whole API"),
        ({"disable_quota": True}, "off for organisations, too"),
        ({"domain": "api.example"}, "domains"),
        ({"enable_ip_whitelisting": True}, "allowed addresses"),
    ],
)  # fmt: skip
def test_of_an_api(desk, members, words):
    report = desk.take(apis=desk.file("api.json", API | members))
    [who] = report.differs(words)
    assert who.startswith("apis orders (")


def test_an_ordinary_api_behaves_the_same(desk):
    assert not desk.take(apis=desk.file("api.json", API)).report.differences


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"active": False}, "active false now blocks"),
        ({"quota_max": 0}, "becomes -1"),
        ({"quota_renewal_rate": 0}, "never renews is monitored"),
        ({"monitor": {"trigger_limits": [90, 75]}}, "trigger limit 90 above the global 80 now fires"),
        ({}, "answers 429 with Retry-After"),
        ({}, "fires once per period"),
        ({"meta_data": {"rate_limit_pattern": PATTERN}}, "inside their organisation"),
        ({"access_rights": {"orders": {"allowed_urls": [{"url": "/x", "methods": ["GET"]}]}}}, "allowed_urls"),
        ({"access_rights": {"orders": {"versions": ["v2"]}}}, "versions in access rights"),
        ({"access_rights": {"orders": {"endpoints": [{"path": "/x"}]}}}, "single endpoints"),
        ({"access_rights": limited(quota_max=-5, rate=1)}, "becomes -1"),
        ({"partitions": {"complexity": True, "acl": True}}, "depth of GraphQL"),
    ],
)
def test_of_a_policy(desk, members, words):
    conf = desk.file("tyk.conf", {"monitor": WATCHED})
    report = desk.take(conf=conf, policies=desk.file("p.json", {"gold": POLICY | members}))
    [who] = report.differs(words)
    assert who.startswith("policies gold (")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"quota_max": 0}, "becomes -1"),
        ({"quota_renewal_rate": -1}, "never renews is monitored"),
        ({"monitor": {"trigger_limits": [95, 80.5, 75]}}, "trigger limit 80.5 above the global 80 now fires"),
        ({"meta_data": {"rate_limit_pattern": PATTERN}}, "counts for itself"),
        ({"meta_data": {"rate_limit_pattern": "all-$tyk_meta.Team"}}, "counts for itself"),
        ({"meta_data": {"rate_limit_pattern": PATTERN, "DeveloperID": True}}, "counts as that word"),
        ({"meta_data": {"rate_limit_pattern": PATTERN, "DeveloperID": "a|b"}}, "told apart from the separator"),
        ({"meta_data": {"policies": [{"id": "inline"}]}}, "policies inside meta_data"),
        ({"apply_policies": ["gold", "gone"]}, "does not exist: it is skipped"),
        ({"apply_policies": ["gone"]}, "it opens nothing"),
        ({"apply_policies": ["gold", "foreign"]}, "another organisation"),
        ({"apply_policies": ["gold", "silver"]}, "several policies"),
        ({"apply_policies": ["gold"], "is_inactive": True}, "is_inactive on a key with policies"),
        ({"apply_policies": ["off"]}, "policies is inactive"),
        ({"throttle_interval": 1, "throttle_retry_limit": 3}, "costs one unit"),
        ({"expires": 1_000_000}, "expired already"),
        ({"hmac_enabled": True}, "HMAC signature"),
        ({"basic_auth_data": {"password": "x"}}, "password"),
        ({"post_expiry_action": "delete"}, "kept until somebody deletes"),
        ({"smoothing": {"enabled": True}}, "not smoothed"),
    ],
)
def test_of_a_key(orders, members, words):
    others = {
        "silver": POLICY,
        "foreign": POLICY | {"org_id": "globex"},
        "off": POLICY | {"active": False},
    }
    report = orders.take(
        conf=orders.file("tyk.conf", {"monitor": WATCHED}),
        policies=orders.file("others.json", others),
        keys=orders.lines("keys.jsonl", [{"key": "raw-key-1", "session": SESSION | members}]),
    )
    assert [who for who in report.differs(words) if who.startswith("key ")], report.report.differences.keys()


def test_a_plain_key_differs_in_nothing_but_its_denial(orders):
    report = orders.keys({"key": "raw-key-1", "session": SESSION | {"quota_remaining": 100}})
    assert [what for what in report.report.differences if "429" not in what] == []


def test_answers_as_tyk_need_no_word_about_429(orders, settings):
    settings.GATEWAY_RESPONSES = "tyk"
    report = orders.keys({"key": "raw-key-1", "session": SESSION | {"quota_remaining": 100}})
    assert not report.report.differences


def test_a_weak_hash_is_told_with_its_odds(orders):
    rows = [{"key": f"{number:08x}", "session": SESSION} for number in range(4)]
    report = orders.keys(*rows, hashed="murmur32")
    assert len(report.differs("of 4 such keys, one of about 1,073,741,824 guesses opens one")) == 4


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"quota_max": 10}, "enforced from now on"),
        ({"quota_max": 10}, "without a valid key no longer use up"),
        ({"rate": 5, "per": 1}, "answers 429 (Tyk: 403)"),
        ({"access_rights": RIGHTS}, "access rights of an organisation"),
    ],
)
def test_of_an_organisation(desk, members, words):
    conf, orgs = desk.file("tyk.conf", {}), desk.lines("orgs.jsonl", [{"key": "orgkey.acme", "session": members}])
    assert desk.take(conf=conf, orgs=orgs).differs(words)


def test_organisations_that_tyk_enforces_are_nothing_new(desk):
    conf = desk.file("tyk.conf", {"enforce_org_quotas": True})
    orgs = desk.lines("orgs.jsonl", [{"key": "acme", "session": {"quota_max": 10}}])
    assert not desk.take(conf=conf, orgs=orgs).differs("enforced from now on")


def test_what_has_no_effect_is_counted_with_the_reason(orders):
    rows = [{"key": f"raw-key-{number}", "session": SESSION | {"novelty": 1, "allowance": 0}} for number in range(30)]
    [ignored] = orders.keys(*rows).json["ignored"]
    assert (ignored["member"], ignored["count"], len(ignored["examples"])) == ("novelty", 30, 20)
