"""Admin tokens: shown once, bound to scopes and an organisation, ending, and never wider than their maker."""

from datetime import timedelta

import pytest
from django.utils import timezone

from organisations_app import admin_tokens
from organisations_app.models import AdminToken
from organisations_app.secret_texts import is_intact
from tests.administration import Administration, pointers, token_client
from tests.factories import AcmeFactory, GlobexFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def organisations():
    AcmeFactory.create(), GlobexFactory.create()


def with_token(text: str) -> Administration:
    return Administration("/api/v1", {"Authorization": f"Bearer {text}"})


def test_a_token_is_shown_once_and_only_its_digest_is_stored(rest):
    made = rest.done("POST", "/tokens", {"name": "ci", "scopes": ["keys:read"], "org_id": "acme"})
    text = made.pop("token")
    assert is_intact(admin_tokens.PREFIX, text) and made["hint"] == f"tgat_…{text[-4:]}"
    assert rest.get(f"/tokens/{made['id']}") == made and text not in str(list(AdminToken.objects.values()))
    assert made["created_by"] == "token:root" and made["last_used_at"] is None
    assert with_token(text).get("/keys")["results"] == []
    assert rest.get("/tokens?never_used=false")["results"][0]["last_used_at"]


def test_a_token_says_what_it_lacks(rest):
    limited = token_client("keys:read")
    code, problem = limited.refused("POST", "/keys", {})
    assert (code, problem["code"], problem["detail"]) == (
        403,
        "permission_denied",
        "This token lacks the scope keys:write.",
    )
    assert limited.refused("GET", "/apis")[0] == 403


def test_a_token_that_ended_or_was_deleted_is_not_known(rest):
    client = token_client("keys:read")
    client.get("/keys")
    AdminToken.objects.update(expires_at=timezone.now())
    assert client.refused("GET", "/keys")[0] == 401
    AdminToken.objects.update(expires_at=None)
    client.get("/keys")
    assert rest.ask("DELETE", f"/tokens/{AdminToken.objects.get().pk}").status_code == 204
    assert client.refused("GET", "/keys")[0] == 401


def test_a_mistyped_token_asks_the_database_nothing(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert with_token("tgat_" + "a" * 32 + "_000000").refused("GET", "/keys")[0] == 401


def test_a_token_of_an_older_pepper_is_still_known(settings):
    client = token_client("keys:read")
    settings.GATEWAY_KEY_PEPPER_FALLBACKS = [settings.GATEWAY_KEY_PEPPER]
    settings.GATEWAY_KEY_PEPPER = "another"
    client.get("/keys")


def test_the_last_use_is_written_once_a_minute_at_most(django_assert_num_queries):
    client = token_client("organisations:read")
    client.get("/organisations")
    with django_assert_num_queries(2):  # the token, the list
        client.get("/organisations")
    AdminToken.objects.update(last_used_at=timezone.now() - timedelta(seconds=61))
    client.get("/organisations")
    assert AdminToken.objects.get().last_used_at > timezone.now() - timedelta(seconds=5)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["keys:admin"]}, "/scopes/0"),
        ({"scopes": "keys:read"}, "/scopes"),
        ({"scopes": ["apis:read"]}, "/scopes"),
        ({"org_id": None}, "/org_id"),
        ({"org_id": "globex"}, "/org_id"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "2999-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": None}, "/expires_at"),
        ({"name": ""}, "/name"),
    ],
)
def test_a_token_makes_none_that_is_wider_or_wrong(body, pointer):
    end = timezone.now() + timedelta(days=7)
    maker = token_client("tokens:write", "keys:read", organisation_id="acme", expires_at=end)
    code, problem = maker.refused("POST", "/tokens", {"name": "x", "scopes": ["keys:read"], **body})
    assert (code, pointers(problem)) == (400, [pointer]) and AdminToken.objects.count() == 1


def test_a_token_made_by_a_token_is_bound_and_ends_as_that_does():
    end = timezone.now() + timedelta(days=7)
    maker = token_client("tokens:write", "keys:read", organisation_id="acme", expires_at=end)
    made = maker.done("POST", "/tokens", {"name": "x", "scopes": ["keys:read"]})
    assert (made["org_id"], made["created_by"]) == ("acme", "token:t")
    assert AdminToken.objects.get(pk=made["id"]).expires_at == end


def test_root_may_make_one_for_ever_and_a_year_is_usual(rest):
    assert (
        rest.done("POST", "/tokens", {"name": "x", "scopes": ["keys:read"], "expires_at": None})["expires_at"] is None
    )
    rest.done("POST", "/tokens", {"name": "y", "scopes": ["keys:read"]})
    assert AdminToken.objects.get(name="y").expires_at - timezone.now() > timedelta(days=364)
