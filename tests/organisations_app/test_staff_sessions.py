"""What a login of the admin sees of `/api/v1`: what it may view there, of the organisations that it is confined to."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from organisations_app.models import Organisation, StaffConfinement
from policies_app.models import Policy
from tests.factories import AcmeFactory, GlobexFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


@pytest.fixture(autouse=True)
def policies():
    for organisation in (AcmeFactory.create(), GlobexFactory.create()):
        Policy.objects.create(id=f"policy-of-{organisation.pk}", organisation=organisation, name="x")


def login(*views: str, confined_to: tuple[str, ...] | None = None, **fields) -> Client:
    user = User.objects.create(username="staff", is_staff=True, **fields)
    user.user_permissions.set(Permission.objects.filter(codename__in=[f"view_{name}" for name in views]))
    if confined_to is not None:
        StaffConfinement.objects.create(user=user).organisations.set(Organisation.objects.filter(pk__in=confined_to))
    client = Client()
    client.force_login(user)
    return client


def shown(client: Client, path: str) -> list[str]:
    return [row["id"] for row in client.get(f"/api/v1{path}").json()["results"]]


def test_without_the_permission_to_view_nothing_is_shown():
    client = login("key")
    answer = client.get("/api/v1/policies")
    assert (answer.status_code, answer.json()["detail"]) == (403, "This login lacks the scope policies:read.")
    assert shown(client, "/keys") == []


def test_what_may_be_viewed_is_shown():
    client = login("policy")
    assert shown(client, "/policies") == ["policy-of-acme", "policy-of-globex"]
    assert client.get("/api/v1/keys").status_code == 403


def test_superusers_see_all():
    assert shown(login(is_superuser=True), "/policies") == ["policy-of-acme", "policy-of-globex"]


@pytest.mark.parametrize(
    ("organisations", "seen"),
    [(("acme",), ["acme"]), (("acme", "globex"), ["acme", "globex"]), ((), [])],
)
def test_confined_staff_see_their_organisations_only(organisations, seen):
    client = login("policy", "organisation", "monitor", confined_to=organisations)
    assert shown(client, "/policies") == [f"policy-of-{name}" for name in seen]
    assert shown(client, "/organisations") == seen
    assert client.get("/api/v1/policies/policy-of-globex").status_code == (200 if "globex" in seen else 404)
    assert client.get("/api/v1/monitors/gateway").status_code == 404


def test_a_preview_reads_and_nothing_else_does_more_than_that():
    client = login("policy", "key", confined_to=("acme",))
    ask: dict[str, Any] = {"content_type": "application/json", "data": "{}"}
    assert client.post("/api/v1/policies/policy-of-acme/preview", **ask).status_code == 200
    assert client.post("/api/v1/policies/policy-of-globex/preview", **ask).status_code == 404
    assert client.patch("/api/v1/policies/policy-of-acme", **ask).status_code == 403


def test_who_is_no_staff_sees_nothing():
    client = Client()
    client.force_login(User.objects.create(username="developer"))
    assert client.get("/api/v1/policies").status_code == 403
