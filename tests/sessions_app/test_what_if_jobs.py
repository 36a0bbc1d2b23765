"""What-ifs by workers: the same answer as at once, lot by lot, kept with what was typed."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from organisations_app import jobs
from organisations_app.audit import Actor
from organisations_app.models import AuditEntry, Job, Organisation, StaffConfinement
from policies_app.models import Api, Policy, PolicyAccess
from policies_app.tyk import policy_from_tyk, policy_to_tyk
from sessions_app import what_if_jobs, whatif
from sessions_app.models import Key, KeyJobShare, UsageHour
from sessions_app.whatif import Preview, TooMuch, WhatIf, preview, what_if
from tests.admin_pages import form_values
from tests.administration import spend
from tests.factories import AcmeFactory, GlobexFactory
from tests.sessions_app.test_whatif import DAILY, asked_for, key_with, policy_named

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store", "quiet"), pytest.mark.services]

BY = Actor.person("admin")
NOW = datetime(2025, 6, 20, 12, 30, tzinfo=UTC)
PAGES = "/admin/policies_app/policy/"


@pytest.fixture(autouse=True)
def acme() -> Organisation:
    acme = AcmeFactory.create(timezone="UTC")
    for name in "abc":
        Api.objects.create(id=name, organisation=acme, name=name, listen_path=f"/{name}/")
    return acme


@pytest.fixture
def small_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(what_if_jobs, "KEYS_PER_LOT", 3)
    monkeypatch.setattr(what_if_jobs, "SHARES_PER_LOT", 2)


@pytest.fixture
def none_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whatif, "KEYS_AT_ONCE", 0)


def question(policy: Policy, now: datetime = NOW, **members: Any) -> WhatIf:
    document = policy_to_tyk(policy, policy.access.all()) | members
    return what_if(policy, policy_from_tyk(document), now)


def by_a_job(policy: Policy, asked: WhatIf) -> Preview:
    job = what_if_jobs.start(policy, asked, BY)
    jobs.work(job.pk)
    job.refresh_from_db()
    assert (job.done, job.failed) == (job.total, 0)
    answer = what_if_jobs.answer_of(job)
    assert answer is not None and not KeyJobShare.objects.exists()
    return answer


def make_world(dice: random.Random) -> list[Policy]:
    """Keys of two policies, alone and by teams, over three APIs, two of them with limits of their own."""
    shared = {"rate_limit_pattern": "$tyk_meta.team"} if dice.random() < 0.6 else {}
    policies = [
        policy_named("p", "ab", quota_max=dice.choice([50, -1]), meta_data=shared, **DAILY),
        policy_named("q", "bc", quota_max=dice.choice([5, 80]), quota_renewal_rate=dice.choice([0, 7200, 90_000])),
    ]
    PolicyAccess.objects.filter(policy="p", api="b").update(has_limit=True, quota_max=40, quota_period="week")
    for _ in range(17):
        team = dice.choice(["", "red", "blue", "green"])
        own = {"rate_limit_pattern": "$tyk_meta.team"} if dice.random() < 0.4 else {}
        applied = dice.choice([["p"], ["p", "q"], ["q"], ["q", "p"]])
        key = key_with(*applied, meta_data={"team": team, **own}, is_inactive=dice.random() < 0.1)
        for hours_ago in dice.sample(range(40 * 24), 30):
            asked_for(key, hours_ago, dice.randrange(20), dice.randrange(3), api=dice.choice("abc"))
        if dice.random() < 0.1:
            Key.objects.filter(pk=key.pk).update(revoked_at=NOW - timedelta(days=dice.choice([3, 30])))
    return policies


def some_change(dice: random.Random) -> dict[str, Any]:
    return dice.choice(
        [
            {"quota_max": dice.randrange(1, 60)},
            {"quota_max": dice.randrange(1, 60), "quota_period": "month"},
            {"quota_max": dice.randrange(1, 60), "quota_period": "rolling", "quota_renewal_rate": 5 * 3600},
            {"meta_data": {"rate_limit_pattern": "$tyk_meta.team"}, "quota_max": dice.randrange(1, 60)},
            {"meta_data": {}, "quota_max": dice.randrange(1, 60)},
            {"access_rights": {"a": {}, "c": {"limit": {"quota_max": 9, "quota_renewal_rate": 0}}}},
            {"is_inactive": True},
        ]
    )


@pytest.mark.parametrize("seed", range(25))
def test_a_job_finds_what_a_request_finds(small_lots: None, seed: int) -> None:
    dice = random.Random(seed)
    for policy in make_world(dice):
        for _ in range(3):
            asked = question(policy, **some_change(dice))
            assert by_a_job(policy, asked) == preview(asked)


def test_a_live_counter_of_many_keys_is_seen_across_lots(small_lots: None) -> None:
    policy = policy_named("p", "a", quota_max=100, meta_data={"rate_limit_pattern": "$tyk_meta.team"}, **DAILY)
    policy_named("q", "a", quota_max=100, **DAILY)
    keys = [key_with("p", meta_data={"team": "red"}, alias=f"{number}") for number in range(9)]
    outside = key_with("q", meta_data={"team": "red", "rate_limit_pattern": "$tyk_meta.team"})
    for key in (*keys, outside):
        spend(key.token, "a", 2)
    found = by_a_job(policy, question(policy, datetime.now(UTC), quota_max=20))
    [above] = found.above_now
    assert (above.subject, above.keys, len(above.key_ids), above.used, found.counters) == ("red", 10, 5, 20, 1)


def test_many_keys_or_hours_are_too_much_for_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_named("p", "a", quota_max=100, meta_data={"rate_limit_pattern": "$tyk_meta.team"}, **DAILY)
    key = key_with("p", meta_data={"team": "red"})
    for hours_ago in range(3):
        asked_for(key, hours_ago, 1)
    asked = question(policy, quota_max=5)
    for name, most in (("HOURS_AT_ONCE", 2), ("KEYS_AT_ONCE", 0)):
        with monkeypatch.context() as patch:
            patch.setattr(whatif, name, most)
            with pytest.raises(TooMuch):
                preview(asked)
    policy_named("q", "a", quota_max=100, meta_data={"rate_limit_pattern": "$tyk_meta.team"}, **DAILY)
    [key_with("q", meta_data={"team": "red"}) for _ in range(2)]
    for name, most in (("SHARES_AT_ONCE", 0), ("SHARES_AT_ONCE", 2), ("LOOKED_THROUGH_AT_ONCE", 2)):
        with monkeypatch.context() as patch:
            patch.setattr(whatif, name, most)
            with pytest.raises(TooMuch):
                preview(asked)
    monkeypatch.setattr(whatif, "SHARES_AT_ONCE", 3)
    monkeypatch.setattr(whatif, "LOOKED_THROUGH_AT_ONCE", 3)
    assert preview(asked).keys == 1


def test_a_policy_that_is_deleted_meanwhile_ends_the_job(acme: Organisation) -> None:
    policy = policy_named("p", "a", quota_max=100, **DAILY)
    job = what_if_jobs.start(policy, question(policy, quota_max=5), BY)
    Policy.objects.filter(pk="p").delete()
    jobs.work(job.pk)
    job.refresh_from_db()
    assert job.ended_early == "The policy was deleted meanwhile." and what_if_jobs.answer_of(job) is None


def test_a_store_that_is_down_is_waited_for(settings: Any) -> None:
    policy = policy_named("p", "a", quota_max=100, **DAILY)
    key_with("p")
    job = what_if_jobs.start(policy, question(policy, quota_max=5), BY)
    there, settings.GATEWAY_STORE_URL = settings.GATEWAY_STORE_URL, "redis://127.0.0.1:1/0"
    jobs.work(job.pk)
    job.refresh_from_db()
    assert job.finished_at is None and job.done == 0
    settings.GATEWAY_STORE_URL = there
    Job.objects.update(claimed_until=None)
    jobs.work(job.pk)
    job.refresh_from_db()
    assert job.done == 1 and what_if_jobs.answer_of(job) is not None


def test_a_stopped_job_finds_nothing_and_leaves_nothing(small_lots: None) -> None:
    policy = policy_named("p", "a", quota_max=100, meta_data={"rate_limit_pattern": "$tyk_meta.team"}, **DAILY)
    [key_with("p", meta_data={"team": "red"}) for _ in range(7)]
    job = what_if_jobs.start(policy, question(policy, quota_max=5), BY)
    claim = jobs._claim(job.pk)
    for _ in range(3):
        assert claim is not None
        claim = jobs._after_lot(job.pk, claim)
    assert KeyJobShare.objects.exists() and jobs.stop(job, BY, "not needed")
    assert claim is not None and jobs._after_lot(job.pk, claim) is None
    job.refresh_from_db()
    assert job.ended_early == "Stopped by admin:admin." and what_if_jobs.answer_of(job) is None
    assert not KeyJobShare.objects.exists()


# --- in the admin -----------------------------------------------------------------------------------------------------


def typed(client: Client, **changes: Any) -> dict[str, Any]:
    values = form_values(client.get(f"{PAGES}p/change/")) | changes
    return {name: value for name, value in values.items() if value is not None}


def test_many_keys_are_counted_beside_the_form_and_on_a_page_of_their_own(
    admin_client: Client, none_at_once: None
) -> None:
    policy_named("p", "a", quota_max=100, **DAILY)
    shop = key_with("p", alias="Shop")
    UsageHour.objects.create(organisation_id="acme", key=shop, api_id="a", hour=datetime.now(UTC), passed=60)
    panel = admin_client.post(f"{PAGES}p/what-if/", typed(admin_client, quota_max="5")).content.decode()
    job = Job.objects.get()
    page = f"{PAGES}jobs/{job.pk}/"
    assert f'hx-get="{page}?beside"' in panel
    asked_for_by_bar = {"HX-Request": "true"}
    before = admin_client.get(f"{page}?beside", headers=asked_for_by_bar)
    assert before.status_code == 200 and "Would have been denied" not in before.content.decode()
    jobs.work(job.pk)
    after = admin_client.get(f"{page}?beside", headers=asked_for_by_bar)
    assert after.status_code == 286, "htmx asks no more"
    shown = admin_client.get(page).content.decode()
    for html in (after.content.decode(), shown):
        assert "Would have been denied" in html and "<dd>55</dd>" in html
    assert "Back to the form with this draft" in shown and "Stop …" not in shown
    assert "What if: p" in admin_client.get(PAGES).content.decode()


def test_the_draft_comes_back_as_it_was_typed_and_is_not_saved(admin_client: Client, none_at_once: None) -> None:
    policy_named("p", "ab", quota_max=100, **DAILY)
    key_with("p")
    body = typed(admin_client, quota_max="5", name="Renamed", **{"access-1-DELETE": "on"})
    admin_client.post(f"{PAGES}p/what-if/", body)
    job = Job.objects.get()
    jobs.work(job.pk)
    page = admin_client.get(f"{PAGES}jobs/{job.pk}/")
    kept = dict(page.context["typed"])
    assert kept.items() >= {name: str(value) for name, value in body.items() if name != "seen_version"}.items()
    form = admin_client.post(page.context["form_url"], kept)
    assert form.status_code == 200 and "Nothing is saved yet" in form.content.decode()
    values = form_values(form)
    assert (str(values["quota_max"]), values["name"], values["access-1-DELETE"]) == ("5", "Renamed", "on")
    assert f"{PAGES}jobs/{job.pk}/?beside" in form.content.decode(), "the answer stands beside it"
    stored = Policy.objects.get()
    assert (stored.quota_max, stored.name, stored.access.count()) == (100, "p", 2)
    assert not AuditEntry.objects.exists()


def test_who_may_only_read_gets_the_answer_and_no_form(client: Client, none_at_once: None) -> None:
    policy_named("p", "a", quota_max=100, **DAILY)
    staff = User.objects.create_user("auditor", is_staff=True)
    staff.user_permissions.add(Permission.objects.get(codename="view_policy"))
    client.force_login(staff)
    key_with("p")
    client.post(f"{PAGES}p/what-if/", {"access-TOTAL_FORMS": 0, "access-INITIAL_FORMS": 0})
    job = Job.objects.get()
    page = client.get(f"{PAGES}jobs/{job.pk}/").content.decode()
    assert "Back to the form" not in page and "Stop …" in page
    theirs = what_if_jobs.start(Policy.objects.get(), question(Policy.objects.get()), BY)
    assert "Stop …" not in client.get(f"{PAGES}jobs/{theirs.pk}/").content.decode()
    assert client.post(f"{PAGES}jobs/{theirs.pk}/stop/", {"confirmed": "yes"}).status_code == 403


def test_confined_staff_see_what_was_asked_of_their_organisations(client: Client, none_at_once: None) -> None:
    globex = GlobexFactory.create()
    policy = policy_named("p", "a", quota_max=100, **DAILY)
    spend(key_with("p", alias="Ours").token, "a", 7), spend(key_with("p", organisation="globex").token, "a", 7)
    staff = User.objects.create_user("confined", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename__in=["view_policy", "change_policy"]))
    confinement = StaffConfinement.objects.create(user=staff)
    confinement.organisations.add(AcmeFactory.create())
    client.force_login(staff)
    client.post(f"{PAGES}p/what-if/", typed(client, quota_max="5"))
    job = Job.objects.get()
    jobs.work(job.pk)
    page = f"{PAGES}jobs/{job.pk}/"
    shown = client.get(page)
    assert [each.subject for each in shown.context["preview"].above_now] == ["Ours"]
    confinement.organisations.set([globex])
    assert client.get(page).status_code == 404, "confined to others since"
    confinement.organisations.add(AcmeFactory.create())
    unbound = what_if_jobs.start(policy, question(policy), Actor.person("confined"))
    assert client.get(page).status_code == 200
    assert client.get(f"{PAGES}jobs/{unbound.pk}/").status_code == 404, "asked before the confinement"


def test_who_asks_again_and_again_waits_for_the_answers(admin_client: Client, rest: Any, none_at_once: None) -> None:
    """All jobs share the workers: a token that may only read must not fill them."""
    policy_named("p", "a", quota_max=100, **DAILY)
    key_with("p")
    answers = [rest.ask("POST", "/policies/p/preview", {"quota_max": 5}) for _ in range(what_if_jobs.MOST_OPEN + 1)]
    assert [answer.status_code for answer in answers] == [202] * what_if_jobs.MOST_OPEN + [429]
    assert answers[-1].headers["Retry-After"] and "Wait for one" in answers[-1].json()["detail"]
    jobs.work(Job.objects.latest("pk").pk)
    assert rest.ask("POST", "/policies/p/preview", {"quota_max": 5}).status_code == 202
