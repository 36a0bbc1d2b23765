"""What a changed policy would have done in the last days, and who is above its quota already."""

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from organisations_app import jobs
from organisations_app.audit import ROOT
from organisations_app.models import Job, Organisation
from policies_app.drafts import policy_draft
from policies_app.models import Api, Policy, PolicyAccess
from policies_app.tyk import policy_from_tyk, policy_to_tyk
from sessions_app import key_jobs, keys, what_if_jobs, whatif
from sessions_app.engine.types import StoreUnavailable
from sessions_app.models import Key, KeyPolicy, UsageHour, UsageSnapshot
from sessions_app.replay import Precision
from sessions_app.whatif import Preview, preview, what_if
from tests.administration import pointers, spend, token_client
from tests.factories import AcmeFactory, GlobexFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store"), pytest.mark.services]
NOW = datetime(2025, 6, 20, 12, 30, tzinfo=UTC)
NEVER: dict[str, Any] = {"quota_renewal_rate": 0}
DAILY: dict[str, Any] = {"quota_period": "day"}


@pytest.fixture
def acme() -> Organisation:
    return AcmeFactory.create(timezone="UTC")


@pytest.fixture(autouse=True)
def apis(acme) -> list[Api]:
    return [Api.objects.create(id=name, organisation=acme, name=name, listen_path=f"/{name}/") for name in "ab"]


def policy_named(name: str, apis: str = "ab", **fields) -> Policy:
    policy = Policy.objects.create(id=name, organisation_id=fields.pop("organisation", "acme"), name=name, **fields)
    PolicyAccess.objects.bulk_create([PolicyAccess(policy=policy, api_id=api) for api in apis])
    return policy


def key_with(*policies: str, organisation: str = "acme", **fields) -> Any:
    """A key; its `token` is the secret that opens it."""
    key: Any = Key(organisation_id=organisation, **fields)
    key.token = keys.create_key(key, policies=list(policies))
    return key


def asked_for(key: Key, hours_ago: int, passed: int, denied: int = 0, api: str = "a", epoch: str = "") -> datetime:
    hour = NOW.replace(minute=0) - timedelta(hours=hours_ago)
    UsageHour.objects.create(
        organisation_id=key.organisation_id, key=key, api_id=api, hour=hour, epoch=epoch, passed=passed, denied=denied
    )
    return hour


def changed(policy: Policy, *, now: datetime = NOW, days: int = 14, **members) -> Preview:
    """The preview with these members of the policy's document changed."""
    document = policy_to_tyk(policy, policy.access.all()) | members
    return preview(what_if(policy, policy_from_tyk(document), now, days))


# --- what would have been denied --------------------------------------------------------------------------------------


def test_hours_before_the_days_fill_the_running_period_and_count_for_nothing_else(acme):
    policy = policy_named("p", quota_max=5, quota_renewal_rate=7 * 86_400)
    key = key_with("p")
    asked_for(key, 20, 8, denied=3), asked_for(key, 10, 4, denied=1)
    found = changed(policy, quota_max=10, days=1)
    assert (found.denied_total, found.passed_total, found.denied_unchanged_total) == (2, 2, 4)
    assert changed(policy, quota_max=1000, days=1).admitted_at_most == 1
    unlimited = changed(policy, quota_max=-1, days=1)
    assert (unlimited.passed_total, unlimited.admitted_at_most) == (4, 1)
    assert changed(policy, is_inactive=True, days=1).refused_total == 4


def test_a_shared_counter_that_another_policy_decides_on_is_not_this_ones(acme):
    policy = policy_named("p", "a", quota_max=100, meta_data={"rate_limit_pattern": "$tyk_meta.team"}, **DAILY)
    other = policy_named("q", "", quota_max=100, **DAILY)
    PolicyAccess.objects.create(policy=other, api_id="b", has_limit=True, quota_max=5, **DAILY)
    key = key_with("p", "q", meta_data={"team": "x"})
    asked_for(key, 3, 4, api="a"), asked_for(key, 3, 6, api="b")
    found = changed(policy, quota_max=2)
    assert (found.counters, found.denied_total, found.passed_total) == (1, 2, 2)


