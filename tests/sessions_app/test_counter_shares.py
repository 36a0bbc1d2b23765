"""Who shares a counter, and how full it is: known from requests, as a counter's name does not tell (section 5)."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from organisations_app.audit import SYSTEM
from organisations_app.models import Organisation
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app import corrections, counter_shares, fullness, grants, history, keys, usage
from sessions_app.engine import check, names
from sessions_app.models import CounterShare, Key, UsageSnapshot
from sessions_app.nearest import nearest_to_limit
from sessions_app.store import sync_store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store"), pytest.mark.services]
PATTERN = {"rate_limit_pattern": "$tyk_meta.team"}


class Loader:
    """The edge's loader without its cache."""

    snapshots = staticmethod(usage.snapshots)

    def __init__(self, token: str) -> None:
        self.token = token

    def load(self, freshness: int) -> Any:
        return grants.compile_grant(self.token, "a")


@pytest.fixture
def acme() -> Organisation:
    acme = Organisation.objects.create(id="acme", name="Acme")
    Api.objects.create(id="a", organisation=acme, name="a", listen_path="/a/")
    policy = Policy.objects.create(id="p", organisation=acme, name="p", quota_max=10, meta_data=PATTERN)
    PolicyAccess.objects.create(policy=policy, api_id="a")
    return acme


def make(acme: Organisation, alias: str, **meta_data: Any) -> tuple[Key, str]:
    key = Key(organisation=acme, alias=alias, meta_data=meta_data)
    return key, keys.create_key(key, policies=["p"])


def request(token: str, times: int = 1) -> None:
    for _ in range(times):
        check.check(sync_store(), Loader(token))


def copy_counters() -> None:
    history.copy_counters(sync_store(), names.bucket_of("acme"))


def copy_hours() -> None:
    history.copy_hours(sync_store(), names.bucket_of("acme"))


def copy_all() -> None:
    copy_counters()
    copy_hours()


def near(organisations: frozenset[str] | None = None) -> list[tuple[str, int, bool]]:
    nearest = nearest_to_limit(organisations, timezone.now(), 6)
    return [(each.key.alias, each.percent, each.is_shared) for each in nearest]


def shares() -> set[tuple[str, str]]:
    return set(CounterShare.objects.values_list("key__alias", "counter"))


@pytest.mark.parametrize("copies", [(copy_counters, copy_hours), (copy_hours, copy_counters)])
def test_a_shared_counter_is_as_full_as_its_sharers_have_made_it(acme, copies, django_assert_max_num_queries):
    """Whichever is copied first; it stands once in the overview, with a key that was seen on it."""
    teams = {"one": "red", "two": "red", "three": "blue"}
    red, too, blue = (make(acme, alias, team=team)[1] for alias, team in teams.items())
    for token, times in ((red, 4), (too, 4), (blue, 3)):
        request(token, times)
    for copy in copies:
        copy()
    with django_assert_max_num_queries(3):
        found = near()
    assert found in ([("one", 80, True), ("three", 30, True)], [("two", 80, True), ("three", 30, True)])
    assert near(frozenset({"acme"})) == found and near(frozenset({"globex"})) == []
    assert len({counter for _, counter in shares()}) == 2


def test_the_key_that_was_seen_last_stands_for_a_counter_unless_it_is_revoked(acme):
    (one, first), (two, second) = make(acme, "one", team="red"), make(acme, "two", team="red")
    request(first)
    request(second)
    copy_all()
    CounterShare.objects.filter(key=one).update(seen_at=timezone.now() - timedelta(hours=3))
    assert near() == [("two", 20, True)]
    Key.objects.filter(pk=two.pk).update(revoked_at=timezone.now())
    assert near() == [("one", 20, True)]


