"""What can be done with keys in the admin, one, several and very many; and what it leaves behind."""

import csv
import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from organisations_app import jobs
from organisations_app.audit import Actor
from organisations_app.models import AuditEntry, Job, Organisation, StaffConfinement
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app import correction_notes, custody, key_jobs
from sessions_app.admin import key_selections
from sessions_app.key_csv import safe_cell
from sessions_app.keys import create_key, find_by_token, revoke_key
from sessions_app.models import Key, KeyJobItem
from sessions_app.usage import key_quotas
from tests.administration import spend
from tests.factories import AcmeFactory, GlobexFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store")]

LIST = "/admin/sessions_app/key/"
BY = Actor.person("admin")
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def acme() -> Organisation:
    return AcmeFactory.create()


@pytest.fixture
def free(acme: Organisation) -> Policy:
    api = Api.objects.create(id="orders", organisation=acme, name="Orders", listen_path="/orders/")
    policy = Policy.objects.create(id="free", organisation=acme, name="Free", quota_max=10, quota_renewal_rate=60)
    PolicyAccess.objects.create(policy=policy, api=api)
    Policy.objects.create(id="pro", organisation=acme, name="Pro", quota_max=100, quota_renewal_rate=60)
    return policy


def make(acme: Organisation, alias: str, **fields: Any) -> Any:
    key = Key(pk=f"key_{alias}", organisation=acme, alias=alias, **fields)
    key.raw = create_key(key, policies=["free"])  # type: ignore[attr-defined]
    return key


@pytest.fixture
def keys(acme: Organisation, free: Policy) -> list[Any]:
    return [make(acme, alias) for alias in ("one", "two", "three")]


def confirm(client: Client, key: Key, action: str, **answer: Any) -> Any:
    escaped = key.pk.replace("_", "_5F")
    return client.post(f"{LIST}{escaped}/{action}/", {"confirmed": "yes", "reason": "why not", **answer}, follow=True)


def run(client: Client, action: str, keys: list[Any], query: str = "", **answer: Any) -> Any:
    selected = {"action": action, "_selected_action": [key.pk for key in keys]}
    question = client.post(LIST + query, selected | {name: v for name, v in answer.items() if name == "select_across"})
    assert question.status_code == 200 and "confirmed" in question.content.decode()
    return client.post(LIST + query, {**selected, "confirmed": "yes", "reason": "why not", **answer}, follow=True)


def acts() -> list[tuple[str, str, str]]:
    return [(entry.action, entry.subject_id, entry.reason) for entry in AuditEntry.objects.order_by("id")]


# --- one --------------------------------------------------------------------------------------------------------------


def test_a_blocked_key_is_refused_until_it_is_unblocked(admin_client: Client, keys: list[Any]) -> None:
    key = keys[0]
    assert spend(key.raw, "orders", 3)[-1] == "passed"
    confirm(admin_client, key, "block")
    assert spend(key.raw, "orders") == ["refused"]
    confirm(admin_client, key, "unblock")
    assert spend(key.raw, "orders") == ["passed"] and key_quotas([key])[key.pk][0].used == 4
    assert acts() == [("block", key.pk, "why not"), ("unblock", key.pk, "why not")]


def test_an_expired_key_is_extended_from_now(admin_client: Client, acme: Organisation, free: Policy) -> None:
    key = make(acme, "old", expires_at=timezone.now() - timedelta(days=9))
    confirm(admin_client, key, "extend", days="5")
    key.refresh_from_db()
    assert timedelta(days=4) < key.expires_at - timezone.now() <= timedelta(days=5)
    assert acts()[0][0] == "extend"


@pytest.mark.parametrize(
    ("action", "answer", "words"),
    [
        ("extend", {"days": "5"}, "never expires"),
        ("extend", {"days": "0"}, "greater than or equal to 1"),
        ("assign_policy", {"policy": "none-such"}, "valid choice"),
    ],
)
def test_what_is_not_possible_is_said_and_changes_nothing(
    admin_client: Client, keys: list[Any], action: str, answer: dict[str, str], words: str
) -> None:
    assert words in confirm(admin_client, keys[0], action, **answer).content.decode()
    assert acts() == []


