"""The admin of API tokens: shown once, never wider than who makes them, revoked with a reason."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from organisations_app import audit
from organisations_app.admin_tokens import EVERYTHING, SCOPES, create_token, find_token
from organisations_app.models import AdminToken, AuditEntry, Organisation, StaffConfinement
from tests.admin_pages import errors_of, submit
from tests.administration import token_client
from tests.factories import AcmeFactory, GlobexFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

TOKENS = "/admin/organisations_app/admintoken/"


def made(client: Client, **values: Any) -> Any:
    return submit(client, f"{TOKENS}add/", **{"name": "CI", "scopes": ["keys:read"], **values})


def text_in(response: Any) -> str:
    found = re.search(r'<code id="secret">(tgat_\w+)</code>', response.content.decode())
    assert found, response.content
    return found[1]


def staff(client: Client, *codenames: str, organisation: str = "") -> User:
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    if organisation:
        StaffConfinement.objects.create(user=user).organisations.add(Organisation.objects.get(pk=organisation))
    client.force_login(user)
    return user


def test_a_token_is_shown_once_and_works(admin_client: Client) -> None:
    AcmeFactory.create()
    response = made(admin_client, organisation="acme", scopes=["keys:read", "usage:read"], lifetime_days="30")
    text, token = text_in(response), AdminToken.objects.get()
    assert response.status_code == 200 and "no-store" in response["Cache-Control"]
    assert find_token(text) == token
    assert (token.organisation_id, token.scopes, token.created_by) == (
        "acme",
        ["keys:read", "usage:read"],
        "admin:admin",
    )
    assert timedelta(days=29) < token.expires_at - timezone.now() <= timedelta(days=30)
    for page in (TOKENS, f"{TOKENS}{token.pk}/change/", f"{TOKENS}{token.pk}/history/"):
        assert text not in admin_client.get(page).content.decode()
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject_kind, entry.subject_id) == ("create", "token", str(token.pk))
    assert text not in str(entry.after) and token.digest not in str(entry.after)


def test_a_token_for_ever_and_for_all(admin_client: Client) -> None:
    made(admin_client, scopes=list(SCOPES), lifetime_days="0")
    token = AdminToken.objects.get()
    assert (token.expires_at, token.organisation) == (None, None)
    shown = admin_client.get(TOKENS).content.decode()
    assert "all organisations" in shown and "everything" in shown and "never used" in shown


def test_a_token_without_scopes_is_refused_in_words(admin_client: Client) -> None:
    refused = made(admin_client, scopes=None)
    assert errors_of(refused)["scopes"].startswith("Tick at least one")
    assert not AdminToken.objects.exists()


def test_nobody_hands_on_what_they_lack(client: Client) -> None:
    staff(client, "add_admintoken", "view_key", "change_policy", "view_policy")
    page = client.get(f"{TOKENS}add/").content.decode()
    assert 'value="keys:read"' in page and 'value="policies:write"' in page
    assert 'value="keys:write"' not in page and 'value="tokens:write"' not in page
    refused = made(client, scopes=["keys:write"])
    assert "keys:write" in errors_of(refused)["scopes"] and not AdminToken.objects.exists()


def test_confined_staff_make_tokens_of_their_organisations(client: Client) -> None:
    AcmeFactory.create(), GlobexFactory.create()
    staff(client, "add_admintoken", "view_key", "view_admintoken", organisation="acme")
    assert "organisation" in errors_of(made(client))
    assert "organisation" in errors_of(made(client, organisation="globex"))
    text = text_in(made(client, organisation="acme"))
    assert find_token(text).organisation_id == "acme"


def test_a_token_is_revoked_with_a_reason(admin_client: Client) -> None:
    token = AdminToken(name="CI", scopes=["keys:read"])
    text = create_token(token, audit.ROOT, EVERYTHING)
    pk = token.pk
    assert "is refused" in admin_client.get(f"{TOKENS}{pk}/revoke/").content.decode()
    assert find_token(text) is not None
    admin_client.post(f"{TOKENS}{pk}/revoke/", {"confirmed": "yes", "reason": "laptop lost"})
    assert find_token(text) is None
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject_kind, entry.subject_id) == ("delete", "token", str(pk))
    assert (entry.reason, entry.before["hint"]) == ("laptop lost", token.hint)


def test_a_token_cannot_be_changed(admin_client: Client) -> None:
    token = AdminToken(name="CI", scopes=["keys:read"])
    create_token(token, audit.ROOT, EVERYTHING)
    assert admin_client.post(f"{TOKENS}{token.pk}/change/", {"name": "Other"}).status_code == 403


def test_the_list_tells_use_and_end(admin_client: Client) -> None:
    token_client("keys:read").get("/keys")
    AdminToken.objects.create(
        name="Old", scopes=["keys:read"], digest="d", hint="tgat_…1", expires_at=timezone.now() - timedelta(days=1)
    )
    for state, names in (("unused", ["Old"]), ("expired", ["Old"]), ("endless", ["t"]), ("", ["Old", "t"])):
        listed = admin_client.get(f"{TOKENS}?state={state}").context["cl"].result_list
        assert sorted(token.name for token in listed) == names, state
    assert AdminToken.objects.get(name="t").last_used_at is not None
