"""Reset and set-remaining: one function each, audited (rules 2.10, 2.12)."""

import pytest
from django.core.exceptions import ValidationError

from organisations_app.audit import Actor
from organisations_app.models import AuditEntry, Organisation
from policies_app.models import Api
from sessions_app import corrections, keys, usage
from sessions_app.engine.types import Outcome
from sessions_app.models import Key, KeyAccess, OrgSession
from tests.sessions_app.test_usage import request

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store")]
ADA = Actor.person("ada")


@pytest.fixture
def acme():
    return Organisation.objects.create(id="acme", name="Acme")


@pytest.fixture
def made(acme):
    for name in "ab":
        Api.objects.create(id=name, organisation=acme, name=name, listen_path=f"/{name}/")
    key = Key(organisation=acme, quota_max=3, quota_renewal_rate=60)
    return key, keys.create_key(key, access=[KeyAccess(api_id="a"), KeyAccess(api_id="b", has_limit=True, quota_max=2)])


def test_a_reset_is_audited_with_who_why_and_how_much(made):
    key, token = made
    request(token), request(token), request(token, "b")
    assert corrections.reset_quota(key, ADA, "new contract") == 3
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.subject_id, entry.reason) == (
        "admin:ada",
        "reset-quota",
        key.pk,
        "new contract",
    )
    assert sorted(entry.before["used"].values()) == [1, 2] and set(entry.after["used"].values()) == {0}
    assert [quota.used for quota in usage.key_quotas([key])[key.pk]] == [0, 0]


def test_set_remaining_holds_with_the_next_request_and_the_period_goes_on(made):
    key, token = made
    request(token)
    before = usage.key_quotas([key])[key.pk][0]
    assert corrections.set_remaining(key, 1, ADA, "credit") == 2
    after = usage.key_quotas([key])[key.pk][0]
    assert (after.remaining, abs(after.renews_at - before.renews_at) <= 1) == (1, True)
    assert [request(token).outcome for _ in range(2)] == [Outcome.PASSED, Outcome.DENIED]
    assert AuditEntry.objects.get().after["quota_remaining"] == 1


def test_set_remaining_can_name_an_api_with_its_own_counter(made):
    key, _ = made
    corrections.set_remaining(key, 0, ADA, api_id="b")
    assert [quota.remaining for quota in usage.key_quotas([key])[key.pk]] == [3, 0]


@pytest.mark.parametrize("remaining", [-1, 4, 1.5, "2", True])
def test_set_remaining_refuses_what_does_not_fit_and_changes_nothing(made, remaining):
    key, _ = made
    with pytest.raises(ValidationError, match="from 0 to the quota's maximum, 3"):
        corrections.set_remaining(key, remaining, ADA)
    assert usage.key_quotas([key])[key.pk][0].remaining == 3 and not AuditEntry.objects.exists()


def test_an_unlimited_key_has_nothing_to_set(acme):
    key = Key(organisation=acme)
    keys.create_key(key)
    with pytest.raises(ValidationError, match="unlimited"):
        corrections.set_remaining(key, 1, ADA)


def test_an_organisations_reset_is_audited_too(acme, made):
    keys.save_org_session(OrgSession(organisation=acme, quota_max=5))
    request(made[1])
    assert corrections.reset_organisation_quota(acme, ADA, "why") == 1
    assert AuditEntry.objects.get().subject_kind == "organisation"