def test_requests_beyond_the_changed_quota_would_have_been_denied(acme):
    policy = policy_named("p", quota_max=100, **DAILY)
    key = key_with("p", alias="Shop")
    asked_for(key, 30, 8), asked_for(key, 29, 4), asked_for(key, 3, 9)
    found = changed(policy, quota_max=10)
    assert (found.denied_total, found.passed_total, found.denied_unchanged_total) == (2, 19, 0)
    assert {str(row.day): row.denied for row in found.denied if row.denied} == {"2025-06-19": 2}
    assert (found.keys, found.counters, len(found.denied), found.precision) == (1, 1, 14, Precision.EXACT)
    [worst] = found.worst
    assert (worst.subject, worst.key_ids, worst.max, worst.passed, worst.denied) == ("Shop", (key.pk,), 10, 19, 2)


def test_apis_of_one_policy_share_its_bucket_and_own_limits_have_their_own(acme):
    policy = policy_named("p", quota_max=100, **DAILY)
    key = key_with("p")
    asked_for(key, 3, 6, api="a"), asked_for(key, 2, 6, api="b")
    assert changed(policy, quota_max=10).denied_total == 2
    rights = {"a": {"api_id": "a"}, "b": {"api_id": "b", "limit": {"quota_max": 1, "quota_period": "day"}}}
    assert changed(policy, quota_max=10, access_rights=rights).denied_total == 5


def test_two_policies_on_a_key_are_two_buckets(acme):
    policy = policy_named("p", "a", quota_max=100, **DAILY)
    policy_named("other", "b", quota_max=1, **DAILY)
    key = key_with("p", "other")
    asked_for(key, 3, 6, api="a"), asked_for(key, 2, 50, api="b")
    found = changed(policy, quota_max=10)
    assert (found.denied_total, found.passed_total, found.counters) == (0, 6, 1)


def test_a_more_generous_policy_decides_all_the_same(acme):
    policy = policy_named("p", "a", quota_max=50, **DAILY)
    policy_named("generous", "a", quota_max=100, **DAILY)
    asked_for(key_with("p", "generous"), 3, 60)
    assert (changed(policy, quota_max=10).denied_total, changed(policy, quota_max=10).counters) == (0, 0)


def test_keys_with_the_same_custom_value_share_also_with_those_of_other_policies(acme):
    pattern = {"rate_limit_pattern": "$tyk_meta.team"}
    policy = policy_named("p", "a", quota_max=100, meta_data=pattern, **DAILY)
    policy_named("other", "a", quota_max=100, meta_data=pattern, **DAILY)
    first, second = key_with("p", meta_data={"team": "red"}), key_with("p", meta_data={"team": "red"})
    outside, alone = key_with("other", meta_data={"team": "red"}), key_with("p", meta_data={"team": "blue"})
    asked_for(outside, 4, 7), asked_for(first, 3, 2), asked_for(second, 2, 5), asked_for(alone, 2, 9)
    asked_for(outside, 1, 3)
    found = changed(policy, quota_max=10)
    assert (found.denied_total, found.counters, found.precision) == (4, 2, Precision.ABOUT)
    [worst] = found.worst
    assert (worst.subject, worst.is_shared, worst.keys, worst.denied) == ("red", True, 3, 4)


def test_a_pattern_that_is_added_brings_keys_together(acme):
    policy = policy_named("p", "a", quota_max=10, **DAILY)
    for _ in range(3):
        asked_for(key_with("p", meta_data={"team": "red"}), 3, 8)
    found = changed(policy, meta_data={"rate_limit_pattern": "$tyk_meta.team"})
    assert (found.denied_total, found.denied_unchanged_total, found.counters) == (14, 0, 1)


def test_calendar_periods_begin_in_the_organisations_time_zone_and_before_the_first_day(acme):
    Organisation.objects.filter(pk="acme").update(timezone="Europe/Berlin")
    policy = policy_named("p", "a", quota_max=100, quota_period="month")
    key = key_with("p")
    asked_for(key, 24 * 17, 9), asked_for(key, 24, 4)  # the 3rd is before the 14 days, and of the same month
    assert changed(policy, quota_max=10).denied_total == 3
    asked_for(key, 24 * 20 - 8, 3)  # 31 May, 20:00 UTC: still May in Berlin
    assert changed(policy, quota_max=10).denied_total == 3