@pytest.mark.parametrize(("alone", "applied"), [("", ["free", "pro"]), ("on", ["pro"])])
def test_a_policy_is_added_or_replaces_the_others(
    admin_client: Client, keys: list[Any], alone: str, applied: list[str]
) -> None:
    confirm(admin_client, keys[0], "assign_policy", policy="pro", alone=alone)
    assert [row.policy_id for row in keys[0].key_policies.all()] == applied
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.after["apply_policies"]) == ("assign-policy", applied)


# --- several ----------------------------------------------------------------------------------------------------------


def test_few_selected_keys_are_done_at_once(admin_client: Client, keys: list[Any]) -> None:
    for key in keys:
        spend(key.raw, "orders", 4)
    answer = run(admin_client, "reset_selected", keys[:2])
    assert "Quota reset: " in answer.content.decode()
    assert [key_quotas([key])[key.pk][0].used for key in keys] == [0, 0, 4]
    assert {act[:2] for act in acts()} == {("reset-quota", keys[0].pk), ("reset-quota", keys[1].pk)}
    assert not Job.objects.exists()


def test_keys_that_refuse_are_named_and_the_others_done(
    admin_client: Client, acme: Organisation, keys: list[Any]
) -> None:
    ending = make(acme, "ending", expires_at=timezone.now() + timedelta(days=1))
    html = run(admin_client, "extend_selected", [*keys[:1], ending], days="1").content.decode()
    assert "Extended: ending" in html and "one: The key never expires" in html


def test_all_that_match_means_what_the_filter_leaves(admin_client: Client, keys: list[Any]) -> None:
    other = Key(pk="key_other", organisation=GlobexFactory.create(), alias="other")
    token = create_key(other, policies=["free"])
    query = "?organisation__id__exact=acme"
    run(admin_client, "revoke_selected", keys[:1], query, select_across="1")
    assert [find_by_token(key.raw) for key in keys] == [None] * 3 and find_by_token(token) == other


def test_new_secrets_of_several_keys_are_downloaded_once(admin_client: Client, keys: list[Any]) -> None:
    revoke_key(keys[2])
    answer = run(admin_client, "rotate_selected", keys, overlap_seconds="0")
    rows = {row["id"]: row for row in csv.DictReader(answer.getvalue().decode().splitlines())}
    assert "no-store" in answer.headers["Cache-Control"]
    for key in keys[:2]:
        assert find_by_token(rows[key.pk]["new key"]) == key and find_by_token(key.raw) is None
    assert rows[keys[2].pk]["new key"] == "" and "cannot be rotated" in rows[keys[2].pk]["problem"]
    kept = f"{list(AuditEntry.objects.values())} {dict(admin_client.session)}"
    assert not re.search(r"tg_\w{32}_\w{6}", kept)


def test_who_may_reset_may_not_revoke(client: Client, keys: list[Any]) -> None:
    support = User.objects.create_user("support", is_staff=True)
    for codename in ("view_key", "reset_key_quota"):
        support.user_permissions.add(Permission.objects.get(codename=codename))
    client.force_login(support)
    choices = client.get(LIST).context["action_form"].fields["action"].choices
    assert {name for name, _ in choices if name} == {"reset_selected", "export_selected"}
    assert confirm(client, keys[0], "revoke").status_code == 403
    confirm(client, keys[0], "reset_quota")
    assert acts() == [("reset-quota", keys[0].pk, "why not")]


# --- export -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_looks_like_a_formula_is_made_harmless(sign: str) -> None:
    assert safe_cell(f"{sign}cmd|'/c calc'!A1") == f"'{sign}cmd|'/c calc'!A1"


def test_an_export_shows_live_usage_no_secret_and_is_audited(
    admin_client: Client, acme: Organisation, keys: list[Any]
) -> None:
    key = make(acme, "evil")
    Key.objects.filter(pk=key.pk).update(alias="=HYPERLINK(1)")
    spend(key.raw, "orders", 7)
    answer = run(admin_client, "export_selected", [key])
    text = answer.getvalue().decode()
    [row] = csv.DictReader(text.splitlines())
    assert (row["alias"], row["used"], row["quota_max"], row["policies"]) == ("'=HYPERLINK(1)", "7", "10", "Free")
    assert key.raw not in text
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.reason, entry.after) == ("export", "why not", {"keys": 1})


