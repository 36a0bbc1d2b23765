"""Jobs by real workers that are killed or stopped in the middle, over a real broker: the store, or RabbitMQ."""

import re
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.conf import settings
from django.test import Client
from django.utils import timezone

from organisations_app import jobs
from organisations_app.audit import Actor
from organisations_app.models import AuditEntry, Job, Organisation
from organisations_app.organisations import ERASE
from policies_app.models import Api, Policy, PolicyAccess
from policies_app.tyk import policy_from_tyk, policy_to_tyk
from sessions_app import what_if_jobs, whatif
from sessions_app.keys import find_by_token
from sessions_app.models import Credential, Key, KeyJobItem, KeyJobShare, KeyPolicy, UsageHour
from sessions_app.new_keys import NewKey, create_keys
from sessions_app.usage import key_quotas
from sessions_app.whatif import preview, what_if
from tests.administration import spend
from tests.factories import AcmeFactory
from tests.monitors_app.worker_processes import ALL_QUEUES, WorkerProcess, look_again, publish
from tests.whole_gateway import wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.services]

LIST = "/admin/sessions_app/key/"
ORGANISATIONS = "/admin/organisations_app/organisation/"
POLICIES = "/admin/policies_app/policy/"
COUNT = 2_000
USED = 7
HOURS = 20_000
MEMBERS = 8_000


