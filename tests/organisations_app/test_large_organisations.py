"""An organisation that owns more than a request can erase: closed at once, erased by a job, lot by lot."""

from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from monitors_app.models import Attempt, Delivery, Monitor
from organisations_app import dependents, erasure, jobs, organisations
from organisations_app.audit import Actor
from organisations_app.dependents import count_all, dependents_of, erase
from organisations_app.models import Application, AuditEntry, Job, Organisation
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app import grants, routes
from sessions_app.edge import usage
from sessions_app.keys import create_key
from sessions_app.models import Credential, Key, OrgSession, UsageDay, UsageHour
from tests.admin_world import event_of, everything_of
from tests.administration import Administration, spend, token_client
from tests.factories import AcmeFactory, GlobexFactory
from tests.sessions_app.edge.conftest import call
from tyk_migration.exporting import export

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store")]

ORGANISATIONS = "/admin/organisations_app/organisation/"


@pytest.fixture(autouse=True)
def _little_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dependents, "MOST_COUNTED", 2)
    monkeypatch.setattr(erasure, "ROWS_PER_LOT", 5)
    monkeypatch.setattr(jobs, "wake", lambda job_id: None)
    grants.forget()
    routes.forget()


def key_of(organisation: Organisation, name: str, policy: str) -> str:
    return create_key(Key(pk=f"key_{name}", organisation=organisation, alias=name), policies=[policy])


def hours_of(organisation: Organisation, key: str, count: int) -> None:
    now = timezone.now()
    for number in range(count):
        UsageHour.objects.create(organisation=organisation, key_id=key, api_id="orders", hour=now, epoch=str(number))
    UsageDay.objects.create(organisation=organisation, day=now.date())


@pytest.fixture
def acme() -> Organisation:
    acme = AcmeFactory.create()
    Api.objects.create(id="orders", organisation=acme, name="Orders", listen_path="/orders/", target_url="http://up")
    PolicyAccess.objects.create(
        policy=Policy.objects.create(id="free", organisation=acme, name="Free"), api_id="orders"
    )
    everything_of(acme, "a")
    hours_of(acme, "key_1", 12)
    return acme


@pytest.fixture
def tokens(acme: Organisation) -> list[str]:
    return [key_of(acme, str(number), "free") for number in range(7)]


def delete(admin_client: Client) -> Job:
    answer = admin_client.post(f"{ORGANISATIONS}acme/delete/", {"post": "yes", "audit_reason": "left"}, follow=True)
    job = Job.objects.get()
    html = answer.content.decode()
    assert f"{ORGANISATIONS}jobs/{job.pk}/" in html and "deleted successfully" not in html
    return job


def owned_by(organisation_id: str) -> dict[str, int]:
    """Rows of every model that names an organisation, as far as there are any."""
    counts = {}
    for model in apps.get_models():
        names = [f.name for f in model._meta.concrete_fields if f.related_model is Organisation]
        for name in names:
            if count := model._default_manager.filter(**{name: organisation_id}).count():
                counts[model.__name__] = count
    return counts


# --- closed at once ---------------------------------------------------------------------------------------------------


def test_nothing_of_it_works_from_the_next_request_on(
    admin_client: Client, acme: Organisation, tokens: list[str]
) -> None:
    monitor = Monitor.objects.create(name="Hook", organisation=acme, target_path="https://hooks.example/")
    waiting = Delivery.objects.create(
        event=event_of("acme", "x"), monitor=monitor, channel="webhook", recipient="x", subject="k"
    )
    its_token = token_client(organisation_id="acme")
    developer = User.objects.get(developer__organisation=acme)
    portal = Client()
    portal.force_login(developer)
    assert spend(tokens[0], "orders") == ["passed"] and its_token.get("/keys")
    assert call(usage.me, "/me/usage", ("Authorization", tokens[0])).status == 200
    assert portal.get("/portal/").status_code == 200 and routes.refresh().match("/orders/")
    delete(admin_client)
    assert [spend(token, "orders") for token in tokens] == [["refused"]] * 7
    assert call(usage.me, "/me/usage", ("Authorization", tokens[0])).status == 401
    assert its_token.refused("GET", "/keys")[0] == 401
    assert portal.get("/portal/").status_code != 200
    assert routes.refresh().match("/orders/") is None
    assert not Monitor.objects.filter(organisation=acme, is_enabled=True).exists()
    waiting.refresh_from_db()
    assert waiting.status == "cancelled" and Key.objects.count() >= 7