# --- very many --------------------------------------------------------------------------------------------------------


@pytest.fixture
def few_at_once(monkeypatch: Any) -> None:
    monkeypatch.setattr(key_selections, "AT_ONCE", 2)
    monkeypatch.setattr(key_jobs, "KEYS_PER_LOT", 2)
    monkeypatch.setattr(jobs, "wake", lambda job_id: None)


def test_many_selected_keys_become_a_job_that_a_worker_does(
    admin_client: Client, keys: list[Any], few_at_once: None
) -> None:
    page = run(admin_client, "block_selected", keys)
    job = Job.objects.get()
    assert "Looking which keys are meant" in page.content.decode() and "hx-trigger" in page.content.decode()
    assert spend(keys[0].raw, "orders") == ["passed"]
    jobs.work(job.pk)
    assert [spend(key.raw, "orders") for key in keys] == [["refused"]] * 3
    html = admin_client.get(f"{LIST}jobs/{job.pk}/", headers={"HX-Request": "true"}).content.decode()
    assert "3 of 3 keys: finished" in html and not KeyJobItem.objects.exists()
    assert sorted(acts()) == sorted(("block", key.pk, "why not") for key in keys)
    assert {entry.actor for entry in AuditEntry.objects.all()} == {"admin:admin"}


def test_a_job_tells_what_could_not_be_done(
    acme: Organisation, keys: list[Any], few_at_once: None, monkeypatch: Any
) -> None:
    job = key_jobs.start("extend", Key.objects.all(), BY, "", {"days": 1})
    write_down = key_jobs._write_down

    def write_down_and_lose_one(job: Job) -> int:
        written = write_down(job)
        Key.objects.filter(pk=keys[0].pk).delete()
        return written

    monkeypatch.setattr(key_jobs, "_write_down", write_down_and_lose_one)
    jobs.work(job.pk)
    job.refresh_from_db()
    assert (job.done, job.failed) == (3, 3) and job.finished_at is not None
    assert dict(job.errors)[keys[0].pk] == "The key does not exist any more."


def test_a_jobs_page_counts_what_was_done_and_links_what_was_not(
    admin_client: Client, keys: list[Any], few_at_once: None
) -> None:
    Key.objects.filter(pk=keys[0].pk).update(expires_at=timezone.now() + timedelta(days=1))
    job = key_jobs.start("extend", Key.objects.all(), BY, "", {"days": 1})
    jobs.work(job.pk)
    html = admin_client.get(f"{LIST}jobs/{job.pk}/").content.decode()
    assert "1 of 3 keys done, 2 could not be: finished" in html
    assert f"{LIST}{quote(keys[1].pk)}/change/" in html and f"{LIST}{quote(keys[0].pk)}/change/" not in html


def test_the_list_leads_back_to_jobs_of_the_last_day(admin_client: Client, keys: list[Any], few_at_once: None) -> None:
    job = key_jobs.start("block", Key.objects.all(), BY, "", {})
    page = f"{LIST}jobs/{job.pk}/"
    assert page in admin_client.get(LIST).content.decode(), "no worker has begun yet"
    assert page not in admin_client.get("/admin/organisations_app/organisation/").content.decode()
    jobs.work(job.pk)
    assert "3 of 3 keys: finished" in admin_client.get(LIST).content.decode()
    Job.objects.update(finished_at=timezone.now() - timedelta(days=2))
    assert page not in admin_client.get(LIST).content.decode()


def test_confined_staff_are_led_to_their_own_jobs_only(
    acme: Organisation, keys: list[Any], few_at_once: None, client: Client
) -> None:
    login = User.objects.create_user("confined", is_staff=True)
    login.user_permissions.add(Permission.objects.get(codename="view_key"))
    StaffConfinement.objects.create(user=login).organisations.add(acme)
    client.force_login(login)
    theirs = key_jobs.start("block", Key.objects.all(), Actor.person("confined"), "", {})
    others = key_jobs.start("block", Key.objects.all(), BY, "", {})
    html = client.get(LIST).content.decode()
    assert f"{LIST}jobs/{theirs.pk}/" in html and f"{LIST}jobs/{others.pk}/" not in html


