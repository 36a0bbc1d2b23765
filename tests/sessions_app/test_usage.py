"""Live usage, reset, snapshots and hourly usage, against a real store."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from organisations_app.audit import SYSTEM
from organisations_app.models import ConfigVersion, Organisation
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app import corrections, grants, history, keys, tasks, usage
from sessions_app.engine import check, counters, names
from sessions_app.engine.rollup import HourOfUsage, TakenSnapshots
from sessions_app.engine.types import Decision, Grant, Outcome, Snapshot, Status
from sessions_app.models import Key, KeyAccess, OrgSession, UsageHour, UsageSnapshot
from sessions_app.store import sync_store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store"), pytest.mark.services]


class Loader:
    """The edge's loader without its cache."""

    snapshots = staticmethod(usage.snapshots)

    def __init__(self, token: str, api_id: str = "a") -> None:
        self.token, self.api_id = token, api_id

    def load(self, freshness: int):
        return grants.compile_grant(self.token, self.api_id)


def request(token: str, api_id: str = "a") -> Decision:
    return check.check(sync_store(), Loader(token, api_id))


def lose_everything(store) -> None:
    store.delete(*store.scan_iter("tg:*"))


@pytest.fixture
def acme():
    return Organisation.objects.create(id="acme", name="Acme")


@pytest.fixture(autouse=True)
def apis(acme):
    return [Api.objects.create(id=name, organisation=acme, name=name, listen_path=f"/{name}/") for name in "ab"]


def make(acme, **fields) -> tuple[Key, str]:
    key = Key(organisation=acme, **fields)
    return key, keys.create_key(key, access=[KeyAccess(api_id="a"), KeyAccess(api_id="b", has_limit=True, quota_max=2)])


def test_usage_shows_the_key_level_counter_first_and_per_api_ones_after(acme):
    key, token = make(acme, quota_max=10, quota_renewal_rate=60)
    request(token), request(token), request(token, "b")
    [root, on_b] = usage.key_quotas([key])[key.pk]
    assert (root.scope, root.api_ids, root.used, root.remaining, root.max, root.period_seconds) == (
        "",
        ("a",),
        2,
        8,
        10,
        60,
    )
    assert abs(root.renews_at - (timezone.now().timestamp() + 60)) < 3
    assert (on_b.api_id, on_b.used, on_b.remaining, on_b.renews_at) == ("b", 1, 1, None)


def test_looking_creates_and_counts_nothing(acme, store):
    key, _ = make(acme, quota_max=10)
    assert usage.key_quotas([key])[key.pk][0].used == 0
    assert not list(store.scan_iter("tg:*}:c:*"))


def test_usage_of_many_keys_is_one_round_trip_and_few_queries(acme, django_assert_max_num_queries, monkeypatch):
    many = [make(acme, quota_max=10)[0] for _ in range(20)]
    for key in many:
        corrections.reset_quota(key, SYSTEM)
    calls = []
    client = sync_store()
    monkeypatch.setattr(usage, "sync_store", lambda: client)
    real = type(client).call_many

    def counted(self, batch):
        calls.append(len(batch))
        return real(self, batch)

    monkeypatch.setattr(type(client), "call_many", counted)
    with django_assert_max_num_queries(8):
        assert len(usage.key_quotas(many)) == 20
    assert calls == [40]


def test_reset_reaches_the_shared_counter_that_the_key_really_uses(acme):
    policy = Policy.objects.create(
        id="p", organisation=acme, name="p", quota_max=2, meta_data={"rate_limit_pattern": "$tyk_meta.team"}
    )
    PolicyAccess.objects.create(policy=policy, api_id="a")
    one, two = (Key(organisation=acme, meta_data={"team": "red"}) for _ in range(2))
    token, other = (keys.create_key(key, policies=["p"]) for key in (one, two))
    assert [request(each).outcome for each in (token, other, other)] == [Outcome.PASSED, Outcome.PASSED, Outcome.DENIED]
    assert usage.key_quotas([one])[one.pk][0].shared
    assert corrections.reset_quota(two, SYSTEM) == 2
    assert request(token).outcome is Outcome.PASSED


