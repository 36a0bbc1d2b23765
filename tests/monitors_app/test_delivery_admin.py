"""The admin of events and deliveries: no raw key on any page, history stays as it was, and sending again."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from monitors_app.models import Attempt, Delivery, Monitor, TriggerEvent
from organisations_app.models import AuditEntry, StaffConfinement
from tests.factories import AcmeFactory, GlobexFactory, MemberFactory
from tests.monitors_app.admin_cast import RAW
from tests.monitors_app.admin_cast import delivery as delivery
from tests.monitors_app.admin_cast import monitor as monitor

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

MONITORS = "/admin/monitors_app/monitor/"
EVENTS = "/admin/monitors_app/triggerevent/"
DELIVERIES = "/admin/monitors_app/delivery/"


def test_no_page_shows_a_raw_key_or_a_secret(admin_client: Client, delivery: Delivery) -> None:
    for url in (
        EVENTS,
        f"{EVENTS}{delivery.event_id}/change/",
        DELIVERIES,
        f"{DELIVERIES}{delivery.pk}/change/",
        "/admin/",
    ):
        html = admin_client.get(url).content.decode()
        assert "Storefront" in html
        assert RAW not in html and "s3cret-value" not in html and delivery.event.key_sealed not in html
    assert "tg_…see" in admin_client.get(f"{DELIVERIES}{delivery.pk}/change/").content.decode()


@pytest.mark.parametrize("what", ["triggerevent", "delivery"])
def test_history_can_be_read_but_not_written(admin_client: Client, delivery: Delivery, what: str) -> None:
    base = f"/admin/monitors_app/{what}/"
    assert admin_client.get(f"{base}add/").status_code == 403
    for action in ("change", "delete"):
        assert admin_client.post(f"{base}{delivery.pk}/{action}/", {"post": "yes", "used": "1"}).status_code == 403
    assert TriggerEvent.objects.get().used == 8


@pytest.mark.parametrize("bulk", [False, True])
def test_a_failed_delivery_is_sent_again(
    admin_client: Client, delivery: Delivery, bulk: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitors_app.delivery.wake", lambda *_: True)
    url = DELIVERIES if bulk else f"{DELIVERIES}{delivery.pk}/redeliver_one/"
    data: dict[str, Any] = {"action": "redeliver_selected", "_selected_action": delivery.pk} if bulk else {}
    assert "sent again" in admin_client.post(url, data).content.decode()
    assert Delivery.objects.get().status == "failed"
    admin_client.post(url, {**data, "confirmed": "yes"})
    assert Delivery.objects.get().status == "pending"
    assert [(entry.action, entry.subject_id) for entry in AuditEntry.objects.all()] == [("redeliver", str(delivery.pk))]
    again = admin_client.post(url, {**data, "confirmed": "yes"}, follow=True)
    assert "left alone" in again.content.decode()


@pytest.mark.parametrize("url", [MONITORS, EVENTS, DELIVERIES, "/admin/"])
def test_lists_stay_below_12_queries(
    admin_client: Client, delivery: Delivery, url: str, django_assert_max_num_queries: Any
) -> None:
    for number in range(6):
        organisation = AcmeFactory.create(id=f"org{number}")
        Monitor.objects.create(name=f"Monitor {number}", organisation=organisation)
        event = TriggerEvent.objects.latest("pk")
        event.pk, event.threshold = None, f"{number}"
        event.save()
        Delivery.objects.create(
            event=event, channel="webhook", monitor=delivery.monitor, recipient="x", status="failed"
        )
    with django_assert_max_num_queries(12):
        assert admin_client.get(url).status_code == 200


def more_of(delivery: Delivery, **changes: Any) -> Delivery:
    """Another event with a delivery; `changes` are the delivery's."""
    event = TriggerEvent.objects.earliest("pk")
    event.pk, event.threshold = None, f"{TriggerEvent.objects.count()}"
    event.organisation_id = changes.pop("organisation", event.organisation_id)
    event.save()
    fields = {"channel": "webhook", "monitor": delivery.monitor, "recipient": "x", "status": "failed"}
    return Delivery.objects.create(event=event, **{**fields, **changes})


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status__exact=delivered", "delivered"),
        ("organisation=globex", "globex"),
        ("target=slow.example", "slow"),
        ("target=slow.example:8443", "slow"),
        ("target=slow.example:1", None),
        ("channel__exact=email", "email"),
        ("q=msg_findme", "named"),
        ("q=globex", "globex"),
        ("q=nothing-at-all", None),
    ],
)
def test_deliveries_are_found(admin_client: Client, delivery: Delivery, query: str, found: str | None) -> None:
    rows = {
        "delivered": more_of(delivery, status="delivered"),
        "globex": more_of(delivery, organisation="globex"),
        "slow": more_of(delivery, target="slow.example:8443"),
        "email": more_of(delivery, channel="email"),
        "named": more_of(delivery, message_id="msg_findme"),
    }
    shown = admin_client.get(f"{DELIVERIES}?{query}").context["cl"].result_list
    assert [row.pk for row in shown] == ([rows[found].pk] if found else [])