def test_rolling_periods_are_about_right_and_short_ones_at_least(acme):
    policy = policy_named("p", "a", quota_max=100, quota_renewal_rate=86_400)
    key = key_with("p")
    asked_for(key, 30, 9), asked_for(key, 20, 9), asked_for(key, 5, 9)
    day = changed(policy, quota_max=10)
    assert (day.denied_total, day.precision) == (8, Precision.ABOUT) and "about" in day.exactness
    minute = changed(policy, quota_max=1, quota_renewal_rate=1800)
    assert (minute.denied_total, minute.precision) == (3 * (9 - 3), Precision.AT_LEAST)
    assert "Rates" in minute.exactness


def test_what_an_endless_quota_had_counted_before_is_known_from_the_counter(acme):
    policy = policy_named("p", "a", quota_max=100, **NEVER)
    key = key_with("p")
    assert spend(key.token, "a", 12) == ["passed"] * 12
    hour = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(days=3)
    UsageHour.objects.create(organisation=acme, key=key, api_id="a", hour=hour, passed=4)
    hour += timedelta(days=3)
    UsageHour.objects.create(organisation=acme, key=key, api_id="a", hour=hour, passed=12)
    found = changed(policy, quota_max=10, now=timezone.now())
    assert (found.denied_total, found.above_now_total) == (6, 1)


def test_access_that_is_taken_away_is_told_apart_from_the_quota(acme):
    policy = policy_named("p", quota_max=100, **DAILY)
    key = key_with("p")
    asked_for(key, 3, 6, api="a"), asked_for(key, 2, 7, api="b")
    found = changed(policy, access_rights={"a": {"api_id": "a"}})
    assert (found.refused_total, found.denied_total, found.passed_total) == (7, 0, 6)
    assert changed(policy, is_inactive=True).refused_total == 13


def test_a_higher_quota_would_have_let_pass_at_most_so_many(acme):
    policy = policy_named("p", "a", quota_max=10, **DAILY)
    key = key_with("p")
    asked_for(key, 5, 10, 3), asked_for(key, 4, 0, 9)
    found = changed(policy, quota_max=15)
    assert (found.admitted_at_most, found.denied_total) == (5, 0)
    assert changed(policy, quota_max=-1).admitted_at_most == 12


def test_apis_without_quota_and_hours_of_two_lives_of_the_store(acme):
    Api.objects.filter(pk="b").update(disable_quota=True)
    policy = policy_named("p", quota_max=100, **DAILY)
    key = key_with("p")
    asked_for(key, 3, 6, api="a", epoch="1"), asked_for(key, 3, 6, api="a", epoch="2"), asked_for(key, 2, 50, api="b")
    assert changed(policy, quota_max=10).denied_total == 2


def test_a_day_more_or_less(acme):
    policy = policy_named("p", "a", quota_max=100, **DAILY)
    key = key_with("p")
    asked_for(key, 24 * 2, 15)
    assert [changed(policy, quota_max=10, days=days).denied_total for days in (1, 2, 3, 31)] == [0, 0, 5, 5]


@pytest.mark.parametrize("seed", range(4))
def test_equals_a_simulation_of_each_request(acme, seed):
    """Keys with and without a custom value, two policies, own limits on one API: requests one by one, by the rules."""
    dice = random.Random(seed)
    policy = policy_named("p", quota_max=1000, meta_data={"rate_limit_pattern": "$tyk_meta.team"}, **DAILY)
    PolicyAccess.objects.filter(policy="p", api="b").update(has_limit=True, quota_max=900, quota_period="week")
    teams = {key_with("p", meta_data={"team": team}).pk: team for team in ("", "", "red", "red", "blue")}
    for key_id in teams:
        for hours_ago in dice.sample(range(14 * 24 - 12), 40):
            asked_for(Key(pk=key_id, organisation_id="acme"), hours_ago, dice.randrange(20), api=dice.choice("ab"))
    most, weekly = dice.randrange(5, 60), dice.randrange(5, 200)
    rights = {"a": {}, "b": {"limit": {"quota_max": weekly, "quota_period": "week"}}}
    used: defaultdict[tuple[Any, ...], int] = defaultdict(int)
    denied = 0
    for row in UsageHour.objects.order_by("hour"):
        team, day = teams[row.key_id] or row.key_id, row.hour.date()
        bucket = (team, "", day) if row.api_id == "a" else (team, "b", day.isocalendar()[:2])
        for _ in range(row.passed):
            full = used[bucket] >= (most if row.api_id == "a" else weekly)
            denied, used[bucket] = denied + full, used[bucket] + (not full)
    found = changed(policy, quota_max=most, access_rights=rights, days=15)
    assert denied and found.denied_total == denied
    assert found.passed_total == sum(used.values()) and found.precision is Precision.EXACT