def test_a_job_whose_store_is_down_waits_and_loses_nothing(keys: list[Any], few_at_once: None, settings: Any) -> None:
    job = key_jobs.start("reset-quota", Key.objects.all(), BY, "", {})
    url, settings.GATEWAY_STORE_URL = settings.GATEWAY_STORE_URL, NOWHERE
    jobs.work(job.pk)
    assert job.items.count() == 3 and not AuditEntry.objects.exists()
    settings.GATEWAY_STORE_URL = url
    jobs.work(job.pk)
    assert job.items.count() == 3, "another worker may still be at it"
    let_the_claim_run_out()
    jobs.work(job.pk)
    assert job.items.count() == 0 and len(acts()) == 3


def let_the_claim_run_out() -> None:
    assert Job.objects.update(claimed_until=timezone.now() - timedelta(seconds=1)) == 1


@pytest.mark.parametrize(
    ("act", "given", "used"), [("reset-quota", {}, 0), ("set-remaining", {"quota_remaining": 9}, 1)]
)
def test_what_a_dead_worker_did_to_counters_is_entered_once_and_done_once(
    keys: list[Any], few_at_once: None, monkeypatch: Any, act: str, given: dict[str, int], used: int
) -> None:
    """It died after the store and before the database. What is used since then is not forgiven."""
    monkeypatch.setattr(correction_notes, "LEFT_BEHIND_MS", 0)
    spend(keys[0].raw, "orders", 5)
    job = key_jobs.start(act, Key.objects.filter(pk=keys[0].pk), BY, "why not", given)
    died = patch.object(key_jobs, "enter", side_effect=KeyboardInterrupt)
    with died, pytest.raises(KeyboardInterrupt):
        jobs.work(job.pk)
    assert correction_notes.enter_left_behind() == 0, "the job enters it itself"
    spend(keys[0].raw, "orders", 2)
    let_the_claim_run_out()
    jobs.work(job.pk)
    assert acts() == [(act, keys[0].pk, "why not")]
    assert 5 in flat(AuditEntry.objects.get().before)
    assert key_quotas(keys[:1])[keys[0].pk][0].used == used + 2
    assert correction_notes.enter_left_behind() == 0 and len(acts()) == 1


def flat(document: dict[str, Any]) -> list[Any]:
    return [each for value in document.values() for each in (flat(value) if isinstance(value, dict) else [value])]


def test_who_lost_the_claim_writes_nothing(keys: list[Any], few_at_once: None) -> None:
    """A worker that stood still for too long, while another one took over."""
    job = key_jobs.start("reset-quota", Key.objects.all(), BY, "", {})
    prepare = jobs.kind_of(job).prepare

    def overtaken(job: Job) -> Any:
        lot = prepare(job)
        if job.total:
            let_the_claim_run_out()
            with patch.object(jobs, "kind_of", kind_of):
                jobs.work(job.pk)
        return lot

    kind_of = jobs.kind_of
    slow = replace(kind_of(job), prepare=overtaken)
    with patch.object(jobs, "kind_of", lambda _: slow):
        jobs.work(job.pk)
    job.refresh_from_db()
    assert (job.done, job.total, len(acts())) == (3, 3, 3) and job.finished_at is not None


def claimed(job: Job) -> datetime:
    """As by a worker that has written down which keys are meant."""
    claim = jobs._claim(job.pk)
    assert claim is not None
    claim = jobs._after_lot(job.pk, claim)
    assert claim is not None
    return claim


def test_who_lost_the_claim_between_two_lots_touches_no_counter(keys: list[Any], few_at_once: None) -> None:
    """What another worker did, entered and forgot is not done once more."""
    job = key_jobs.start("reset-quota", Key.objects.all(), BY, "", {})
    claim = claimed(job)
    let_the_claim_run_out()
    with patch.object(jobs, "kind_of", side_effect=AssertionError("prepares a lot")):
        assert jobs._after_lot(job.pk, claim) is None


