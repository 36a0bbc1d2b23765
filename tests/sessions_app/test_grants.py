"""What is compiled from the database: refusals in the order of rule 1.4, counters by section 3 and 5, thresholds by
7.2.
"""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from organisations_app import sealing
from organisations_app.models import Organisation
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app import grants, keys
from sessions_app.engine import names
from sessions_app.engine.types import Grant, LimitName, QuotaLimit, RateLimit, Refusal
from sessions_app.models import Key, KeyAccess, OrgSession
from sessions_app.watch import Watch

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_process")]


@pytest.fixture
def acme():
    return Organisation.objects.create(id="acme", name="Acme", timezone="Europe/Berlin")


@pytest.fixture
def api(acme):
    return Api.objects.create(id="a", organisation=acme, name="a", listen_path="/a/", target_url="http://127.0.0.1:1/")


@pytest.fixture
def watched(monkeypatch):
    monkeypatch.setattr(grants, "watcher", lambda: lambda organisation_id, kind: Watch(True, (80.0,)))


def make(acme, api, **fields) -> tuple[Key, str]:
    key = Key(organisation=acme, **fields)
    return key, keys.create_key(key, access=[KeyAccess(api=api)])


def quota_of(grant: Grant | Refusal) -> QuotaLimit:
    assert isinstance(grant, Grant)
    [quota] = [limit for limit in grant.limits if isinstance(limit, QuotaLimit) and limit.name is LimitName.KEY_QUOTA]
    return quota


def test_a_key_is_granted_its_own_limits(acme, api):
    key, token = make(acme, api, quota_max=10, quota_renewal_rate=60, rate=2.5, per=1)
    grant = grants.compile_grant(token, "a")
    assert grant.refusal is None
    assert grant.limits == (
        RateLimit(LimitName.KEY_RATE, names.key_counter("acme", key.pk), 5, 2000, f"key:{key.pk}"),
        QuotaLimit(LimitName.KEY_QUOTA, names.key_counter("acme", key.pk), 10, 60_000, f"key:{key.pk}"),
    )
    assert grants.cached(token, "a") is grant


def test_unlimited_is_no_limit(acme, api):
    assert grants.compile_grant(make(acme, api)[1], "a").limits == ()


@pytest.mark.parametrize("token", ["nobody-knows-this", "x", "tg_" + "a" * 32 + "_000000", "x" * 300])
def test_a_token_that_opens_nothing_is_unknown(acme, token):
    assert grants.compile_grant(token, "a") is Refusal.UNKNOWN_KEY