# --- who is above now -------------------------------------------------------------------------------------------------


def test_who_has_used_the_changed_quota_up_is_named_fullest_first(acme):
    policy = policy_named("p", "a", quota_max=100, **DAILY)
    for alias, times in (("some", 3), ("all", 5), ("more", 7), ("none", 0)):
        spend(key_with("p", alias=alias).token, "a", times)
    found = changed(policy, quota_max=5, now=timezone.now())
    assert [(each.subject, each.used, each.max, each.keys) for each in found.above_now] == [
        ("more", 7, 5, 1),
        ("all", 5, 5, 1),
    ]
    assert changed(policy, now=timezone.now()).above_now_total == 0


def test_a_key_that_is_revoked_is_above_nothing(acme):
    policy = policy_named("p", "a", quota_max=100, **DAILY)
    key = key_with("p")
    spend(key.token, "a", 5)
    keys.revoke_key(key)
    found = changed(policy, quota_max=1, now=timezone.now())
    assert (found.above_now_total, found.keys, found.counters) == (0, 0, 1)


def test_usage_that_a_changed_period_has_ended_counts_for_nothing(acme):
    policy = policy_named("p", "a", quota_max=100, quota_renewal_rate=86_400)
    spend(key_with("p").token, "a", 9)
    later = timezone.now() + timedelta(hours=2)
    assert changed(policy, quota_max=5, now=later).above_now_total == 1
    assert changed(policy, quota_max=5, quota_renewal_rate=3600, now=later).above_now_total == 0


def test_looking_changes_nothing_even_when_the_store_has_lost_its_data(acme, store):
    policy = policy_named("p", "a", quota_max=100, quota_renewal_rate=86_400)
    key = key_with("p")
    spend(key.token, "a", 9)
    [counter] = store.scan_iter("tg:*:c:*")
    start = int(store.hget(counter, "s"))
    UsageSnapshot.objects.create(counter=counter, used=9, period_start_ms=start, taken_at=timezone.now())
    store.delete(*store.scan_iter("tg:*"))
    later = timezone.now() + timedelta(hours=2)
    before = sorted(store.scan_iter("*"))
    assert changed(policy, quota_max=5, now=later).above_now_total == 1
    assert changed(policy, quota_max=5, quota_renewal_rate=60, now=later).above_now_total == 0
    assert sorted(store.scan_iter("*")) == before


def test_a_silent_store_is_said(acme, settings):
    policy = policy_named("p", "a", quota_max=100, **DAILY)
    key_with("p")
    settings.GATEWAY_STORE_URL = "redis://127.0.0.1:1/0"
    with pytest.raises(StoreUnavailable):
        changed(policy, quota_max=5)


# --- at scale ---------------------------------------------------------------------------------------------------------


def test_queries_do_not_grow_with_keys_or_hours(acme):
    policy = policy_named("p", quota_max=100, **DAILY)

    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as caught:
            changed(policy, quota_max=5)
        return len(caught)

    asked_for(key_with("p"), 3, 6)
    few = queries()
    made = Key.objects.bulk_create([Key(organisation=acme) for _ in range(300)])
    KeyPolicy.objects.bulk_create([KeyPolicy(key=key, policy=policy) for key in made])
    for key in made[:50]:
        asked_for(key, 3, 6), asked_for(key, 4, 6, api="b")
    assert queries() == few <= 12
    found = changed(policy, quota_max=5)
    assert (found.keys, found.denied_total, len(found.worst), found.counters) == (301, 50 * 7 + 1, 20, 301)


# --- over the REST API ------------------------------------------------------------------------------------------------


