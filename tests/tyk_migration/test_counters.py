"""Nobody gets a new allowance by moving, and nobody loses what was used here."""

import time

import pytest

from organisations_app.models import Organisation
from sessions_app import keys, usage
from sessions_app.engine.types import StoreUnavailable
from sessions_app.models import CounterShare, Key
from sessions_app.tyk_hashes import hash_of
from tests.tyk_migration.conftest import POLICY, RIGHTS, SESSION

pytestmark = pytest.mark.django_db(transaction=True)
HOUR = 3600


def soon(seconds: int = 1800) -> int:
    return int(time.time()) + seconds


def row(name="raw-key", **members):
    return {"key": f"apikey-{name}", "session": {**SESSION, **members}}


def quotas(token="raw-key"):
    key = keys.find_by_token(token)
    assert key is not None
    return {quota.scope: (quota.used, quota.renews_at) for quota in usage.key_quotas([key])[key.pk]}


def used(token="raw-key"):
    return {scope: count for scope, (count, _) in quotas(token).items()}


# --- from sessions ----------------------------------------------------------------------------------------------------


def test_usage_and_the_end_of_the_period_come_along(orders, judged):
    ends = soon()
    report = orders.keys(row(quota_remaining=40, quota_renews=ends))
    assert report.counts("counters") == {"created": 1}
    assert quotas() == {"": (60, ends)}
    judged("raw-key")
    assert quotas() == {"": (61, ends)}


def test_importing_it_again_changes_nothing(orders, judged):
    session = row(quota_remaining=40, quota_renews=soon())
    orders.keys(session)
    judged("raw-key")
    assert orders.keys(session).counts("counters") == {"unchanged": 1}
    assert used() == {"": 61}


def test_usage_only_grows(orders, judged):
    orders.keys(row(quota_remaining=40, quota_renews=soon()))
    orders.keys(row(quota_remaining=10, quota_renews=soon()))
    assert used() == {"": 90}
    orders.keys(row(quota_remaining=70, quota_renews=soon()))
    assert used() == {"": 90}


def test_a_period_that_is_over_used_up_nothing(orders):
    report = orders.keys(row(quota_remaining=1, quota_renews=int(time.time()) - 5))
    assert report.counts("counters") == {} and used() == {"": 0}


def test_a_quota_that_never_renews_keeps_its_usage(orders):
    orders.keys(row(quota_remaining=1, quota_renewal_rate=0, quota_renews=int(time.time()) - 5))
    assert quotas() == {"": (99, None)}


def test_unknown_usage_is_told_and_begins_with_a_full_period(orders):
    report = orders.keys(row("key-1"), row("key-2", quota_renews=soon()))
    assert len(report.differs("is not known: a full period begins")) == 1
    assert len(report.differs("used up, or never used")) == 1
    assert used("key-1") == used("key-2") == {"": 0}


def test_the_counter_of_a_policy_comes_from_the_root(orders):
    orders.keys(row(apply_policies=["gold"], quota_remaining=25, quota_renews=soon()))
    assert used() == {"policy:gold": 75}


def test_counters_of_several_policies_come_from_their_scopes(orders):
    rights = {"users": {"api_id": "users"}}
    orders.take(policies=orders.file("p.json", {"silver": POLICY | {"access_rights": rights, "quota_max": 10}}))
    limit = {"quota_max": 100, "quota_renewal_rate": HOUR, "quota_renews": soon()}
    of_gold, of_silver = {**limit, "quota_remaining": 99}, {**limit, "quota_max": 10, "quota_remaining": 4}
    scoped = {
        "orders": {"api_id": "orders", "allowance_scope": "gold", "limit": of_gold},
        "users": {"api_id": "users", "allowance_scope": "silver", "limit": of_silver},
    }
    orders.keys(row(apply_policies=["gold", "silver"], access_rights=scoped, quota_remaining=0))
    assert used() == {"policy:gold": 1, "policy:silver": 6}


def test_an_api_with_limits_of_its_own_has_a_counter_of_its_own(orders):
    limit = {"quota_max": 10, "quota_renewal_rate": HOUR, "quota_remaining": 3, "quota_renews": soon()}
    rights = {"orders": {"api_id": "orders", "limit": limit}}
    orders.keys(row(access_rights=rights, quota_remaining=99, quota_renews=soon()))
    assert used() == {"": 1, "api:orders": 7}


def test_keys_that_share_a_counter_bring_its_newest_count(orders):
    shared = {"meta_data": {"DeveloperID": "7", "rate_limit_pattern": "$tyk_meta.DeveloperID"}}
    orders.keys(
        row("key-1", **shared, quota_remaining=80, quota_renews=soon()),
        row("key-2", **shared, quota_remaining=60, quota_renews=soon()),
    )
    assert used("key-1") == used("key-2") == {"": 40}
    sharers = CounterShare.objects.values_list("counter", "key_id")
    assert len(sharers) == len({key_id for _, key_id in sharers}) == 2 and len({counter for counter, _ in sharers}) == 1


def test_thresholds_that_were_passed_in_tyk_do_not_fire_again(orders, store, judged, monkeypatch):
    section = {
        "enable_trigger_monitors": True,
        "monitor_user_keys": True,
        "global_trigger_limit": 50,
        "configuration": {},
    }
    conf = orders.file("tyk.conf", {"monitor": section})
    session = row(monitor={"trigger_limits": [90, 61]}, quota_remaining=40, quota_renews=soon())
    orders.keys(session, conf=conf)
    assert judged("raw-key").crossed == 1
    assert judged("raw-key").crossed == 0


