"""Session objects between Tyk's JSON and ours: what is read, what is stored, and what a key's policies make of it."""

from datetime import UTC, datetime

import pytest

from organisations_app.documents import DocumentError
from policies_app.limits import Limits
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app import drafts
from sessions_app.documents import computed_documents, stored_documents
from sessions_app.models import Key, OrgSession
from sessions_app.terms import holders_of
from sessions_app.tyk import org_session_from_tyk, org_session_to_tyk, session_from_tyk
from sessions_app.usage import QuotaUsage
from tests.factories import AcmeFactory

SESSION = {
    "org_id": "acme",
    "alias": "me@example.com",
    "rate": 5,
    "per": 1,
    "quota_max": 100,
    "quota_renewal_rate": 60,
    "throttle_interval": -1,
    "throttle_retry_limit": -1,
    "apply_policies": [],
    "access_rights": {"a": {"api_id": "a", "api_name": "A", "versions": ["Default"], "limit": {}}},
    "is_inactive": False,
    "expires": 4_000_000_000,
    "meta_data": {"DeveloperID": 7},
    "tags": ["x"],
    "monitor": {"trigger_limits": [80, 50]},
    "hmac_enabled": False,
    "basic_auth_data": {"password": ""},
}


def usage(scope: str, maximum: int, used: int, **more) -> QuotaUsage:
    values = {"api_ids": (), "period_seconds": 60, "renews_at": 1234, "shared": False, **more}
    return QuotaUsage(scope=scope, max=maximum, used=used, remaining=max(0, maximum - used), **values)


def refused(read, *arguments, **options):
    with pytest.raises(DocumentError) as error:
        read(*arguments, **options)
    return {problem.pointer: problem.detail for problem in error.value.problems}


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_session_is_read_into_our_words():
    draft = session_from_tyk(SESSION)
    assert draft.limits == Limits(100, 60, rate=5, per=1, throttle_interval=-1, throttle_retry_limit=-1)
    assert draft.expires_at == datetime.fromtimestamp(4_000_000_000, UTC)
    assert draft.extra == {"hmac_enabled": False, "basic_auth_data": {"password": ""}}
    assert draft.has_access and not session_from_tyk({"org_id": "acme"}).has_access


@pytest.mark.parametrize("seconds", [0, -1, None])
def test_expires_0_or_less_is_never(seconds):
    assert session_from_tyk({**SESSION, "expires": seconds}).expires_at is None


def test_the_older_policy_member_counts_only_without_a_list():
    assert session_from_tyk({"org_id": "acme", "apply_policy_id": "p"}).policies == ("p",)
    both = {"org_id": "acme", "apply_policy_id": "p", "apply_policies": ["q", "r", "q"]}
    assert session_from_tyk(both).policies == ("q", "r")


def test_what_tyk_only_answers_is_passed_over():
    answered = {"quota_remaining": "x", "quota_renews": [], "date_created": 1, "last_updated": 2, "last_check": 3}
    assert session_from_tyk({**SESSION, **answered}) == session_from_tyk(SESSION)


@pytest.mark.parametrize(
    ("member", "value", "words"),
    [
        ("expires", "tomorrow", "whole number"),
        ("expires", 10**15, "between"),
        ("alias", "x" * 201, "at most 200"),
        ("alias", 5, "must be a text"),
        ("apply_policies", "gold", "list of texts"),
        ("apply_policies", ["no spaces"], "An id is"),
        ("apply_policy_id", "no spaces", "An id is"),
        ("is_inactive", 1, "true or false"),
        ("org_id", "", "required"),
        ("quota_max", "100", "whole number"),
        ("throttle_retry_limit", 1.5, "whole number"),
    ],
)
def test_a_wrong_session_is_refused_with_pointer_and_reason(member, value, words):
    assert words in refused(session_from_tyk, {**SESSION, member: value})[f"/{member}"]


def test_an_organisations_session_is_that_of_the_address():
    assert org_session_from_tyk({"quota_max": 5}, "acme").organisation_id == "acme"
    assert "must be acme" in refused(org_session_from_tyk, {"org_id": "globex"}, "acme")["/org_id"]
    assert "An id is" in refused(org_session_from_tyk, {}, "two words")["/org_id"]


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def apis(db):
    acme = AcmeFactory.create()
    return [
        Api.objects.create(id=name, organisation=acme, name=name.upper(), listen_path=f"/{name}/") for name in "abc"
    ]


def stored(key: Key):
    return stored_documents([key])[key.pk]


def computed(key: Key, *quotas: QuotaUsage):
    return computed_documents(holders_of([key]), {key.pk: list(quotas)})[key.pk]