def test_the_resource_answers_and_stores_nothing(acme, rest):
    policy = policy_named("p", "a", quota_max=100, **DAILY)
    spend(key_with("p", alias="Shop").token, "a", 7)
    before = list(Policy.objects.values()), list(PolicyAccess.objects.values())
    answer = rest.done("POST", "/policies/p/preview", {"quota_max": 5})
    assert (answer["above_now_total"], answer["above_now"][0]["subject"], answer["keys"]) == (1, "Shop", 1)
    assert (list(Policy.objects.values()), list(PolicyAccess.objects.values())) == before
    assert policy.pk == "p"


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/policies/p/preview", {"quota_max": 0}, "/quota_max"),
        ("/policies/p/preview", {"colour": 1}, "/colour"),
        ("/policies/p/preview", {"id": "q"}, "/id"),
        ("/policies/p/preview", [], ""),
        ("/policies/p/preview?days=0", {}, "/days"),
        ("/policies/p/preview?days=32", {}, "/days"),
        ("/policies/p/preview?weeks=1", {}, "/weeks"),
    ],
)
def test_what_patch_refuses_is_refused(acme, rest, path, body, pointer):
    policy_named("p")
    code, problem = rest.refused("POST", path, body)
    assert (code, pointers(problem)) == (400, [pointer])


def test_an_organisations_token_sees_its_own_keys_only(acme):
    GlobexFactory.create()
    policy_named("p", "a", quota_max=100, **DAILY)
    spend(key_with("p", alias="ours").token, "a", 7), spend(key_with("p", organisation="globex").token, "a", 7)
    answer = token_client(organisation_id="acme").done("POST", "/policies/p/preview", {"quota_max": 5})
    assert [row["subject"] for row in answer["above_now"]] == ["ours"]
    assert token_client(organisation_id="globex").refused("POST", "/policies/p/preview", {})[0] == 404


def test_both_scopes_for_reading_are_needed_and_enough(acme):
    policy_named("p", "a")
    token_client("policies:read", "usage:read").done("POST", "/policies/p/preview", {})
    for scope in ("policies:read", "usage:read"):
        assert token_client(scope).refused("POST", "/policies/p/preview", {})[0] == 403


def test_many_keys_are_answered_by_a_worker(acme, monkeypatch):
    GlobexFactory.create()
    policy_named("p", "a", quota_max=100, **DAILY)
    spend(key_with("p", alias="ours").token, "a", 7), spend(key_with("p", organisation="globex").token, "a", 7)
    monkeypatch.setattr(whatif, "KEYS_AT_ONCE", 0)
    bound = token_client("policies:read", "usage:read", organisation_id="acme")
    answer = bound.ask("POST", "/policies/p/preview", {"quota_max": 5}, headers=bound.headers)
    job = Job.objects.get()
    assert (answer.status_code, answer["Location"]) == (202, f"http://testserver/api/v1/policies/previews/{job.pk}")
    assert answer.json()["status"] == "running" and answer.json()["preview"] is None
    jobs.work(job.pk)
    found = bound.get(f"/policies/previews/{job.pk}")
    assert (found["status"], found["keys_done"], found["keys_total"], found["policy_id"]) == ("finished", 1, 1, "p")
    assert [row["subject"] for row in found["preview"]["above_now"]] == ["ours"]
    monkeypatch.undo()
    at_once = bound.done("POST", "/policies/p/preview", {"quota_max": 5})
    assert {**at_once, "end": found["preview"]["end"]} == found["preview"]


def test_a_preview_is_shown_to_who_may_see_all_that_it_is_about(acme, rest, monkeypatch):
    policy = policy_named("p", "a", quota_max=100, **DAILY)
    draft = policy_draft(policy, policy.access.all())
    ids = [
        what_if_jobs.start(policy, what_if(policy, draft, NOW, organisations=of), ROOT).pk
        for of in (None, ["acme"], ["acme", "globex"])
    ]
    bound = token_client(organisation_id="acme")
    seen = [bound.ask("GET", f"/policies/previews/{pk}", headers=bound.headers).status_code for pk in ids]
    assert seen == [404, 200, 404]
    assert [rest.get(f"/policies/previews/{pk}")["id"] for pk in ids] == ids
    other = key_jobs.start("block", Key.objects.all(), ROOT, "", {})
    assert rest.refused("GET", f"/policies/previews/{other.pk}")[0] == 404