# --- from a dump of counters ------------------------------------------------------------------------------------------


def test_a_dump_counts_more_than_the_sessions_mirror(orders):
    ends = soon(600)
    dump = orders.lines("counters.jsonl", [{"key": "quota-raw-key", "value": "17", "expires_at": ends}])
    orders.keys(row(quota_remaining=99, quota_renews=soon()), counters=dump)
    assert quotas() == {"": (17, ends)}


@pytest.mark.parametrize(
    "shape", [{"quota-raw-key": 17}, {"quota-raw-key": "17"}, {"quota-raw-key": {"value": 17, "ttl": 60}}]
)
def test_a_dump_may_be_an_object(orders, shape):
    orders.keys(row(), counters=orders.file("counters.json", shape))
    assert used() == {"": 17}


def test_a_counter_beyond_the_quota_is_the_whole_quota(orders):
    orders.keys(row(), counters=orders.file("counters.json", {"quota-raw-key": 5000}))
    assert used() == {"": 100}


def test_names_with_scopes_and_hashes_are_understood(orders):
    limit = {"quota_max": 10, "quota_renewal_rate": HOUR}
    name = hash_of("murmur64", "only-its-user-knows")
    session = row(name, access_rights={"orders": {"api_id": "orders", "limit": limit}})
    dump = orders.file("counters.json", {f"quota-{name}": 9, f"quota-orders-{name}": 4, "quota-nobody": 1})
    report = orders.keys(session, hashed="murmur64", counters=dump)
    assert used("only-its-user-knows") == {"": 9, "api:orders": 4}
    assert any("1 counters belong to nothing" in note for note in report.report.notes)


def test_the_hash_of_a_raw_key_is_understood(orders):
    orders.keys(row(), counters=orders.file("counters.json", {f"quota-{hash_of('murmur32', 'raw-key')}": 3}))
    assert used() == {"": 3}


def test_the_value_of_a_custom_rate_limit_key_is_understood(orders):
    meta_data = {"DeveloperID": "7", "Plan": "gold", "rate_limit_pattern": "$tyk_meta.DeveloperID|$tyk_meta.Plan"}
    orders.keys(row(meta_data=meta_data), counters=orders.file("counters.json", {"quota-7|gold": 12}))
    assert used() == {"": 12}


@pytest.mark.parametrize("value", [None, "many", -1, True, [1]])
def test_a_counter_that_is_no_number_is_refused(orders, value):
    report = orders.keys(row(), counters=orders.file("counters.json", {"quota-raw-key": value}))
    assert report.counts("counters") == {"refused": 1} and "whole number" in report.reasons[0]


@pytest.mark.parametrize("name", ["acme", hash_of("murmur32", "acme")])
def test_organisations_bring_their_usage(desk, name):
    session = {"quota_max": 1000, "quota_renewal_rate": HOUR}
    orgs = desk.lines("orgs.jsonl", [{"key": "orgkey.acme", "session": session}])
    ends = soon()
    dump = desk.lines("counters.jsonl", [{"key": f"quota-{name}", "value": 400, "expires_at": ends}])
    desk.take(orgs=orgs, counters=dump)
    [quota] = usage.organisation_quotas([Organisation.objects.get().pk]).values()
    assert (quota.used, quota.renews_at) == (400, ends)


def test_a_store_that_is_down_is_told_and_keys_stay(orders, monkeypatch):
    def down(*args, **options):
        raise StoreUnavailable("down")

    monkeypatch.setattr("tyk_migration.counters.check.adopt", down)
    report = orders.keys(row(quota_remaining=40, quota_renews=soon()))
    assert report.counts("counters") == {"refused": 1} and "does not answer" in report.reasons[0]
    assert Key.objects.count() == 1 and RIGHTS


# --- what a strict import holds back ----------------------------------------------------------------------------------


def test_a_strict_import_writes_counters_once_its_keys_stand(orders):
    report = orders.keys(row(quota_remaining=40, quota_renews=soon()), is_strict=True)
    assert report.counts("counters") == {"created": 1} and used() == {"": 60}


def test_a_strict_import_that_is_taken_back_leaves_no_counter(orders):
    good = row("key-1", quota_remaining=40, quota_renews=soon())
    assert orders.keys(good, row("key-2", rate="x"), is_strict=True).report.refused
    orders.keys(row("key-1"))
    assert used("key-1") == {"": 0}


def test_a_dry_run_tells_counters_and_writes_none(orders):
    session = row(quota_remaining=40, quota_renews=soon())
    assert orders.keys(session, is_dry=True).counts("counters") == {"created": 1}
    orders.keys(row())
    assert used() == {"": 0}
    assert orders.keys(session, is_dry=True).counts("counters") == {"created": 1} and used() == {"": 0}


def test_a_dry_run_counts_a_counter_of_several_lots_as_the_import_will(orders):
    """A key that comes again begins another lot; of its counter Tyk wrote down more later, and less."""
    rows = [row(quota_remaining=left, quota_renews=soon()) for left in (40, 40, 10, 30)]
    planned = orders.keys(*rows, is_dry=True).counts("counters")
    assert planned == {"created": 2, "unchanged": 2}
    assert orders.keys(*rows).counts("counters") == planned and used() == {"": 90}