def test_a_wrong_checksum_costs_no_query(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert grants.compile_grant("tg_" + "a" * 32 + "_000000", "a") is Refusal.UNKNOWN_KEY


def test_revoked_and_deleted_keys_are_unknown(acme, api):
    key, token = make(acme, api)
    keys.revoke_key(key)
    assert grants.compile_grant(token, "a") is Refusal.UNKNOWN_KEY
    other, token = make(acme, api)
    keys.delete_key(other)
    assert grants.compile_grant(token, "a") is Refusal.UNKNOWN_KEY


def test_a_rotated_credential_works_until_its_overlap_ends(acme, api):
    key, old = make(acme, api)
    new = keys.rotate_key(key, overlap_seconds=60)
    assert isinstance(grants.compile_grant(old, "a"), Grant) and isinstance(grants.compile_grant(new, "a"), Grant)
    key.credentials.filter(expires_at__isnull=False).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert grants.compile_grant(old, "a") is Refusal.UNKNOWN_KEY
    assert grants.cached(old, "a") is None


@pytest.mark.parametrize(
    ("block_key", "block_organisation", "grant_api", "refusal"),
    [
        (True, True, False, Refusal.INACTIVE_KEY),
        (False, True, False, Refusal.INACTIVE_ORGANISATION),
        (False, False, False, Refusal.API_FORBIDDEN),
        (False, False, True, None),
    ],
)
def test_refusals_come_in_order(acme, api, block_key, block_organisation, grant_api, refusal):
    OrgSession.objects.create(organisation=acme, is_inactive=block_organisation)
    key = Key(organisation=acme, is_inactive=block_key)
    token = keys.create_key(key, access=[KeyAccess(api=api)] if grant_api else [])
    assert grants.compile_grant(token, "a").refusal is refusal


def test_an_inactive_policy_blocks_its_keys(acme, api):
    policy = Policy.objects.create(id="p", organisation=acme, name="p", is_inactive=True)
    PolicyAccess.objects.create(policy=policy, api=api)
    assert (
        grants.compile_grant(keys.create_key(Key(organisation=acme), policies=["p"]), "a").refusal
        is Refusal.INACTIVE_KEY
    )


def test_a_key_whose_policies_are_gone_is_forbidden(acme, api):
    token = keys.create_key(Key(organisation=acme), access=[KeyAccess(api=api)], policies=["gone"])
    assert grants.compile_grant(token, "a").refusal is Refusal.API_FORBIDDEN


def test_limits_stand_in_the_order_of_reporting_and_the_api_may_skip_some(acme, api):
    OrgSession.objects.create(organisation=acme, quota_max=5, rate=1, per=1)
    _, token = make(acme, api, quota_max=5, rate=1, per=1)
    assert [limit.name for limit in grants.compile_grant(token, "a").limits] == list(LimitName)
    Api.objects.update(disable_quota=True)
    assert [limit.name for limit in grants.compile_grant(token, "a").limits] == [LimitName.ORG_RATE, LimitName.KEY_RATE]


def test_a_custom_subject_is_shared_inside_the_organisation_only(acme, api):
    globex = Organisation.objects.create(id="globex", name="Globex")
    meta_data = {"rate_limit_pattern": "$tyk_meta.team", "team": "red"}
    tokens = [make(owner, api, quota_max=5, meta_data=meta_data)[1] for owner in (acme, acme, globex)]
    first, second, other = (quota_of(grants.compile_grant(token, "a")).counter for token in tokens)
    assert first == second != other


def test_policies_metadata_decides_the_subject_and_the_scope_is_dropped(acme, api):
    for name in ("p", "q"):
        policy = Policy.objects.create(
            id=name,
            organisation=acme,
            name=name,
            quota_max=5,
            meta_data={"rate_limit_pattern": "$tyk_meta.DeveloperID"},
        )
        PolicyAccess.objects.create(policy=policy, api=api)
    meta_data = {"DeveloperID": 7, "rate_limit_pattern": "own"}
    one, two = (keys.create_key(Key(organisation=acme, meta_data=meta_data), policies=[name]) for name in ("p", "q"))
    assert quota_of(grants.compile_grant(one, "a")).counter == names.subject_counter("acme", "7", "")
    assert quota_of(grants.compile_grant(two, "a")).counter == names.subject_counter("acme", "7", "")


def test_thresholds_are_the_keys_own_and_the_global_one(acme, api, watched):
    _, token = make(acme, api, quota_max=10, trigger_limits=[90.0, 12.5])
    thresholds = quota_of(grants.compile_grant(token, "a")).thresholds
    assert [(each.label, each.needed, each.own) for each in thresholds] == [
        ("12.5", 2, True),
        ("80", 8, False),
        ("90", 9, True),
    ]


def test_nobody_watching_means_no_thresholds(acme, api, monkeypatch):
    monkeypatch.setattr(grants, "watcher", lambda: lambda organisation_id, kind: Watch(False))
    assert quota_of(grants.compile_grant(make(acme, api, quota_max=10, trigger_limits=[50])[1], "a")).thresholds == ()


def test_the_raw_key_travels_encrypted(acme, api, watched):
    _, token = make(acme, api, quota_max=10)
    context = grants.compile_grant(token, "a").event_context
    assert token.encode() not in context
    assert sealing.unseal(json.loads(context)["sealed"]) == token


def test_a_calendar_quota_has_the_boundaries_of_the_organisations_zone(acme, api):
    quota = quota_of(grants.compile_grant(make(acme, api, quota_max=10, quota_period="day")[1], "a"))
    now_ms = timezone.now().timestamp() * 1000
    assert quota.period_ms == 0 and quota.boundaries_ms[0] <= now_ms < quota.boundaries_ms[2] < quota.boundaries_ms[3]


def test_a_change_moves_the_version_of_the_next_grant(acme, api):
    key, token = make(acme, api, quota_max=10)
    before = grants.compile_grant(token, "a").versions
    key.quota_max = 20
    keys.save_key(key)
    after = grants.compile_grant(token, "a").versions
    assert (after.gateway, after.organisation) == (before.gateway, before.organisation) and after.key > before.key


def test_compiling_ten_policies_takes_a_fixed_number_of_queries(acme, api, django_assert_max_num_queries):
    for number in range(10):
        policy = Policy.objects.create(id=f"p{number}", organisation=acme, name="p", quota_max=number + 1)
        PolicyAccess.objects.create(policy=policy, api=api)
    token = keys.create_key(Key(organisation=acme), policies=[f"p{number}" for number in range(10)])
    with django_assert_max_num_queries(11):
        assert quota_of(grants.compile_grant(token, "a")).max == 10
