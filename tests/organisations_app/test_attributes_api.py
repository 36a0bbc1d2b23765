"""`/api/v1/attributes` and what developers want by e-mail, `/api/v1/developers/{id}/emails`."""

import pytest

from monitors_app.preferences import preference_of, refuse_address
from organisations_app.models import AttributeDefinition, AuditEntry
from tests.administration import pointers
from tests.factories import MemberFactory

pytestmark = pytest.mark.django_db


def test_the_life_of_an_attribute(rest):
    made = rest.done("POST", "/attributes", {"name": "team", "kind": "list", "add_to_key_metadata": True})
    assert made == {
        "id": made["id"],
        "name": "team",
        "kind": "list",
        "is_required": False,
        "add_to_key_metadata": True,
    }
    address = f"/attributes/{made['id']}"
    assert rest.done("PATCH", address, {"is_required": True})["is_required"]
    assert rest.get("/attributes?name=team")["results"] == [rest.get(address)]
    assert rest.ask("DELETE", address).status_code == 204 and not AttributeDefinition.objects.exists()
    assert [entry.action for entry in AuditEntry.objects.order_by("id")] == ["create", "change", "delete"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/name"),
        ({"name": "a b"}, "/name"),
        ({"name": "x" * 65}, "/name"),
        ({"name": "x", "kind": "date"}, "/kind"),
        ({"name": "x", "is_required": "yes"}, "/is_required"),
        ({"name": "x", "colour": 1}, "/colour"),
    ],
)
def test_a_wrong_attribute_is_refused(rest, body, pointer):
    code, problem = rest.refused("POST", "/attributes", body)
    assert (code, pointers(problem)) == (400, [pointer])
    assert not AttributeDefinition.objects.exists()


def test_what_a_developer_wants_by_e_mail(rest):
    developer = MemberFactory.create()
    address = f"/developers/{developer.pk}/emails"
    assert rest.get(address) == {"thresholds": "immediate", "digest_at": "08:00:00", "refused_address": ""}
    refuse_address(developer, "old@acme.example")
    assert rest.get(address)["refused_address"] == "old@acme.example"
    changed = rest.done("PUT", address, {"thresholds": "digest", "digest_at": "07:30"})
    assert changed == {"thresholds": "digest", "digest_at": "07:30:00", "refused_address": ""}
    assert rest.done("PUT", address, {"thresholds": "off"})["digest_at"] == "07:30:00"
    assert preference_of(developer).thresholds == "off"
    entry = AuditEntry.objects.latest("id")
    assert (entry.action, entry.before, entry.after) == (
        "choose-emails",
        {"thresholds": "digest"},
        {"thresholds": "off"},
    )


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/thresholds"),
        ({"thresholds": "weekly"}, "/thresholds"),
        ({"thresholds": "off", "digest_at": "25:00"}, "/digest_at"),
        ({"thresholds": "off", "digest_at": 8}, "/digest_at"),
        ({"thresholds": "off", "colour": 1}, "/colour"),
        ([], ""),
    ],
)
def test_a_wrong_wish_is_refused_and_changes_nothing(rest, body, pointer):
    developer = MemberFactory.create()
    code, problem = rest.refused("PUT", f"/developers/{developer.pk}/emails", body)
    assert (code, pointers(problem)) == (400, [pointer])
    assert preference_of(developer).pk is None
