"""The audit as a page: searched and read, never changed; and an entry in lines."""

from typing import Any

import pytest
from django.test import Client

from organisations_app import audit
from organisations_app.audit_lines import Line, lines
from organisations_app.models import AuditEntry

PAGE = "/admin/organisations_app/auditentry/"


def entry(
    action: str = "change", actor: str = "mia", subject: str = "key_1", reason: str = "", **sides: Any
) -> AuditEntry:
    of = audit.Subject("key", subject, "acme")
    return audit.record(audit.Actor.person(actor), action, of, reason, **sides)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": 2}, [Line("a", "1", "2")]),
        ({}, {"name": "Free", "tags": []}, [Line("name", "", "Free"), Line("tags", "", "[]")]),
        ({"name": "Free"}, {}, [Line("name", "Free", "")]),
        (
            {"access_rights": {"orders": {"limit": {"quota_max": 10, "rate": 5}}}},
            {"access_rights": {"orders": {"limit": {"quota_max": 20, "rate": 5}}, "bills": {}}},
            [Line("access_rights.orders.limit.quota_max", "10", "20"), Line("access_rights.bills", "", "{}")],
        ),
        ({"trigger_limits": [90, 75]}, {"trigger_limits": [90]}, [Line("trigger_limits", "[90, 75]", "[90]")]),
        (
            {"meta_data": {}},
            {"meta_data": {"Plan": "pro"}},
            [Line("meta_data", "{}", ""), Line("meta_data.Plan", "", "pro")],
        ),
        (
            {"reason": "x", "flag": False},
            {"reason": "", "flag": True},
            [Line("reason", "x", '""'), Line("flag", "false", "true")],
        ),
        ({"same": {"deep": None}}, {"same": {"deep": None}}, []),
    ],
    ids=["number", "made", "deleted", "nested", "list", "empty object", "empty text", "same"],
)
def test_an_entry_is_told_member_by_member(before: Any, after: Any, expected: list[Line]) -> None:
    assert lines(before, after) == expected


@pytest.mark.django_db
def test_it_is_searched_by_who_what_about_and_why(admin_client: Client) -> None:
    entry(), entry("revoke", "kim", "key_2", "laptop lost"), entry("reset-quota", reason="asked by phone")
    found = {"kim": 1, "revoke": 1, "key_2": 1, "laptop": 1, "acme": 3, "phone": 1, "nobody": 0}
    for asked, number in found.items():
        assert len(admin_client.get(PAGE, {"q": asked}).context["cl"].result_list) == number, asked


@pytest.mark.django_db
def test_its_filters_offer_the_words_that_are_used(admin_client: Client) -> None:
    entry(), entry("revoke")
    page = admin_client.get(PAGE, {"action": "revoke"})
    assert [row.action for row in page.context["cl"].result_list] == ["revoke"]
    assert "reset-quota" not in page.content.decode()
    assert 'value="change"' in page.content.decode()


@pytest.mark.django_db
def test_an_entry_shows_what_changed(admin_client: Client) -> None:
    made = entry(before={"limit": {"max": 10}}, after={"limit": {"max": 20}}, reason="<b>why</b>")
    page = admin_client.get(f"{PAGE}{made.pk}/change/").content.decode()
    assert "limit.max" in page and "<del>10</del>" in page and "<ins>20</ins>" in page
    assert "<b>why</b>" not in page and "audit_reason" not in page


@pytest.mark.django_db
def test_it_cannot_be_added_to_changed_or_emptied(admin_client: Client) -> None:
    made = entry()
    assert admin_client.get(f"{PAGE}add/").status_code == 403
    assert admin_client.post(f"{PAGE}{made.pk}/change/", {"actor": "other"}).status_code == 403
    assert admin_client.post(f"{PAGE}{made.pk}/delete/", {"post": "yes"}).status_code == 403
    admin_client.post(PAGE, {"action": "delete_selected", "_selected_action": made.pk, "post": "yes"})
    assert AuditEntry.objects.get().actor == "admin:mia"


@pytest.mark.django_db
def test_the_list_counts_nothing(admin_client: Client, django_assert_max_num_queries: Any) -> None:
    [entry() for _ in range(60)]
    with django_assert_max_num_queries(8) as queries:
        page = admin_client.get(PAGE)
    assert len(page.context["cl"].result_list) == 50
    counting = [each["sql"] for each in queries.captured_queries if "COUNT(*)" in each["sql"]]
    assert all("LIMIT" in sql for sql in counting), counting