def test_every_sharer_is_found_by_how_full_its_counter_is(acme, admin_client: Client):
    tokens = [make(acme, alias, team="red")[1] for alias in ("one", "two")]
    make(acme, "blue", team="blue")
    for token in tokens:
        request(token, 4)
    copy_all()
    page = admin_client.get("/admin/sessions_app/key/", {"used": "75"})
    assert {key.alias for key in page.context["cl"].result_list} == {"one", "two"}
    found = admin_client.get("/admin/sessions_app/key/", {"used": "75", "q": "two"}).context["cl"].result_list
    assert [key.alias for key in found] == ["two"]
    assert admin_client.get("/admin/sessions_app/key/", {"used": "100"}).context["cl"].result_list == []
    assert "on its custom rate limit key" in admin_client.get("/admin/").content.decode()


def test_a_key_that_moved_to_another_counter_is_no_sharer_of_the_old_one(acme):
    key, token = make(acme, "one", team="red")
    request(token, 2)
    copy_all()
    [(_, old)] = shares()
    Key.objects.filter(pk=key.pk).update(meta_data={"team": "blue"})
    counter_shares.note([key.pk], timezone.now())
    [(_, new)] = shares()
    assert old != new and near() == []
    Policy.objects.update(meta_data={})
    assert counter_shares.note([key.pk], timezone.now()) == set() and shares() == set()


def test_noting_again_tells_of_nothing_new(acme):
    key, _ = make(acme, "one", team="red")
    now = timezone.now()
    assert len(counter_shares.note([key.pk], now)) == 1
    later = now + timedelta(hours=1)
    assert counter_shares.note([key.pk], later) == set()
    assert list(CounterShare.objects.values_list("seen_at", flat=True)) == [later]


def test_a_reset_of_the_shared_counter_empties_it_here_too(acme):
    key, token = make(acme, "one", team="red")
    request(token, 9)
    copy_all()
    assert near() == [("one", 90, True)]
    corrections.reset_quota(key, SYSTEM)
    copy_counters()
    assert near() == []


def test_keys_without_a_pattern_are_nobodys_sharers(acme):
    Policy.objects.update(meta_data={})
    key, token = make(acme, "own", team="red")
    request(token, 5)
    copy_all()
    assert (near(), shares()) == ([("own", 50, False)], set())
    assert UsageSnapshot.objects.get().key_id == key.pk


def test_by_two_quotas_on_one_counter_it_is_as_full_as_by_the_smaller(acme):
    """Rule 5.5: two policies judge it by numbers of their own."""
    small = Policy.objects.create(id="small", organisation=acme, name="small", quota_max=5, meta_data=PATTERN)
    Api.objects.create(id="b", organisation=acme, name="b", listen_path="/b/")
    PolicyAccess.objects.create(policy=small, api_id="b")
    key = Key(organisation=acme, alias="one", meta_data={"team": "red"})
    token = keys.create_key(key, policies=["p", "small"])
    request(token, 4)
    copy_all()
    counters = {limit.counter: limit.max for limit in usage.quota_limits(key)}
    percents = dict(UsageSnapshot.objects.values_list("counter", "percent"))
    assert sorted(limit.max for limit in usage.quota_limits(key)) == [5, 10] and len(counters) == 1
    assert list(percents.values()) == [80]


def test_the_fullest_of_nothing_asks_no_database(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert fullness.fullness_of({}) == {}


def test_a_counter_stays_as_full_when_the_key_that_was_seen_last_is_deleted(acme):
    (one, first), (two, second) = make(acme, "one", team="red"), make(acme, "two", team="red")
    request(first, 4)
    request(second, 4)
    copy_all()
    CounterShare.objects.filter(key=one).update(seen_at=timezone.now() - timedelta(hours=3))
    keys.delete_key(two)
    request(first)
    copy_counters()
    assert near() == [("one", 90, True)] and {alias for alias, _ in shares()} == {"one"}


def test_a_counter_that_is_hardly_used_is_asked_for_once(acme, monkeypatch):
    """Less than a percent is known, too."""
    Policy.objects.update(quota_max=1_000)
    _, token = make(acme, "one", team="red")
    request(token)
    copy_all()
    request(token)
    asked: list[Any] = []
    monkeypatch.setattr(fullness, "fullness_of", asked.append)  # of what was not known when it was saved
    copy_counters()
    assert UsageSnapshot.objects.get().used == 2 and asked == []