def test_an_organisations_usage_and_reset(acme):
    keys.save_org_session(OrgSession(organisation=acme, quota_max=1))
    _, token = make(acme)
    assert [request(token).outcome for _ in range(2)] == [Outcome.PASSED, Outcome.DENIED]
    assert usage.organisation_quotas(["acme", "nobody"])["acme"].remaining == 0
    assert corrections.reset_organisation_quota(acme, SYSTEM) == 1
    assert request(token).outcome is Outcome.PASSED


def test_a_store_that_lost_everything_gets_its_usage_back(acme, store):
    _, token = make(acme, quota_max=3)
    request(token), request(token)
    tasks.snapshot_usage()
    assert UsageSnapshot.objects.get().used == 2
    lose_everything(store)
    assert [request(token).outcome for _ in range(2)] == [Outcome.PASSED, Outcome.DENIED]


def test_a_snapshot_never_replaces_a_later_one():
    later = datetime(2026, 1, 1, tzinfo=UTC)
    for moment, used in ((later, 7), (later - timedelta(seconds=5), 3), (later, 7)):
        history.save_snapshots(TakenSnapshots(round(moment.timestamp() * 1000), {"c": Snapshot(used, 1, "")}))
    assert UsageSnapshot.objects.get().used == 7


def test_hourly_usage_is_copied_once_however_often_it_is_repeated(acme):
    key, token = make(acme, quota_max=2)
    [request(token) for _ in range(3)]
    for _ in range(3):
        tasks.roll_up_usage()
    row = UsageHour.objects.get()
    assert (row.key_id, row.api_id, row.organisation_id, row.passed, row.denied) == (key.pk, "a", "acme", 2, 1)


def test_hourly_usage_goes_on_after_the_store_lost_its_counts(acme, store):
    _, token = make(acme)
    request(token), request(token)
    tasks.roll_up_usage()
    lose_everything(store)
    request(token)
    tasks.roll_up_usage()
    assert sum(UsageHour.objects.values_list("passed", flat=True)) == 3


def test_usage_of_an_organisation_that_is_gone_does_not_stop_the_others(acme):
    hours = [HourOfUsage(name, "k", "a", 0, 1, 1, 0) for name in ("gone", "acme")]
    assert history.save_hours(hours) == 1
    assert UsageHour.objects.get().organisation_id == "acme"


def test_a_change_made_while_the_store_was_down_is_published_later(acme, settings, store):
    key, token = make(acme, quota_max=5)
    request(token)
    url = settings.GATEWAY_STORE_URL
    settings.GATEWAY_STORE_URL = "redis://127.0.0.1:1/0"
    key.quota_max = 1
    keys.save_key(key)
    settings.GATEWAY_STORE_URL = url
    version = names.key_version("acme", key.pk)
    before = store.get(version)
    tasks.publish_pending()
    assert int(store.get(version)) > int(before)


def compiled(token: str) -> Grant:
    grant = grants.compile_grant(token, "a")
    assert isinstance(grant, Grant)
    return grant


def test_a_database_from_a_backup_leads_again_after_overtake_store(acme, store):
    key, token = make(acme, quota_max=5)
    for maximum in (6, 7, 8):
        key.quota_max = maximum
        keys.save_key(key)
    assert request(token).outcome is Outcome.PASSED
    ConfigVersion.objects.filter(scope__startswith="key:").update(number=1, published=1)  # the backup
    stale = counters.verify(compiled(token))
    assert sync_store().call(stale)[0] == Status.STALE
    assert request(token).outcome is Outcome.PASSED  # counted, but with a grant compiled for this request alone
    call_command("overtake_store", stdout=StringIO())
    current = counters.verify(compiled(token))
    assert sync_store().call(current)[0] == Status.JUDGED
    assert request(token).outcome is Outcome.PASSED
    assert usage.key_quotas([key])[key.pk][0].used == 3
