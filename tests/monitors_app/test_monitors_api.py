"""`/api/v1/monitors`, `/events` and `/deliveries`: secrets stay masked, the ledger is only read, and sending again."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from monitors_app import monitors
from monitors_app.models import Attempt, Delivery, Monitor, TriggerEvent
from organisations_app import sealing
from organisations_app.models import AuditEntry, ConfigVersion
from tests.administration import pointers
from tests.factories import AcmeFactory, GlobexFactory, MemberFactory, MonitorFactory

pytestmark = pytest.mark.django_db
MONITOR = {"name": "Ops", "target_path": "https://hooks.example/x", "header_map": {"X-Secret": "s3cret"}}
MASK = monitors.MASK


def version() -> int:
    return sum(ConfigVersion.objects.filter(scope="gateway").values_list("number", flat=True))


def test_the_life_of_a_monitor(rest):
    AcmeFactory.create()
    made = rest.done("POST", "/monitors", {**MONITOR, "org_id": "acme", "event_timeout": 1, "key_format": "hash"})
    assert made["signing_secret"].startswith("whsec_") and made["header_map"] == {"X-Secret": MASK}
    address, before = f"/monitors/{made['id']}", version()
    shown = rest.get(address)
    assert shown == {**made, "signing_secret": MASK} and rest.get("/monitors?org_id=acme")["results"] == [shown]
    changed = rest.done("PATCH", address, {**shown, "event_timeout": 2.5})
    monitor = Monitor.objects.get()
    assert changed == {**shown, "event_timeout": 2.5} and version() == before + 1
    assert monitors.header_map(monitor) == {"X-Secret": "s3cret"}
    assert sealing.unseal(monitor.signing_secret_sealed) == made["signing_secret"]
    assert rest.ask("DELETE", address).status_code == 204 and not Monitor.objects.exists()
    kept = str(list(AuditEntry.objects.values()))
    assert "s3cret" not in kept and made["signing_secret"] not in kept
    assert [entry.action for entry in AuditEntry.objects.order_by("id")] == ["create", "change", "delete"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": None}, "/name"),
        ({"org_id": "none"}, "/org_id"),
        ({"method": "TRACE"}, "/method"),
        ({"target_path": "ftp://x"}, "/target_path"),
        ({"template": "{"}, "/template"),
        ({"template": '{"a": "{{ secret }}"}'}, "/template"),
        ({"template_path": "../../etc/passwd"}, "/template_path"),
        ({"event_timeout": -1}, "/event_timeout"),
        ({"event_timeout": "1"}, "/event_timeout"),
        ({"event_timeout": 10**400}, "/event_timeout"),
        ({"global_trigger_limit": -(10**400)}, "/global_trigger_limit"),
        ({"global_trigger_limit": 101}, "/global_trigger_limit"),
        ({"header_map": {"Host": "x"}}, "/header_map"),
        ({"header_map": {"X": 5}}, "/header_map"),
        ({"header_map": []}, "/header_map"),
        ({"signing_secret": "short"}, "/signing_secret"),
        ({"key_format": "plain"}, "/key_format"),
        ({"is_enabled": "yes"}, "/is_enabled"),
        ({"password": "x"}, "/password"),
    ],
)
def test_a_wrong_monitor_is_refused_and_makes_nothing(rest, body, pointer):
    code, problem = rest.refused("POST", "/monitors", {**MONITOR, **body})
    assert (code, pointers(problem)) == (400, [pointer]) and not Monitor.objects.exists() and version() == 0


def test_the_gateways_own_monitor_is_among_them_and_stays(rest):
    own = monitors.gateway_monitor()
    address = f"/monitors/{own.pk}"
    GlobexFactory.create()
    assert rest.get("/monitors?is_gateway=true")["results"][0]["id"] == own.pk
    assert rest.refused("DELETE", address)[0] == 409
    assert pointers(rest.refused("PATCH", address, {"org_id": "globex"})[1]) == ["/org_id"]
    assert rest.done("PATCH", address, {"is_gateway": False, "is_enabled": True})["is_gateway"] is True


def test_a_monitor_without_target_cannot_be_tested(rest):
    monitor = MonitorFactory.create()
    code, problem = rest.refused("POST", f"/monitors/{monitor.pk}/test")
    assert code == 409 and "target" in problem["detail"]


def test_a_test_shows_what_the_receiver_said_and_is_throttled(rest):
    monitor = MonitorFactory.create(target_path="http://127.0.0.1:9/")
    attempt = rest.done("POST", f"/monitors/{monitor.pk}/test")
    assert (attempt["number"], attempt["status_code"]) == (1, None) and attempt["error"]
    again = rest.ask("POST", f"/monitors/{monitor.pk}/test")
    assert (again.status_code, again["Retry-After"], again.json()["code"]) == (429, "5", "throttled")
    assert AuditEntry.objects.get().action == "test"


def test_a_secret_is_rotated_with_overlap_shown_once_and_audited(rest):
    made = rest.done("POST", "/monitors", MONITOR)
    address = f"/monitors/{made['id']}"
    rotated = rest.done("POST", f"{address}/rotate-secret", {"overlap_seconds": 60, "reason": "leaked"})
    monitor = Monitor.objects.get()
    ends = monitor.previous_secret_until or timezone.now()
    both = monitors.signing_secrets(monitor, ends - timedelta(seconds=1))
    assert both == [rotated["signing_secret"], made["signing_secret"]]
    assert monitors.signing_secrets(monitor, ends) == both[:1]
    assert rest.get(address)["signing_secret"] == MASK
    entry = AuditEntry.objects.order_by("id").last()
    assert (entry.action, entry.reason, entry.after) == ("rotate-secret", "leaked", {"overlap_seconds": 60})
    assert rotated["signing_secret"] not in str(list(AuditEntry.objects.values()))


def test_a_secret_overlaps_for_a_day_unless_told_otherwise(rest):
    made = rest.done("POST", "/monitors", MONITOR)
    before = timezone.now()
    rest.done("POST", f"/monitors/{made['id']}/rotate-secret")
    assert Monitor.objects.get().previous_secret_until >= before + timedelta(days=1)
    rest.done("POST", f"/monitors/{made['id']}/rotate-secret", {"overlap_seconds": 0})
    assert Monitor.objects.get().previous_secret_until is None


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"overlap_seconds": -1}, "/overlap_seconds"),
        ({"overlap_seconds": 1.5}, "/overlap_seconds"),
        ({"overlap_seconds": 31 * 86400}, "/overlap_seconds"),
        ({"reason": 5}, "/reason"),
        ({"secret": "whsec_x"}, "/secret"),
    ],
)
def test_a_wrong_rotation_is_refused_and_changes_nothing(rest, body, pointer):
    made = rest.done("POST", "/monitors", MONITOR)
    code, problem = rest.refused("POST", f"/monitors/{made['id']}/rotate-secret", body)
    assert (code, pointers(problem)) == (400, [pointer])
    assert sealing.unseal(Monitor.objects.get().signing_secret_sealed) == made["signing_secret"]


# --- events and deliveries --------------------------------------------------------------------------------------------


@pytest.fixture
def events() -> list[TriggerEvent]:
    return [
        TriggerEvent.objects.create(
            kind="key",
            counter="c",
            period_start_ms=1_000,
            period_end_ms=61_000 if threshold == "80" else None,
            source="key",
            threshold=threshold,
            organisation_id="acme",
            key_id="key_1",
            key_digest="d",
            key_sealed=sealing.seal("the raw key"),
            used=8,
            quota_max=10,
            occurred_at=datetime(2025, 1, day, tzinfo=UTC),
        )
        for day, threshold in ((1, "50"), (2, "80"))
    ]


@pytest.fixture
def deliveries(events) -> list[Delivery]:
    monitor, developer = MonitorFactory.create(target_path="https://hooks.example/x"), MemberFactory.create()
    receivers = [{"channel": "webhook", "monitor": monitor}, {"channel": "email", "developer": developer}]
    rows = [
        Delivery.objects.create(event=event, recipient="x", subject="key_1", status="failed", body="{}", **receiver)
        for event in events
        for receiver in receivers
    ]
    for number in (1, 2):
        Attempt.objects.create(
            delivery=rows[0], number=number, started_at=datetime(2025, 1, 1, tzinfo=UTC), duration_ms=3, status_code=500
        )
    return rows


def test_the_ledger_is_read_only_and_never_shows_a_key(rest, events):
    [newest, oldest] = rest.get("/events")["results"]
    assert (newest["trigger_limit"], newest["period_start"], newest["period_end"]) == (
        "80",
        "1970-01-01T00:00:01Z",
        "1970-01-01T00:01:01Z",
    )
    assert oldest["period_end"] is None and rest.get(f"/events/{oldest['id']}") == oldest
    assert "sealed" not in str(newest) and events[0].key_sealed not in str(newest)
    assert rest.get("/events?trigger_limit=50&key_id=key_1&org_id=acme")["results"] == [oldest]
    assert rest.get("/events?after=2025-01-02T00:00:00Z")["results"] == [newest]
    for method in ("PUT", "PATCH", "DELETE"):
        assert rest.refused(method, f"/events/{oldest['id']}", {})[0] == 405


def test_a_delivery_shows_its_attempts(rest, deliveries):
    shown = rest.get(f"/deliveries/{deliveries[0].pk}")
    assert [attempt["number"] for attempt in shown["attempts"]] == [1, 2] and shown["org_id"] == "acme"
    listed = rest.get("/deliveries?status=failed&channel=webhook")["results"]
    assert [row["id"] for row in listed] == [deliveries[2].pk, deliveries[0].pk] and "attempts" not in listed[0]
    assert rest.refused("GET", "/deliveries?status=lost")[0] == 400


def test_deliveries_are_sent_again_one_by_one_and_in_bulk(rest, deliveries):
    shown = rest.done("POST", f"/deliveries/{deliveries[0].pk}/redeliver")
    assert (shown["status"], shown["message_id"]) == ("pending", deliveries[0].message_id)
    assert rest.refused("POST", f"/deliveries/{deliveries[0].pk}/redeliver")[0] == 409
    assert pointers(rest.refused("POST", "/deliveries/redeliver")[1]) == ["/status"]
    assert pointers(rest.refused("POST", "/deliveries/redeliver?status=pending")[1]) == ["/status"]
    assert pointers(rest.refused("POST", "/deliveries/redeliver?status=failed&monitor=1")[1]) == ["/monitor"]
    assert rest.done("POST", "/deliveries/redeliver?status=failed&channel=email") == {"redelivered": 2, "more": False}
    assert rest.done("POST", "/deliveries/redeliver?status=failed") == {"redelivered": 1, "more": False}
    assert set(Delivery.objects.values_list("status", flat=True)) == {"pending"}
    assert AuditEntry.objects.filter(action="redeliver").count() == 4


def test_a_test_of_a_monitor_is_not_sent_again(rest):
    test = Delivery.objects.create(channel="webhook", monitor=MonitorFactory.create(), recipient="x", status="failed")
    assert rest.refused("POST", f"/deliveries/{test.pk}/redeliver")[0] == 409
    assert rest.done("POST", "/deliveries/redeliver?status=failed")["redelivered"] == 0
    assert rest.get("/deliveries?is_test=true")["results"][0]["id"] == test.pk


@pytest.mark.parametrize("path", ["/monitors", "/events", "/deliveries"])
def test_a_list_takes_the_same_number_of_questions_however_long_it_is(
    rest, path, deliveries, django_assert_max_num_queries
):
    with django_assert_max_num_queries(2):
        assert rest.get(path)["results"]