def test_the_rest_api_says_that_it_is_gone_and_when_its_id_is_free(
    rest: Administration, tyk: Administration, acme: Organisation, tokens: list[str]
) -> None:
    assert rest.ask("DELETE", "/organisations/acme").status_code == 204
    assert rest.refused("GET", "/organisations/acme")[0] == 404
    assert "acme" not in [each["id"] for each in rest.get("/organisations")["results"]]
    assert rest.refused("DELETE", "/organisations/acme")[0] == 404
    assert rest.refused("POST", "/organisations", {"id": "acme", "name": "Again"})[0] in (400, 409)
    status, problem = rest.refused("POST", "/keys", {"org_id": "acme", "apply_policies": ["free"]})
    assert status == 400 and "no organisation that exists" in problem["detail"]
    assert tyk.refused("POST", "/keys/create", {"org_id": "acme", "apply_policies": ["free"]})[0] == 400
    jobs.work(Job.objects.get().pk)
    assert rest.done("POST", "/organisations", {"id": "acme", "name": "Again"})["id"] == "acme"
    [entry] = AuditEntry.objects.filter(subject_id="acme", action="delete")
    assert entry.before["name"] == "Acme"


def test_the_admin_only_shows_it_until_it_is_gone(admin_client: Client, acme: Organisation, tokens: list[str]) -> None:
    job = delete(admin_client)
    assert "Acme (being deleted)" in admin_client.get(ORGANISATIONS).content.decode()
    assert 'name="_save"' not in admin_client.get(f"{ORGANISATIONS}acme/change/").content.decode()
    assert admin_client.post(f"{ORGANISATIONS}acme/delete/", {"post": "yes"}).status_code == 403
    assert Job.objects.count() == 1
    jobs.work(job.pk)
    html = admin_client.get(f"{ORGANISATIONS}jobs/{job.pk}/").content.decode()
    assert "Organisation deleted: Acme" in html and "rows: finished" in html
    assert admin_client.get(f"/admin/sessions_app/key/jobs/{job.pk}/").status_code == 404, "no job on keys"
    [entry] = AuditEntry.objects.filter(subject_kind="organisation")
    assert (entry.action, entry.before["name"], entry.reason) == ("delete", "Acme", "left")


def test_a_change_that_was_on_its_way_does_not_open_it_again(
    admin_client: Client, acme: Organisation, tokens: list[str]
) -> None:
    on_its_way = Organisation.objects.get(pk="acme")
    delete(admin_client)
    on_its_way.name = "Changed"
    with pytest.raises(ValidationError, match="acme is being deleted"):
        organisations.save_organisation(on_its_way)
    assert not Organisation.objects.living().exists() and spend(tokens[0], "orders") == ["refused"]
    jobs.work(Job.objects.get().pk)
    with pytest.raises(ValidationError, match="acme is being deleted"):
        organisations.save_organisation(on_its_way)
    assert not Organisation.objects.exists()


def test_who_deletes_it_at_the_same_time_begins_no_second_job(acme: Organisation, tokens: list[str]) -> None:
    seen_by_both = [Organisation.objects.get(pk="acme") for _ in range(2)]
    begun = [organisations.delete_organisation(each, Actor("somebody")) for each in seen_by_both]
    assert begun == [Job.objects.get(), None]


def test_an_export_leaves_out_what_waits_to_be_erased(
    admin_client: Client, acme: Organisation, tokens: list[str], tmp_path: Path
) -> None:
    assert OrgSession.objects.filter(organisation=acme).exists()
    assert min(export(tmp_path / "before").values()) > 0
    delete(admin_client)
    counts = export(tmp_path / "after")
    assert counts == {"monitor": 1, "apis": 0, "policies": 0, "organisations": 0, "keys": 0}


