"""Which thresholds grants carry, and which monitors are told."""

import pytest

from monitors_app.ledger import event_of
from monitors_app.watching import wants, watch_of
from sessions_app.watch import Watch
from tests.factories import AcmeFactory, GlobexFactory, MonitorFactory

pytestmark = pytest.mark.django_db


def test_nobody_watches_without_a_monitor():
    assert watch_of("acme", "key") == Watch(enabled=False)


def test_global_thresholds_of_all_covering_monitors_are_united():
    acme, globex = AcmeFactory.create(), GlobexFactory.create()
    MonitorFactory.create(global_trigger_limit=80)
    MonitorFactory.create(global_trigger_limit=50.5, organisation=acme)
    MonitorFactory.create(global_trigger_limit=80, organisation=acme)
    MonitorFactory.create(global_trigger_limit=10, organisation=globex)
    MonitorFactory.create(global_trigger_limit=20, is_enabled=False)
    assert watch_of("acme", "key") == Watch(enabled=True, global_limits=(50.5, 80.0))
    assert watch_of("globex", "key") == Watch(enabled=True, global_limits=(10.0, 80.0))
    assert watch_of("elsewhere", "org") == Watch(enabled=True, global_limits=(80.0,))


def test_each_kind_has_its_own_switch():
    MonitorFactory.create(global_trigger_limit=80, monitor_user_keys=False)
    MonitorFactory.create(global_trigger_limit=0, monitor_org_keys=False)
    assert watch_of("acme", "key") == Watch(enabled=True)
    assert watch_of("acme", "org") == Watch(enabled=True, global_limits=(80.0,))


@pytest.mark.parametrize(
    ("monitor", "event", "wanted"),
    [
        ({}, {}, True),
        ({}, {"own": False}, False),
        ({"global_trigger_limit": 80.0}, {"own": False}, True),
        ({"global_trigger_limit": 79.5}, {"own": False, "threshold": "79.5"}, True),
        ({"global_trigger_limit": 50}, {"own": False}, False),
        ({"global_trigger_limit": 50}, {"own": True}, True),
        ({"is_enabled": False}, {}, False),
        ({"monitor_user_keys": False}, {}, False),
        ({"monitor_org_keys": False}, {"kind": "org"}, False),
        ({"monitor_user_keys": False}, {"kind": "org"}, True),
        ({"organisation_id": "acme"}, {}, True),
        ({"organisation_id": "globex"}, {}, False),
    ],
)
def test_a_monitor_is_told_of_the_subjects_own_thresholds_and_of_its_global_one(monitor, event, wanted, crossing):
    assert wants(MonitorFactory.build(**monitor), event_of(crossing(**event))) is wanted