def test_who_stood_still_within_a_lot_leaves_the_rest_to_another(
    keys: list[Any], few_at_once: None, monkeypatch: Any
) -> None:
    """The other one may have done and forgotten it by now."""
    spend(keys[0].raw, "orders", 2)
    job = key_jobs.start("reset-quota", Key.objects.all(), BY, "", {})
    monkeypatch.setattr(jobs, "CLAIM", timedelta(0))
    claim = claimed(job)
    with pytest.raises(jobs.Later, match="ran out"):
        jobs._after_lot(job.pk, claim)
    assert key_quotas(keys[:1])[keys[0].pk][0].used == 2 and job.items.count() == 3


def test_a_job_whose_items_are_lost_ends(keys: list[Any], few_at_once: None) -> None:
    """Else a worker would look for them for ever."""
    job = key_jobs.start("block", Key.objects.all(), BY, "", {})
    claim = claimed(job)
    KeyJobItem.objects.all().delete()
    assert jobs._after_lot(job.pk, claim) is None
    job.refresh_from_db()
    assert job.finished_at is not None and (job.done, job.total) == (0, 3)


def test_one_key_that_breaks_does_not_hold_up_the_others(keys: list[Any], few_at_once: None) -> None:
    broken = patch.object(custody, "revoke_keys", side_effect=[RuntimeError, None, RuntimeError, None])
    job = key_jobs.start("revoke", Key.objects.all(), BY, "", {})
    with broken:
        jobs.work(job.pk)
    job.refresh_from_db()
    assert (job.done, job.failed, job.errors[0][1]) == (3, 1, key_jobs.BROKEN)


def test_a_sweep_wakes_jobs_that_nobody_works_on(keys: list[Any], few_at_once: None, monkeypatch: Any) -> None:
    job = key_jobs.start("block", Key.objects.all(), BY, "", {})
    woken: list[int] = []
    monkeypatch.setattr(jobs, "wake", woken.append)
    jobs.sweep()
    Job.objects.update(claimed_until=timezone.now() + timedelta(minutes=1))
    jobs.sweep()
    Job.objects.update(finished_at=timezone.now() - timedelta(days=31), claimed_until=None)
    jobs.sweep()
    assert woken == [job.pk] and not Job.objects.exists()


def test_confined_staff_see_their_own_jobs_only(
    client: Client, acme: Organisation, keys: list[Any], few_at_once: None
) -> None:
    person = User.objects.create_user("confined", is_staff=True)
    person.user_permissions.add(Permission.objects.get(codename="view_key"))
    StaffConfinement.objects.create(user=person).organisations.add(acme)
    client.force_login(person)
    job = key_jobs.start("block", Key.objects.all(), BY, "", {})
    assert client.get(f"{LIST}jobs/{job.pk}/").status_code == 404
    own = key_jobs.start("block", Key.objects.all(), Actor.person("confined"), "", {})
    assert client.get(f"{LIST}jobs/{own.pk}/").status_code == 200


def test_the_request_only_says_which_keys_and_later_ones_are_not_meant(
    acme: Organisation, keys: list[Any], few_at_once: None
) -> None:
    with CaptureQueriesContext(connection) as queries:
        job = key_jobs.start("block", Key.objects.filter(alias__in=["one", "two", "late"]), BY, "", {})
    assert not any("sessions_app_key" in query["sql"].split("VALUES")[0] for query in queries.captured_queries)
    late = make(acme, "late")
    jobs.work(job.pk)
    assert sorted(Key.objects.filter(is_inactive=True).values_list("alias", flat=True)) == ["one", "two"]
    assert not Key.objects.get(pk=late.pk).is_inactive


def test_a_job_reads_its_items_from_where_it_is(keys: list[Any], few_at_once: None) -> None:
    job = key_jobs.start("block", Key.objects.all(), BY, "", {})
    with CaptureQueriesContext(connection) as queries:
        jobs.work(job.pk)
    reads = [query["sql"] for query in queries.captured_queries if 'FROM "sessions_app_keyjobitem"' in query["sql"]]
    assert reads and all('"id" > ' in sql or sql.startswith("DELETE") for sql in reads)
