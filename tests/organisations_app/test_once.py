"""`Idempotency-Key`, ETag and `If-Match`: an answer that was lost, and a change that came in between."""

import base64
import json
from datetime import timedelta

import pytest
from django.utils import timezone

from organisations_app.models import GivenAnswer, Organisation
from organisations_app.rest import idempotency
from tests.administration import Administration, pointers, token_client

pytestmark = pytest.mark.django_db


def send(client: Administration, body, key: str = "k", path: str = "/organisations"):
    return client.ask("POST", path, body, headers={**client.headers, "Idempotency-Key": key})


def test_the_same_request_gets_the_same_answer_and_acts_once(rest):
    first, again = (send(rest, {"name": "x"}) for _ in range(2))
    assert (first.status_code, first.json(), first["ETag"]) == (again.status_code, again.json(), again["ETag"])
    assert again["Idempotency-Replayed"] == "true" and "Idempotency-Replayed" not in first
    assert Organisation.objects.count() == 1
    assert send(rest, {"name": "x"}, "other").json()["id"] != first.json()["id"]


def test_another_request_with_the_same_key_is_refused(rest):
    send(rest, {"name": "x"})
    for path, body in (("/organisations", {"name": "y"}), ("/apis", {"name": "x"})):
        answer = send(rest, body, path=path)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert Organisation.objects.count() == 1


def test_a_refused_request_may_be_mended(rest):
    assert send(rest, {"name": 5}).status_code == 400 and not GivenAnswer.objects.exists()
    assert send(rest, {"name": "x"}).status_code == 201


def test_two_senders_do_not_share_keys(rest):
    bound = token_client("organisations:write"), token_client("organisations:write")
    ids = {send(client, {"name": "x"}).json()["id"] for client in (rest, *bound)}
    assert len(ids) == 3


def test_after_a_day_a_key_is_new_again(rest):
    send(rest, {"name": "x"})
    GivenAnswer.objects.update(created_at=timezone.now() - idempotency.KEPT)
    assert send(rest, {"name": "y"}).status_code == 201 and GivenAnswer.objects.count() == 1


def test_nobody_without_the_scope_gets_a_given_answer(rest):
    client = token_client("organisations:read")
    assert send(client, {"name": "x"}).status_code == 403 and not GivenAnswer.objects.exists()


@pytest.mark.parametrize("key", ["", " ", "x" * 256])
def test_a_key_is_a_short_text(rest, key):
    assert pointers(send(rest, {"name": "x"}, key).json()) == ["/Idempotency-Key"]


def test_an_answer_is_stored_sealed(rest):
    token = send(rest, {"name": "x", "scopes": ["keys:read"]}, path="/tokens").json()["token"]
    assert token not in str(list(GivenAnswer.objects.values())) and GivenAnswer.objects.exists()
    assert send(rest, {"name": "x", "scopes": ["keys:read"]}, path="/tokens").json()["token"] == token


def test_nothing_is_kept_of_what_failed_half_way(rest, monkeypatch):
    def broken(*_):
        raise RuntimeError

    monkeypatch.setattr(idempotency, "_keep", broken)
    with pytest.raises(RuntimeError):
        send(rest, {"name": "x"})
    assert not Organisation.objects.exists() and not GivenAnswer.objects.exists()


# --- If-Match ---------------------------------------------------------------------------------------------------------


def change(client: Administration, body, tag: str, method: str = "PATCH"):
    return client.ask(method, "/organisations/x", body, headers={**client.headers, "If-Match": tag})


def test_a_change_bound_to_a_state_that_is_gone_is_refused(rest):
    tag = rest.ask("POST", "/organisations", {"id": "x", "name": "x"})["ETag"]
    assert rest.ask("GET", "/organisations/x")["ETag"] == tag
    changed = change(rest, {"name": "y"}, tag)
    assert changed.status_code == 200 and changed["ETag"] != tag
    for method in ("PATCH", "PUT", "DELETE"):
        stale = change(rest, {"name": "z"}, tag, method)
        assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert Organisation.objects.get().name == "y"
    assert change(rest, {"name": "z"}, f'"other", {changed["ETag"]}').status_code == 200
    assert change(rest, {"name": "a"}, "*").status_code == 200
    assert change(rest, None, rest.ask("GET", "/organisations/x")["ETag"], "DELETE").status_code == 204


def test_a_list_of_equal_names_shows_each_row_once(rest):
    now = timezone.now()
    Organisation.objects.bulk_create(Organisation(id=f"o{n:02}", name="same") for n in range(25))
    Organisation.objects.filter(id="o07").update(created_at=now - timedelta(days=1))
    for ordering in ("name", "-name", "created_at", "-created_at"):
        seen, address = [], f"/organisations?ordering={ordering}&page_size=4"
        while address:
            page = rest.get(address)
            seen += [row["id"] for row in page["results"]]
            address = (page["next"] or "").partition("/api/v1")[2]
        assert sorted(seen) == sorted(Organisation.objects.values_list("id", flat=True)), ordering


@pytest.mark.parametrize("forged", ["x", [], [False, []], [False, ["a", "b"]], [False, [{}]], [0, ["a"]], ["", ["a"]]])
def test_a_forged_cursor_leads_nowhere(rest, forged):
    cursor = base64.urlsafe_b64encode(json.dumps(forged).encode()).decode() if isinstance(forged, list) else forged
    assert rest.refused("GET", f"/organisations?cursor={cursor}")[0] == 404
    assert rest.refused("GET", f"/keys?cursor={cursor}&ordering=created_at")[0] == 404


def test_an_answer_that_cannot_be_read_any_more_is_not_made_up(rest, settings):
    send(rest, {"name": "x"})
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", []
    assert send(rest, {"name": "x"}).status_code == 409 and Organisation.objects.count() == 1
