"""Lists of the admin that neither count nor skip rows, whatever they are sorted by."""

import re
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from organisations_app import keysets
from organisations_app.admin_lists import Amount
from sessions_app.models import Key
from tests.factories import AcmeFactory, GlobexFactory, KeyFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

LIST = "/admin/sessions_app/key/"
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
ORDERS = {
    "newest first, many at the same moment": ["-created_at", "id"],
    "many equal aliases": ["alias", "id"],
    "many equal aliases, descending": ["-alias", "-id"],
    "empty values": ["expires_at", "id"],
    "empty values, descending": ["-expires_at", "-id"],
    "by a related row": ["organisation__name", "-id"],
    "by a related row that may be missing": ["-application__name", "id"],
}


@pytest.fixture
def keys() -> list[Key]:
    """23 keys with many equal and empty values."""
    keys = []
    for number in range(23):
        organisation = (AcmeFactory, GlobexFactory)[number % 2].create()
        kind = {"application": None, "organisation": organisation} if number % 3 else {}
        key = KeyFactory.create(
            id=f"key_{number:02}",
            alias=("", "a", "b")[number % 3],
            expires_at=MOMENT + timedelta(days=number) if number % 4 == 0 else None,
            **kind,
        )
        Key.objects.filter(pk=key.pk).update(created_at=MOMENT + timedelta(hours=number % 2))
        keys.append(key)
    return keys


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_every_row_is_on_exactly_one_page_in_both_directions(keys: list[Key], order: list[str]) -> None:
    rows = Key.objects.all()
    whole = list(rows.order_by(*keysets.sorting(rows, order)).values_list("pk", flat=True))
    forwards = [_ids(shown) for shown in _walk(order, None, "after")]
    backwards = [_ids(shown) for shown in _walk(order, keysets.LAST, "before")]
    assert list(chain(*forwards)) == whole and len(forwards) == 5
    assert list(chain(*reversed(backwards))) == whole


def _walk(order: list[str], place: keysets.Place | None, on: str) -> Any:
    while True:
        shown = keysets.page(Key.objects.all(), order, place, 5)
        yield shown
        found = getattr(shown, on)
        if found is None:
            return
        place = keysets.read(keysets.written(found), order)


def _ids(shown: keysets.Shown) -> list[str]:
    return [row.pk for row in shown.rows]


@pytest.mark.parametrize("text", ["x", "W10=", "bnVsbA==", "WzEsIltdIl0=", "W2ZhbHNlLFsxXV0=", "é"])
def test_a_place_that_no_list_named_is_refused(text: str) -> None:
    with pytest.raises(keysets.WrongPlace):
        keysets.read(text, ["alias", "id"])


def test_a_place_with_values_of_the_wrong_kind_is_refused(keys: list[Key]) -> None:
    place = keysets.Place(False, ["no date", "key_01"])
    with pytest.raises(keysets.WrongPlace):
        keysets.page(Key.objects.all(), ["-created_at", "id"], place, 5)


def test_the_admin_turns_pages_forwards_and_back(admin_client: Client, keys: list[Key], monkeypatch: Any) -> None:
    monkeypatch.setattr("sessions_app.admin.keys.KeyAdmin.list_per_page", 5)
    first = admin_client.get(LIST)
    assert "23 keys" in first.content.decode()
    second = admin_client.get(LIST + first.context["cl"].paginator.next)
    last = admin_client.get(LIST + first.context["cl"].paginator.last)
    assert len(second.context["cl"].result_list) == 5 and len(last.context["cl"].result_list) == 5
    assert last.context["cl"].paginator.next == "" and last.context["cl"].paginator.previous
    back = admin_client.get(LIST + second.context["cl"].paginator.previous)
    assert back.context["cl"].result_list == first.context["cl"].result_list


def test_filters_search_and_sorting_go_along_with_the_pages(
    admin_client: Client, keys: list[Key], monkeypatch: Any
) -> None:
    monkeypatch.setattr("sessions_app.admin.keys.KeyAdmin.list_per_page", 2)
    shown = admin_client.get(f"{LIST}?q=key_1&organisation__id__exact=acme&o=1").context["cl"]
    pages = [shown.result_list]
    while shown.paginator.next:
        shown = admin_client.get(LIST + shown.paginator.next).context["cl"]
        pages.append(shown.result_list)
    expected = Key.objects.filter(organisation="acme", pk__contains="key_1").order_by("alias", "pk")
    assert list(chain(*pages)) == list(expected) and len(pages) == 3


def test_a_wrong_place_in_the_address_shows_the_list_with_a_warning(admin_client: Client, keys: list[Key]) -> None:
    assert admin_client.get(f"{LIST}?p=nonsense").headers["Location"] == f"{LIST}?e=1"


def test_no_list_counts_beyond_its_bound_or_skips_rows(admin_client: Client, keys: list[Key], monkeypatch: Any) -> None:
    monkeypatch.setattr("sessions_app.admin.keys.KeyAdmin.list_per_page", 5)
    monkeypatch.setattr("organisations_app.admin_lists.MOST_COUNTED", 10)
    with CaptureQueriesContext(connection) as queries:
        html = admin_client.get(LIST).content.decode()
    assert "more than 10 keys" in html or "about" in html
    statements = [query["sql"] for query in queries.captured_queries]
    assert not any(" OFFSET " in statement for statement in statements)
    counts = [statement for statement in statements if "COUNT(" in statement and "sessions_app_key" in statement]
    assert counts and all(re.search(r"LIMIT 11\b", statement) for statement in counts)


def test_the_databases_estimate_is_of_the_whole_table(admin_client: Client, keys: list[Key], monkeypatch: Any) -> None:
    monkeypatch.setattr("sessions_app.admin.keys.KeyAdmin.list_per_page", 5)
    monkeypatch.setattr("organisations_app.admin_lists.estimated_rows", lambda rows: 1_234_567)
    assert "about 1,230,000" not in admin_client.get(LIST).content.decode(), "all are counted"
    monkeypatch.setattr("organisations_app.admin_lists.MOST_COUNTED", 10)
    assert "about 1,230,000 keys" in admin_client.get(LIST).content.decode()
    assert "more than 10 keys" in admin_client.get(f"{LIST}?status=active").content.decode()


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (Amount.exactly(1_234), "1,234"),
        (Amount.about(1_004_321), "about 1,000,000"),
        (Amount.about(5_678), "about 5,680"),
        (Amount.more_than(1_000), "more than 1,000"),
        (Amount.counted(1_000), "1,000"),
        (Amount.counted(1_001), "more than 1,000"),
    ],
)
def test_numbers_say_how_exactly_they_are_known(amount: Amount, words: str) -> None:
    assert str(amount) == words
