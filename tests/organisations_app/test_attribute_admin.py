"""Admins define developer attributes and read the audit; nobody edits what was done."""

import pytest
from django.test import Client

from organisations_app import audit
from organisations_app.models import AttributeDefinition, AuditEntry
from tests.admin_pages import errors_of, submit
from tests.factories import MemberFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

ATTRIBUTES = "/admin/organisations_app/attributedefinition/"
AUDIT = "/admin/organisations_app/auditentry/"


def test_an_attribute_is_defined_and_then_asked_of_developers(admin_client: Client) -> None:
    assert submit(admin_client, f"{ATTRIBUTES}add/", name="plan", kind="string", is_required="on").status_code == 302
    assert AttributeDefinition.objects.get().is_required
    page = f"/admin/organisations_app/developer/{MemberFactory.create().pk}/change/"
    assert "plan is required" in str(errors_of(submit(admin_client, page))["attributes"])
    assert submit(admin_client, page, attributes='{"plan": "gold"}').status_code == 302


def test_a_name_that_no_pattern_could_refer_to_is_refused(admin_client: Client) -> None:
    assert "$tyk_meta.NAME" in str(errors_of(submit(admin_client, f"{ATTRIBUTES}add/", name="my plan"))["name"])


def test_the_audit_can_be_searched_but_not_changed(admin_client: Client) -> None:
    audit.record(audit.Actor.person("ada"), "reset-quota", audit.Subject("key", "key_1", "acme"), "new contract")
    assert "new contract" in admin_client.get(f"{AUDIT}?q=ada&action=reset-quota").content.decode()
    entry = AuditEntry.objects.get()
    assert admin_client.get(f"{AUDIT}{entry.pk}/change/").status_code == 200
    for path in (f"{AUDIT}add/", f"{AUDIT}{entry.pk}/delete/", f"{AUDIT}{entry.pk}/change/"):
        assert admin_client.post(path, {"post": "yes"}).status_code == 403
    assert AuditEntry.objects.count() == 1