def test_a_key_comes_back_as_it_was_written(apis):
    key, _ = drafts.create_key(session_from_tyk(SESSION))
    shown = stored(key)
    assert {name: shown[name] for name in SESSION} == SESSION
    assert session_from_tyk(shown) == session_from_tyk(SESSION)


def test_an_organisations_session_comes_back_as_it_was_written(apis):
    document = {"org_id": "acme", "quota_max": 9, "monitor": {"trigger_limits": [50]}, "data_expires": 86400}
    drafts.save_org_session(org_session_from_tyk(document, "acme"))
    shown = org_session_to_tyk(OrgSession.objects.get())
    assert {name: shown[name] for name in document} == document


def test_an_own_key_shows_its_own_counters(apis):
    rights = {"a": {}, "b": {"limit": {"quota_max": 7}}}
    key, _ = drafts.create_key(session_from_tyk({**SESSION, "access_rights": rights}))
    shown = computed(key, usage("", 100, 3), usage("api:b", 7, 9))
    assert (shown["quota_max"], shown["quota_remaining"], shown["quota_renews"]) == (100, 97, 1234)
    assert shown["access_rights"]["a"]["limit"] == {}
    assert (shown["access_rights"]["b"]["limit"]["quota_remaining"], shown["access_rights"]["b"]["api_name"]) == (
        0,
        "B",
    )


def test_an_unlimited_key_has_no_remaining_and_never_renews(apis):
    key, _ = drafts.create_key(session_from_tyk({**SESSION, "quota_max": 0}))
    shown = computed(key)
    assert (shown["quota_max"], shown["quota_remaining"], shown["quota_renews"]) == (-1, -1, 0)


def test_policies_show_through_and_nothing_of_them_is_stored(apis):
    policy(
        "small", apis[0], quota_max=2, quota_renewal_rate=10, tags=["p"], meta_data={"plan": "s"}, trigger_limits=[90]
    )
    policy("large", apis[1], quota_max=4, rate=9, per=1)
    key, _ = drafts.create_key(
        session_from_tyk({"org_id": "acme", "apply_policies": ["small", "large", "gone"], "tags": ["k"]})
    )
    shown = computed(key, usage("policy:small", 2, 1), usage("policy:large", 4, 1))
    assert (shown["quota_max"], shown["quota_remaining"], shown["rate"]) == (4, 3, 0)
    assert shown["access_rights"]["a"]["limit"]["quota_remaining"] == 1
    assert shown["access_rights"]["b"]["limit"]["rate"] == 9
    assert (shown["meta_data"], shown["tags"]) == ({"plan": "s"}, ["k", "p"])
    assert shown["monitor"]["trigger_limits"] == [90] and shown["apply_policies"] == ["small", "large", "gone"]
    own = stored(key)
    assert (own["quota_max"], own["meta_data"], own["tags"], own["access_rights"]) == (-1, {}, ["k"], {})


def test_one_policy_on_one_api_shows_at_the_root_even_with_limits_per_api(apis):
    granted = policy("per", apis[0], partition_per_api=True)
    granted.access.update(has_limit=True, quota_max=6)
    key, _ = drafts.create_key(session_from_tyk({"org_id": "acme", "apply_policies": ["per"]}))
    assert computed(key, usage("api:a", 6, 2))["quota_remaining"] == 4


def test_an_inactive_policy_shows_on_the_key(apis):
    policy("off", apis[0], is_inactive=True)
    key, _ = drafts.create_key(session_from_tyk({"org_id": "acme", "apply_policies": ["off"]}))
    assert computed(key)["is_inactive"] and not stored(key)["is_inactive"]


def test_a_shared_counter_is_judged_against_each_policys_own_limit(apis):
    shared = {"rate_limit_pattern": "$tyk_meta.team"}
    policy("small", apis[0], quota_max=2, meta_data=shared)
    policy("large", apis[1], quota_max=4, meta_data=shared)
    document = {"org_id": "acme", "apply_policies": ["small", "large"], "meta_data": {"team": "red"}}
    key, _ = drafts.create_key(session_from_tyk(document))
    shown = computed(key, usage("policy:small", 2, 3, shared=True))
    assert (shown["quota_max"], shown["quota_remaining"]) == (4, 1)
    assert shown["access_rights"]["a"]["limit"]["quota_remaining"] == 0


def test_a_silent_store_leaves_the_live_members_out(apis):
    key, _ = drafts.create_key(session_from_tyk(SESSION))
    shown = computed_documents(holders_of([key]), None)[key.pk]
    assert shown["quota_max"] == 100 and "quota_remaining" not in shown and "quota_renews" not in shown


def policy(name: str, api: Api, **fields) -> Policy:
    made = Policy.objects.create(id=name, name=name, organisation_id="acme", **fields)
    PolicyAccess.objects.create(policy=made, api=api)
    return made
