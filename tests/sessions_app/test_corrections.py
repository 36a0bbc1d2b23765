"""Reset and set-remaining: one function each, audited (rules 2.10, 2.12)."""

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction

from organisations_app import audit
from organisations_app.audit import Actor
from organisations_app.models import AuditEntry, Organisation
from policies_app import catalogue
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app import correction_notes, corrections, keys, tasks, usage
from sessions_app.engine import names
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


# --- one counter, two maxima (rule 5.5) -------------------------------------------------------------------------------


@pytest.fixture
def judged_twice(acme):
    """A key whose two policies count on one custom counter: at most 3 on API a, at most 8 on API b."""
    meta_data = {"rate_limit_pattern": "$tyk_meta.team"}
    for name, maximum in (("a", 3), ("b", 8)):
        Api.objects.create(id=name, organisation=acme, name=name, listen_path=f"/{name}/")
        policy = Policy(id=name, organisation=acme, name=name, quota_max=maximum, meta_data=meta_data)
        catalogue.save_policy(policy, [PolicyAccess(api_id=name)])
    key = Key(organisation=acme, meta_data={"team": "red"})
    return key, keys.create_key(key, policies=["a", "b"])


def test_what_remains_is_set_by_the_numbers_of_the_policy_that_counts_the_api(judged_twice):
    key, token = judged_twice
    request(token)
    assert corrections.set_remaining(key, 6, ADA, api_id="b") == 7
    assert [(quota.max, quota.used) for quota in usage.key_quotas([key])[key.pk]] == [(3, 2), (8, 2)]


def test_a_counter_that_two_policies_judge_is_reset_once(judged_twice):
    key, token = judged_twice
    request(token), request(token, "b")
    assert corrections.reset_quota(key, ADA) == 2
    assert [quota.used for quota in usage.key_quotas([key])[key.pk]] == [0, 0]


# --- no effective correction without its entry ------------------------------------------------------------------------


@pytest.fixture
def later(monkeypatch):
    """Notes need not wait until they are swept."""
    monkeypatch.setattr(correction_notes, "LEFT_BEHIND_MS", 0)


class Crash(Exception):
    pass


def die(*_):
    raise Crash


def left_behind(store):
    return sum(store.hlen(names.notes(bucket)) for bucket in range(names.BUCKETS))


@pytest.mark.usefixtures("later")
def test_a_reset_whose_process_died_gets_its_entry_once(made, store, monkeypatch):
    key, token = made
    request(token), request(token), request(token, "b")
    with monkeypatch.context() as patch:
        patch.setattr(audit, "record_all", die)
        with pytest.raises(Crash):
            corrections.reset_quota(key, ADA, "new contract")
    assert (AuditEntry.objects.count(), left_behind(store)) == (0, 2)
    assert (correction_notes.enter_left_behind(), correction_notes.enter_left_behind()) == (1, 0)
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.subject_id, entry.organisation_id, entry.reason) == (
        "admin:ada",
        "reset-quota",
        key.pk,
        "acme",
        "new contract",
    )
    assert sorted(entry.before["used"].values()) == [1, 2] and entry.after["happened_at"]
    assert left_behind(store) == 0


@pytest.mark.usefixtures("later")
def test_a_reset_in_a_transaction_that_was_undone_gets_its_entry(made, store):
    key, token = made
    request(token)
    with transaction.atomic():
        corrections.reset_quota(key, ADA)
        transaction.set_rollback(True)
    assert not AuditEntry.objects.exists() and usage.key_quotas([key])[key.pk][0].used == 0
    tasks.sweep_corrections()
    assert AuditEntry.objects.get().actor == "admin:ada"


@pytest.mark.usefixtures("later")
def test_a_set_remaining_that_was_left_behind_says_what_it_changed(made):
    key, token = made
    request(token)
    with transaction.atomic():
        corrections.set_remaining(key, 1, ADA, "credit")
        transaction.set_rollback(True)
    tasks.sweep_corrections()
    entry = AuditEntry.objects.get()
    assert (entry.before["quota_remaining"], entry.after["quota_remaining"], entry.reason) == (2, 1, "credit")


@pytest.mark.usefixtures("later")
def test_an_entry_whose_note_could_not_be_removed_is_not_written_again(made, store, monkeypatch):
    key, token = made
    request(token)
    monkeypatch.setattr(correction_notes, "_forget", lambda _: None)
    corrections.reset_quota(key, ADA)
    assert left_behind(store) == 2
    tasks.sweep_corrections()
    assert (AuditEntry.objects.count(), left_behind(store)) == (1, 0)


def test_a_correction_that_is_under_way_is_left_alone(made, store):
    key, token = made
    request(token)
    with transaction.atomic():
        corrections.reset_quota(key, ADA)
        transaction.set_rollback(True)
    assert (correction_notes.enter_left_behind(), left_behind(store)) == (0, 2)