def test_a_small_one_is_gone_at_once(admin_client: Client) -> None:
    AcmeFactory.create()
    admin_client.post(f"{ORGANISATIONS}acme/delete/", {"post": "yes"})
    assert not Organisation.objects.exists() and not Job.objects.exists()


# --- erased lot by lot ------------------------------------------------------------------------------------------------


def test_everything_is_erased_in_lots_and_nothing_of_others(
    admin_client: Client, acme: Organisation, tokens: list[str]
) -> None:
    globex = GlobexFactory.create()
    Policy.objects.create(id="other", organisation=globex, name="Other")
    key_of(globex, "theirs", "other")
    hours_of(globex, "key_theirs", 3)
    theirs = owned_by("globex")
    job = delete(admin_client)
    lots = 0
    claim = jobs._claim(job.pk)
    while claim is not None:
        before = count_all(Organisation.objects.filter(pk="acme"))
        claim = jobs._after_lot(job.pk, claim)
        assert before - count_all(Organisation.objects.filter(pk="acme")) <= 2 * erasure.ROWS_PER_LOT
        lots += 1
    job.refresh_from_db()
    assert lots > 5 and job.done == job.total and job.finished_at is not None
    assert owned_by("acme") == {} and not Organisation.objects.filter(pk="acme").exists()
    assert owned_by("globex") == theirs and Credential.objects.count() == 1


def test_no_key_is_pointed_at_nothing_before_it_goes(acme: Organisation, tokens: list[str]) -> None:
    """A million keys of one application would be written for nothing, and in one lot."""
    assert Key.objects.update(application=Application.objects.get()) >= 7
    rows, written = Organisation.objects.filter(pk="acme"), []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        answer = execute(sql, params, many, context)
        if sql.startswith('UPDATE "sessions_app_key"'):
            written.append(context["cursor"].rowcount)
        return answer

    with connection.execute_wrapper(watch):
        while erase(rows, 5):
            pass
    assert not rows.exists() and not any(written)


def test_a_write_in_between_is_erased_with_the_next_turn(
    admin_client: Client, acme: Organisation, tokens: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Usage of the last hour may be copied while the last lot commits."""
    job = delete(admin_client)

    def overtaken(rows: Any, most: int) -> int:
        monkeypatch.undo()
        raise IntegrityError

    monkeypatch.setattr(erasure, "erase", overtaken)
    jobs.work(job.pk)
    assert Organisation.objects.filter(pk="acme").exists()
    Job.objects.update(claimed_until=None)
    jobs.work(job.pk)
    assert not Organisation.objects.filter(pk="acme").exists()


# --- what is counted --------------------------------------------------------------------------------------------------


def test_of_many_owners_only_some_are_looked_at() -> None:
    acme = AcmeFactory.create()
    monitor = Monitor.objects.create(name="Hook", organisation=acme)
    for number in range(4):
        delivery = Delivery.objects.create(
            event=event_of("acme", str(number)), monitor=monitor, channel="webhook", recipient="x", subject="k"
        )
        if number == 0:
            now = timezone.now()
            Attempt.objects.create(delivery=delivery, number=1, started_at=now, duration_ms=1)
    with CaptureQueriesContext(connection) as queries:
        found = {each.model: each for each in dependents_of(Organisation, ["acme"])}
    assert len(queries) <= 4
    assert (found[Monitor].count, found[Monitor].is_least) == (1, False)
    assert (found[Delivery].count, found[Delivery].is_least) == (3, False)
    assert found[Attempt].is_least and found[Attempt].are_many


def test_too_many_selected_rows_are_not_deleted(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("organisations_app.admin_deletion.MOST_SELECTED", 1)
    pks = [AcmeFactory.create().pk, GlobexFactory.create().pk]
    selected = {"action": "delete_selected", "_selected_action": pks, "post": "yes"}
    page = admin_client.post(ORGANISATIONS, selected, follow=True)
    assert "At most 1 are deleted together" in page.content.decode() and Organisation.objects.count() == 2