@dataclass
class Workers:
    """`queue` is ours alone where the broker serves other tests, too."""

    folder: Path
    broker: str = ""
    queues: str = ALL_QUEUES
    queue: str = "housekeeping"
    started: list[WorkerProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        if settings.CELERY_BROKER_URL.startswith("amqp"):
            self.broker = settings.CELERY_BROKER_URL
            self.queue = self.queues = f"jobs-{secrets.token_hex(6)}"

    def start(self) -> WorkerProcess:
        log = self.folder / f"worker-{len(self.started)}.log"
        self.started.append(WorkerProcess(log, 2, broker=self.broker, queues=self.queues))
        wait_for(lambda: self.started[-1].is_ready, 60)
        return self.started[-1]

    def wake(self, job_id: int) -> None:
        publish("work_on_job", job_id, queue=self.queue, app="organisations_app", broker=self.broker)

    def sweep(self, job: Job) -> None:
        """Where the queue is ours alone, the worker's own call would go to nobody."""
        publish("sweep_jobs", queue=self.queue, app="organisations_app", broker=self.broker)
        if self.broker:
            self.wake(job.pk)

    def stop(self) -> None:
        for worker in self.started:
            worker.stop()
        if self.broker:
            with Celery("cleaner", broker=self.broker, set_as_current=False).connection_for_write() as connection:
                channel: Any = connection.default_channel
                channel.queue_delete(self.queue)


@pytest.fixture
def workers(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    """What this process would tell its own broker goes to theirs."""
    workers = Workers(tmp_path)
    monkeypatch.setattr(jobs, "wake", workers.wake)
    yield workers
    workers.stop()


@pytest.fixture
def acme() -> Organisation:
    return AcmeFactory.create()


@pytest.fixture
def tokens(acme: Organisation) -> list[str]:
    """Of many keys, in the order of their names."""
    Api.objects.create(id="orders", organisation=acme, name="Orders", listen_path="/orders/")
    free = Policy.objects.create(id="free", organisation=acme, name="Free", quota_max=10, quota_renewal_rate=3600)
    PolicyAccess.objects.create(policy=free, api_id="orders")
    keys = [Key(pk=f"key_{number:012}", organisation=acme, alias=f"{number}") for number in range(COUNT)]
    made: list[str] = []
    for begin in range(0, COUNT, 500):
        made += create_keys([NewKey(key, (), ("free",)) for key in keys[begin : begin + 500]])
    return made


def begin(client: Client, action: str) -> Job:
    """All that match, from the list of keys to the page of the job."""
    selected = {"action": action, "_selected_action": [Key.objects.first().pk], "select_across": "1"}
    page = client.post(LIST, {**selected, "confirmed": "yes", "reason": "leaked"}, follow=True)
    job = Job.objects.get()
    assert page.redirect_chain == [(f"{LIST}jobs/{job.pk}/", 302)]
    return job


def progress(client: Client, job: Job) -> tuple[int, bool]:
    """As the page's bar asks for it: how much is done, and whether that is all."""
    look_again()
    pages = {ERASE: ORGANISATIONS, what_if_jobs.ACT: POLICIES}.get(job.act, LIST)
    html = client.get(f"{pages}jobs/{job.pk}/", headers={"HX-Request": "true"}).content.decode()
    bar = re.search(r'max="(\d+)" value="(\d+)"', html)
    return (int(bar[2]) if bar else 0), "finished" in html


def kill_in_the_middle(client: Client, job: Job, worker: WorkerProcess) -> None:
    """Once the bar was seen to grow twice."""
    seen: set[int] = set()

    def has_grown() -> bool:
        done, is_finished = progress(client, job)
        assert not is_finished, "too quick to be killed"
        seen.add(done)
        return len(seen - {0}) >= 2

    wait_for(has_grown, 60)
    worker.kill()


def let_another_take_it_up(client: Client, job: Job, workers: Workers) -> None:
    look_again()
    Job.objects.filter(pk=job.pk).exclude(claimed_until=None).update(
        claimed_until=timezone.now() - timedelta(seconds=1)
    )
    workers.start()
    workers.sweep(job)
    wait_for(lambda: progress(client, job)[1], 120)
    look_again()
    job.refresh_from_db()
    assert job.done == job.total and not job.failed


def audited(action: str) -> Counter[str]:
    return Counter(AuditEntry.objects.filter(action=action, reason="leaked").values_list("subject_id", flat=True))


def test_a_job_whose_worker_is_killed_is_taken_up_and_does_each_key_once(
    admin_client: Client, tokens: list[str], workers: Workers
) -> None:
    worker = workers.start()
    job = begin(admin_client, "revoke_selected")
    kill_in_the_middle(admin_client, job, worker)
    look_again()
    revoked = dict(Key.objects.exclude(revoked_at=None).values_list("pk", "revoked_at"))
    assert 0 < len(revoked) < COUNT
    let_another_take_it_up(admin_client, job, workers)
    assert audited("revoke") == Counter(Key.objects.values_list("pk", flat=True)), "each key, once"
    assert dict(Key.objects.filter(pk__in=revoked).values_list("pk", "revoked_at")) == revoked
    assert not Key.objects.filter(revoked_at=None).exists() and not KeyJobItem.objects.exists()
    assert find_by_token(tokens[0]) is None and spend(tokens[-1], "orders") == ["refused"]


def test_counters_are_reset_once_each_though_the_worker_is_killed(
    admin_client: Client, tokens: list[str], workers: Workers
) -> None:
    used = {f"key_{number:012}": token for number, token in enumerate(tokens) if number % 4 == 0}
    for token in used.values():
        spend(token, "orders", USED)
    worker = workers.start()
    job = begin(admin_client, "reset_selected")
    kill_in_the_middle(admin_client, job, worker)
    for token in used.values():
        spend(token, "orders")  # after the reset of those that were done: not to be forgiven by a second one
    look_again()
    was_done = set(audited("reset-quota"))
    let_another_take_it_up(admin_client, job, workers)
    entries = {entry.subject_id: sum(entry.before["used"].values()) for entry in AuditEntry.objects.all()}
    assert audited("reset-quota") == Counter(Key.objects.values_list("pk", flat=True)), "each key, once"
    left = {pk: quotas[0].used for pk, quotas in key_quotas(list(Key.objects.filter(pk__in=used))).items()}
    for pk, remaining in left.items():
        assert entries[pk] + remaining == USED + 1, "nothing is forgiven that no entry tells of"
        assert remaining == 1 or pk not in was_done


def used_for_long(organisation: Organisation) -> None:
    """Enough to erase for the worker to be caught at it."""
    begin = timezone.now().replace(minute=0, second=0, microsecond=0)
    hours = (begin - timedelta(hours=number) for number in range(HOURS))
    rows = [
        UsageHour(organisation=organisation, key_id="key_000000000000", api_id="orders", hour=hour) for hour in hours
    ]
    UsageHour.objects.bulk_create(rows)


def test_an_organisation_whose_eraser_is_killed_is_erased_by_another(
    admin_client: Client, acme: Organisation, tokens: list[str], workers: Workers
) -> None:
    assert spend(tokens[0], "orders") == ["passed"]
    used_for_long(acme)
    worker = workers.start()
    admin_client.post(f"{ORGANISATIONS}acme/delete/", {"post": "yes", "audit_reason": "leaked"})
    assert spend(tokens[0], "orders") == ["refused"], "at once"
    kill_in_the_middle(admin_client, job := Job.objects.get(), worker)
    look_again()
    assert Organisation.objects.filter(pk="acme").exists()
    let_another_take_it_up(admin_client, job, workers)
    owned: tuple[Any, ...] = (Organisation, Api, Policy, Key, Credential, KeyPolicy, UsageHour)
    assert not any(model.objects.exists() for model in owned)
    assert audited("delete") == Counter(["acme"])


# --- a what-if --------------------------------------------------------------------------------------------------------


def shared_by_teams(organisation: Organisation) -> Policy:
    """A policy whose keys count on one counter for each team: they are looked at twice."""
    Api.objects.create(id="orders", organisation=organisation, name="Orders", listen_path="/orders/")
    pattern = {"rate_limit_pattern": "$tyk_meta.team"}
    policy = Policy.objects.create(
        id="free", organisation=organisation, name="Free", quota_max=9_000, quota_period="day", meta_data=pattern
    )
    PolicyAccess.objects.create(policy=policy, api_id="orders")
    keys = [
        Key(pk=f"key_{number:012}", organisation=organisation, meta_data={"team": f"{number % 7}"})
        for number in range(MEMBERS)
    ]
    Key.objects.bulk_create(keys)
    KeyPolicy.objects.bulk_create(KeyPolicy(key=key, policy=policy) for key in keys)
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    UsageHour.objects.bulk_create(
        UsageHour(
            organisation=organisation, key=key, api_id="orders", hour=hour - timedelta(hours=number % 300), passed=5
        )
        for number, key in enumerate(keys)
    )
    return policy


def test_a_what_if_whose_worker_is_killed_finds_what_a_request_would(
    admin_client: Client, acme: Organisation, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = shared_by_teams(acme)
    document = policy_to_tyk(policy, policy.access.all()) | {"quota_max": 40}
    asked = what_if(policy, policy_from_tyk(document), timezone.now())
    worker = workers.start()
    job = what_if_jobs.start(policy, asked, Actor.person("admin"))
    kill_in_the_middle(admin_client, job, worker)
    let_another_take_it_up(admin_client, job, workers)
    for bound in ("KEYS_AT_ONCE", "SHARES_AT_ONCE", "HOURS_AT_ONCE", "LOOKED_THROUGH_AT_ONCE"):
        monkeypatch.setattr(whatif, bound, 10 * MEMBERS)
    found = what_if_jobs.answer_of(job)
    assert found == preview(asked) and found.denied_total > 0 and found.keys == MEMBERS
    assert not KeyJobShare.objects.exists()


# --- stopping ---------------------------------------------------------------------------------------------------------


def test_a_job_that_is_stopped_has_done_what_it_says_and_no_more(
    admin_client: Client, tokens: list[str], workers: Workers
) -> None:
    workers.start()
    job = begin(admin_client, "reset_selected")
    wait_for(lambda: progress(admin_client, job)[0] > 0, 60)
    admin_client.post(f"{LIST}jobs/{job.pk}/stop/", {"confirmed": "yes", "reason": "wrong keys"})

    def has_ended() -> bool:
        look_again()
        job.refresh_from_db()
        return job.finished_at is not None

    wait_for(has_ended, 60)
    assert job.status == "stopped" and 0 < job.done < COUNT, "too quick to be stopped"
    assert audited("reset-quota").total() == len(audited("reset-quota")) == job.done
    assert not KeyJobItem.objects.exists()
    assert AuditEntry.objects.get(action="stop").reason == "wrong keys"