@pytest.mark.parametrize("most", [1, 1_000])
@pytest.mark.parametrize(
    ("page", "query"),
    [
        (DELIVERIES, "q=globex"),
        (DELIVERIES, "organisation=globex"),
        (DELIVERIES, "q=key_rare"),
        (EVENTS, "q=globex"),
        (EVENTS, "q=Shop"),
    ],
)
def test_many_events_are_found_like_few(
    admin_client: Client, delivery: Delivery, most: int, page: str, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few are named in the condition, many are not: both ways lead to the same rows."""
    monkeypatch.setattr("monitors_app.admin.history.MOST_COUNTED", most)
    rows = [more_of(delivery, organisation="globex") for _ in range(3)]
    events = [row.event_id for row in rows]
    TriggerEvent.objects.filter(deliveries__in=rows).update(key_id="key_rare", alias="Shop")
    shown = admin_client.get(f"{page}?{query}").context["cl"].result_list
    assert {row.pk for row in shown} == set(events if page == EVENTS else [row.pk for row in rows])


@pytest.mark.parametrize("status", Delivery.Status.values)
def test_deliveries_of_every_status_are_found(admin_client: Client, delivery: Delivery, status: str) -> None:
    is_open = status in ("pending", "sending")
    rows = [more_of(delivery, status=status, finished_at=None if is_open else timezone.now()) for _ in range(2)]
    delivery.delete()
    others = {"pending": "failed"}.get(status, "pending")
    more_of(delivery, status=others, finished_at=None if others == "pending" else timezone.now())
    shown = admin_client.get(f"{DELIVERIES}?status__exact={status}").context["cl"].result_list
    assert {row.pk for row in shown} == {row.pk for row in rows}


def test_deliveries_to_an_address_are_found(admin_client: Client, delivery: Delivery) -> None:
    developer = MemberFactory.create(user__email="Ann@acme.example")
    mine = more_of(delivery, channel="email", monitor=None, developer=developer)
    for query, found in (("ann@acme.example", [mine.pk]), ("bob@acme.example", [])):
        shown = admin_client.get(f"{DELIVERIES}?q={query}").context["cl"].result_list
        assert [row.pk for row in shown] == found


def test_deliveries_of_one_monitor_are_found(admin_client: Client, delivery: Delivery) -> None:
    other = Monitor.objects.create(name="Other")
    mine = more_of(delivery, monitor=other)
    shown = admin_client.get(f"{DELIVERIES}?monitor__id__exact={other.pk}").context["cl"].result_list
    assert [row.pk for row in shown] == [mine.pk]


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("created_at_to_0=2026-03-09&created_at_to_1=12:00:00", ["old"]),
        ("created_at_to_0=2026-03-09&created_at_to_1=11:59:59", []),
        ("created_at_to_0=2026-03-09", ["old"]),
        ("created_at_from_0=2026-03-10", ["new"]),
        ("created_at_from_0=2026-03-09&created_at_to_0=2026-03-09", ["old"]),
        ("created_at_from_0=2026-03-09&created_at_from_1=12:00:00", ["new", "old"]),
        ("created_at_from_1=12:00:00", []),
        ("created_at_from_0=yesterday", []),
    ],
)
def test_deliveries_are_found_by_the_moment(
    admin_client: Client, delivery: Delivery, query: str, found: list[str]
) -> None:
    rows = {"old": more_of(delivery), "new": delivery}
    for name, day in (("old", 9), ("new", 10)):
        at = datetime(2026, 3, day, 12, tzinfo=UTC)
        Delivery.objects.filter(pk=rows[name].pk).update(created_at=at)
    shown = admin_client.get(f"{DELIVERIES}?{query}").context["cl"].result_list
    assert {row.pk for row in shown} == {rows[name].pk for name in found}


@pytest.mark.parametrize("most", [1, 1_000])
@pytest.mark.parametrize("target", ["slow.example", "slow.example:8443"])
def test_many_deliveries_to_a_target_are_found_like_few(
    admin_client: Client, delivery: Delivery, most: int, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitors_app.admin.deliveries.MOST_COUNTED", most)
    monkeypatch.setattr("monitors_app.admin.history.MOST_COUNTED", most)
    rows = [more_of(delivery, target="slow.example:8443") for _ in range(3)]
    more_of(delivery, target="slow.example.org:8443")
    shown = admin_client.get(f"{DELIVERIES}?target={target}").context["cl"].result_list
    assert {row.pk for row in shown} == {row.pk for row in rows}


@pytest.mark.parametrize("most", [1, 1_000])
def test_deliveries_to_a_target_are_looked_up_by_its_index(
    admin_client: Client, delivery: Delivery, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is on big tables: on PostgreSQL small ones are read whole unless that is forbidden."""
    monkeypatch.setattr("monitors_app.admin.deliveries.MOST_COUNTED", most)
    monkeypatch.setattr("monitors_app.admin.history.MOST_COUNTED", most)
    for _ in range(3):
        more_of(delivery, target="slow.example:8443")
    with CaptureQueriesContext(connection) as queries:
        admin_client.get(f"{DELIVERIES}?target=slow.example:8443")
    lookups = [query["sql"] for query in queries if "slow.example:8443" in query["sql"] and "JOIN" not in query["sql"]]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
        plans = []
        for sql in lookups[: 1 if most > 1 else 2]:
            cursor.execute(f"{'EXPLAIN' if connection.vendor == 'postgresql' else 'EXPLAIN QUERY PLAN'} {sql}")
            plans.append(str(cursor.fetchall()))
    assert len(plans) == (1 if most > 1 else 2) and all("delivery_of_target" in plan for plan in plans), plans


def test_all_that_a_filter_found_are_sent_again(
    admin_client: Client, delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitors_app.delivery.wake", lambda *_: True)
    Delivery.objects.update(finished_at=timezone.now())
    rows = [more_of(delivery, body="{}", finished_at=timezone.now()) for _ in range(60)]
    left = more_of(delivery, status="delivered", body="{}", finished_at=timezone.now())
    url = f"{DELIVERIES}?status__exact=failed"
    data = {"action": "redeliver_selected", "_selected_action": rows[0].pk, "select_across": "1"}
    asked = admin_client.post(url, data)
    assert "and 41 more" in asked.content.decode()
    admin_client.post(url, {**data, "confirmed": "yes"})
    assert Delivery.objects.filter(status="pending").count() == 61
    assert Delivery.objects.get(pk=left.pk).status == "delivered"


def test_an_event_is_traced_to_every_attempt_on_one_page(
    admin_client: Client, delivery: Delivery, django_assert_max_num_queries: Any
) -> None:
    for number in range(8):
        monitor = Monitor.objects.create(name=f"Listener {number}")
        row = Delivery.objects.create(
            event=delivery.event, channel="webhook", monitor=monitor, recipient=f"https://l{number}.example/"
        )
        for attempt in (1, 2):
            Attempt.objects.create(
                delivery=row, number=attempt, started_at=timezone.now(), duration_ms=attempt * 1000 + number,
                status_code=503, error="HTTP 503", response_body=f"answer {number}.{attempt}",
            )  # fmt: skip
    with django_assert_max_num_queries(12):
        html = admin_client.get(f"{EVENTS}{delivery.event_id}/change/").content.decode()
    assert all(f"https://l{number}.example/" in html and f"answer {number}.2" in html for number in range(8))
    assert "2007 ms" in html and "HTTP 500" in html and f"{DELIVERIES}{delivery.pk}/change/" in html


def test_an_event_that_nobody_was_told_of_says_so(admin_client: Client, delivery: Delivery) -> None:
    Delivery.objects.all().delete()
    assert "Nobody was told" in admin_client.get(f"{EVENTS}{delivery.event_id}/change/").content.decode()


def test_an_event_that_no_database_can_number_is_not_there(admin_client: Client) -> None:
    answer = admin_client.get(f"/admin/monitors_app/triggerevent/{2**64}/change/", follow=True)
    assert (answer.status_code, answer.redirect_chain[0][0]) == (200, "/admin/")


def test_confined_staff_trace_only_their_own_monitors(
    client: Client, delivery: Delivery, django_user_model: Any
) -> None:
    acme, globex = AcmeFactory.create(), GlobexFactory.create()
    for organisation in (acme, globex):
        monitor = Monitor.objects.create(name=f"Of {organisation.pk}", organisation=organisation)
        Delivery.objects.create(event=delivery.event, channel="webhook", monitor=monitor, recipient="x")
    user = django_user_model.objects.create(username="confined", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="monitors_app"))
    StaffConfinement.objects.create(user=user).organisations.add(acme)
    client.force_login(user)
    html = client.get(f"{EVENTS}{delivery.event_id}/change/").content.decode()
    assert "Of acme" in html and "Of globex" not in html and "Billing" not in html


def test_a_page_of_a_delivery_stays_below_12_queries(
    admin_client: Client, delivery: Delivery, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(12):
        html = admin_client.get(f"{DELIVERIES}{delivery.pk}/change/").content.decode()
    assert "HTTP 500" in html and "webhook-signature" in html and "tg_…see" in html


@pytest.mark.parametrize("url", [EVENTS, DELIVERIES])
def test_no_list_counts_its_table(admin_client: Client, delivery: Delivery, url: str) -> None:
    for _ in range(60):
        more_of(delivery)
    with CaptureQueriesContext(connection) as queries:
        admin_client.get(url)
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    assert all("LIMIT 1001" in sql for sql in counts), counts


def test_a_filter_with_what_no_database_stores_finds_nothing(admin_client):
    page = admin_client.get("/admin/monitors_app/delivery/?target=%00")
    assert page.status_code == 200 and b"0 deliveries" in page.content
