"""Jobs that end before all is done: stopped by people, or of an act that this release does not know."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from organisations_app import jobs
from organisations_app.audit import Actor
from organisations_app.models import AuditEntry, Job, Organisation
from organisations_app.organisations import ERASE
from policies_app.models import Api
from sessions_app import key_jobs
from sessions_app.correction_notes import enter_left_behind
from sessions_app.models import Key, KeyJobItem
from tests.administration import spend
from tests.factories import AcmeFactory
from tests.sessions_app.test_whatif import key_with, policy_named

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store", "quiet"), pytest.mark.services]

BY = Actor.person("admin")
KEYS = "/admin/sessions_app/key/"
ORGANISATIONS = "/admin/organisations_app/organisation/"
UNKNOWN = "paint-keys"


@pytest.fixture(autouse=True)
def small_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_jobs, "KEYS_PER_LOT", 2)


@pytest.fixture
def acme() -> Organisation:
    return AcmeFactory.create()


@pytest.fixture
def keys(acme: Organisation) -> list[Any]:
    Api.objects.create(id="a", organisation=acme, name="a", listen_path="/a/")
    policy_named("p", "a", quota_max=100)
    return [key_with("p", alias=f"{number}") for number in range(6)]


def begun(act: str, lots: int) -> Job:
    """A job with so many lots done, and nobody at it."""
    job = key_jobs.start(act, Key.objects.all(), BY, "leaked", {})
    claim = jobs._claim(job.pk)
    for _ in range(lots + 1):  # the first one writes down which keys are meant
        assert claim is not None
        claim = jobs._after_lot(job.pk, claim)
    Job.objects.update(claimed_until=None)
    return job


def stop(client: Client, job: Job, pages: str = KEYS, **more: Any) -> Any:
    return client.post(f"{pages}jobs/{job.pk}/stop/", {"confirmed": "yes", "reason": "wrong keys", **more}, follow=True)


# --- stopping ---------------------------------------------------------------------------------------------------------


def test_what_was_done_stays_done_and_the_rest_is_not_done(admin_client: Client, keys: list[Any]) -> None:
    job = begun("block", lots=2)
    page = f"{KEYS}jobs/{job.pk}/"
    assert "Stop …" in admin_client.get(page).content.decode()
    asked = admin_client.get(f"{page}stop/").content.decode()
    assert "What was done stays done; the rest is not done." in asked and not Job.objects.get().stop_asked_by, (
        "asked first"
    )
    assert "It is being stopped" in stop(admin_client, job).content.decode()
    jobs.work(job.pk)
    shown = admin_client.get(page).content.decode()
    assert "4 of 6 keys: stopped" in shown and "Stopped by admin:admin." in shown and "Stop …" not in shown
    assert Key.objects.filter(is_inactive=True).count() == 4 and not KeyJobItem.objects.exists()
    assert "4 of 6 keys: stopped" in admin_client.get(KEYS).content.decode()


def test_stopping_is_audited_once(admin_client: Client, keys: list[Any]) -> None:
    job = begun("block", lots=1)
    stop(admin_client, job), stop(admin_client, job)
    [entry] = AuditEntry.objects.filter(action="stop")
    assert (entry.actor, entry.subject_kind, entry.subject_id, entry.reason) == (
        "admin:admin",
        "job",
        str(job.pk),
        "wrong keys",
    )
    assert entry.before == {"act": "block", "begun_by": "admin:admin", "done": 2, "total": 6}


def test_a_job_that_has_finished_cannot_be_stopped(admin_client: Client, keys: list[Any]) -> None:
    job = begun("block", lots=0)
    jobs.work(job.pk)
    assert "It has ended, or is being stopped." in stop(admin_client, job).content.decode()
    assert not jobs.stop(job, BY, "") and not AuditEntry.objects.filter(action="stop").exists()
    job.refresh_from_db()
    assert (job.status, job.done) == ("finished", 6)


def test_a_job_is_stopped_before_it_began(admin_client: Client, keys: list[Any]) -> None:
    job = key_jobs.start("revoke", Key.objects.all(), BY, "", {})
    stop(admin_client, job)
    jobs.work(job.pk)
    assert "Nothing was done: stopped" in admin_client.get(f"{KEYS}jobs/{job.pk}/").content.decode()
    assert not Key.objects.exclude(revoked_at=None).exists()


def test_a_lot_that_is_being_done_is_counted_before_the_job_stops(keys: list[Any]) -> None:
    """The worker has reset its keys in the store already when somebody stops the job."""
    for key in keys:
        spend(key.token, "a", 3)
    job = begun("reset-quota", lots=1)
    claim = jobs._claim(job.pk)
    assert claim is not None
    prepare = jobs.kind_of(job).prepare
    job.refresh_from_db()
    lot = prepare(job)
    assert jobs.stop(job, BY, "")
    assert len(lot.items) == 2
    claim = jobs._do_lot(job, claim)
    assert claim is not None and jobs._after_lot(job.pk, claim) is None
    job.refresh_from_db()
    assert (job.status, job.done) == ("stopped", 4)
    assert AuditEntry.objects.filter(action="reset-quota").count() == 4


def test_what_a_dead_worker_had_reset_is_audited_though_the_job_is_stopped(
    keys: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in keys:
        spend(key.token, "a", 3)
    job = begun("reset-quota", lots=0)
    assert jobs._claim(job.pk)
    jobs.kind_of(job).prepare(Job.objects.get())  # and then the worker dies
    Job.objects.update(claimed_until=None)
    jobs.stop(job, BY, "")
    jobs.work(job.pk)
    job.refresh_from_db()
    assert (job.status, job.done) == ("stopped", 0)
    monkeypatch.setattr("sessions_app.correction_notes.LEFT_BEHIND_MS", 0)
    assert enter_left_behind() == 2 == AuditEntry.objects.filter(action="reset-quota").count()


def test_the_erasure_of_a_closed_organisation_cannot_be_stopped(admin_client: Client) -> None:
    job = Job.objects.create(act=ERASE, actor=BY.name, given={"name": "Acme", "organisation": "acme"})
    assert "Stop …" not in admin_client.get(f"{ORGANISATIONS}jobs/{job.pk}/").content.decode()
    assert stop(admin_client, job, ORGANISATIONS).status_code == 403 and not jobs.stop(job, BY, "")


def test_who_began_a_job_and_who_may_change_keys_may_stop_it(client: Client, keys: list[Any]) -> None:
    staff = User.objects.create_user("support", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename__in=["view_key", "revoke_key"]))
    client.force_login(staff)
    own = key_jobs.start("revoke", Key.objects.all(), Actor.person("support"), "", {})
    others = key_jobs.start("block", Key.objects.all(), BY, "", {})
    assert "Stop …" in client.get(f"{KEYS}jobs/{own.pk}/").content.decode()
    assert "Stop …" not in client.get(f"{KEYS}jobs/{others.pk}/").content.decode()
    assert [stop(client, job).status_code for job in (own, others)] == [200, 403]
    assert list(Job.objects.exclude(stop_asked_by="")) == [own]


# --- unknown acts -----------------------------------------------------------------------------------------------------


def test_a_job_of_another_release_is_ended_and_shown_in_words(admin_client: Client) -> None:
    job = Job.objects.create(act=UNKNOWN, actor=BY.name, total=9, errors=[["key_1", "x"]])
    for pages in (KEYS, ORGANISATIONS):
        assert UNKNOWN in admin_client.get(f"{pages}jobs/{job.pk}/").content.decode()
    jobs.work(job.pk)
    job.refresh_from_db()
    assert (job.status, job.claimed_until) == ("failed", None)
    for pages in (KEYS, ORGANISATIONS):
        assert UNKNOWN in admin_client.get(pages).content.decode()
        shown = admin_client.get(f"{pages}jobs/{job.pk}/").content.decode()
        assert "0 of 9 steps: failed" in shown and "This release does not know the act “paint-keys”" in shown


def test_a_job_of_another_release_is_not_woken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job.objects.create(act=UNKNOWN, actor=BY.name)
    woken: list[int] = []
    monkeypatch.setattr(jobs, "wake", woken.append)
    jobs.sweep()
    jobs.work(job.pk)
    jobs.sweep()
    assert woken == [job.pk]
