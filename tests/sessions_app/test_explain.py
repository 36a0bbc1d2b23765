"""Rule 3.9: every effective number can be explained."""

import pytest

from organisations_app.models import Organisation
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app import keys
from sessions_app.engine.types import LimitName, Refusal
from sessions_app.explain import Sharers, explain
from sessions_app.models import Key, KeyAccess, OrgSession
from sessions_app.watch import Watch
from tests.sessions_app.test_usage import request

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store")]


@pytest.fixture
def acme():
    return Organisation.objects.create(id="acme", name="Acme")


@pytest.fixture
def api(acme):
    return Api.objects.create(id="a", organisation=acme, name="a", listen_path="/a/")


def _told_at_80(organisation_id, kind):
    return Watch(True, (80.0,))


@pytest.fixture(autouse=True)
def watched(monkeypatch):
    for asking in ("grants", "explain"):
        monkeypatch.setattr(
            f"sessions_app.{asking}.watcher", lambda: lambda organisation_id, kind: Watch(True, (80.0,))
        )


def policy(acme, api, name: str, **fields) -> Policy:
    made = Policy.objects.create(id=name, organisation=acme, name=name.title(), **fields)
    PolicyAccess.objects.create(policy=made, api=api)
    return made


def test_names_the_winner_and_the_losers_of_each_limit(acme, api):
    keys.save_org_session(OrgSession(organisation=acme, quota_max=100))
    policy(acme, api, "small", quota_max=5, rate=9, per=1)
    policy(acme, api, "large", quota_max=50, rate=1, per=1)
    key = Key(organisation=acme)
    keys.create_key(key, policies=["small", "gone", "large"])
    told = explain(key, api)
    by_name = {limit.name: limit for limit in told.limits}
    assert list(by_name) == [LimitName.ORG_QUOTA, LimitName.KEY_RATE, LimitName.KEY_QUOTA]
    quota, rate, org = by_name[LimitName.KEY_QUOTA], by_name[LimitName.KEY_RATE], by_name[LimitName.ORG_QUOTA]
    assert (quota.origin.id, quota.origin.name, quota.origin.scope, [loser.id for loser in quota.losers]) == (
        "large",
        "Large",
        "policy:large",
        ["small"],
    )
    assert (rate.origin.id, [loser.id for loser in rate.losers]) == ("small", ["large"])
    assert (org.origin.kind, org.origin.id, org.subject) == ("organisation", "acme", None)
    assert told.unknown_policies == ("gone",) and told.refusal is None


def test_shows_usage_and_which_thresholds_have_fired(acme, api):
    key = Key(organisation=acme, quota_max=4, trigger_limits=[50])
    token = keys.create_key(key, access=[KeyAccess(api=api)])
    request(token), request(token)
    [quota] = explain(key, api).limits
    assert (quota.state.used, quota.state.remaining) == (2, 2)
    assert [(each.percent, each.needed, each.asked_by, each.fired) for each in quota.thresholds] == [
        ("50", 2, "own", True),
        ("80", 4, "global", False),
    ]


def test_names_the_custom_subject_and_who_shares_its_counter(acme, api):
    policy(acme, api, "p", quota_max=5, meta_data={"rate_limit_pattern": "$tyk_meta.team"})
    red, also_red, blue = (Key(organisation=acme, meta_data={"team": team}) for team in ("red", "red", "blue"))
    for key in (red, also_red, blue):
        keys.create_key(key, policies=["p"])
    [quota] = explain(red, api).limits
    assert (quota.subject, quota.sharers) == ("red", Sharers((also_red.pk,), complete=True))


def test_a_key_that_counts_for_itself_has_no_sharers(acme, api):
    key = Key(organisation=acme, quota_max=5)
    keys.create_key(key, access=[KeyAccess(api=api)])
    [quota] = explain(key, api).limits
    assert (quota.subject, quota.sharers, quota.origin.kind) == (None, None, "key")


def test_says_why_an_api_is_refused(acme, api):
    key = Key(organisation=acme, quota_max=5)
    keys.create_key(key)
    told = explain(key, api)
    assert (told.refusal, told.limits) == (Refusal.API_FORBIDDEN, ())
