"""Keys and organisation sessions over Tyk's gateway API: statuses, messages, counters, and nothing half done."""

import pytest

from organisations_app.audit import SYSTEM
from organisations_app.models import ConfigVersion, Organisation
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app import corrections, keys, tokens, usage
from sessions_app.engine import check
from sessions_app.engine.types import StoreUnavailable
from sessions_app.models import Key, OrgSession
from tests.administration import spend
from tests.factories import AcmeFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store", "api")]

SESSION = {"org_id": "acme", "quota_max": 3, "quota_renewal_rate": 60, "access_rights": {"a": {"api_id": "a"}}}
NO_ACCESS = "Failed to create key, keys must have at least one Access Rights record set."


@pytest.fixture
def api():
    return Api.objects.create(id="a", organisation=AcmeFactory.create(), name="A", listen_path="/a/")


@pytest.fixture
def silent_store(monkeypatch):
    def silent(*_, **__):
        raise StoreUnavailable("no answer")

    for name in ("key_quotas", "organisation_quotas"):
        monkeypatch.setattr(usage, name, silent)
    for name in ("reset", "assign"):
        monkeypatch.setattr(check, name, silent)


def everything():
    rows = [
        *Key.objects.values(),
        *OrgSession.objects.values(),
        *Organisation.objects.values(),
        *ConfigVersion.objects.values(),
    ]
    return rows, list(Key.objects.values_list("credentials__digest", "access__api", "key_policies__policy"))


def test_the_life_of_a_key(tyk):
    made = tyk.done("POST", "/keys/create", SESSION)
    token, digest = made["key"], made["key_hash"]
    assert made == {"key": token, "status": "ok", "action": "added", "key_hash": tokens.digest(token)}
    spend(token, "a")
    assert (
        tyk.get(f"/keys/{token}")["quota_remaining"] == tyk.get(f"/keys/{digest}?hashed=true")["quota_remaining"] == 2
    )
    assert tyk.get("/keys")["keys"] == [digest]
    changed = tyk.done("PUT", f"/keys/{token}?suppress_reset=1", {**SESSION, "alias": "me"})
    assert changed == {"key": token, "status": "ok", "action": "modified", "key_hash": digest}
    assert (tyk.get(f"/keys/{token}")["alias"], tyk.get(f"/keys/{token}")["quota_remaining"]) == ("me", 2)
    assert tyk.done("DELETE", f"/keys/{token}") == {
        "key": token,
        "status": "ok",
        "action": "deleted",
        "key_hash": digest,
    }
    assert spend(token, "a") == ["refused"] and tyk.get("/keys") == {"keys": []}


def test_each_verb_has_tyks_words_for_an_unknown_key(tyk):
    assert tyk.refused("GET", "/keys/none") == (404, {"status": "error", "message": "Key not found"})
    assert tyk.refused("PUT", "/keys/none", SESSION) == (404, {"status": "error", "message": "Key is not found"})
    assert tyk.refused("DELETE", "/keys/none") == (404, {"status": "error", "message": "There is no such key found"})
    assert tyk.refused("POST", "/keys/none?hashed=true", SESSION)[0] == 400


def test_a_write_resets_the_counter_unless_suppressed(tyk):
    token = tyk.done("POST", "/keys", SESSION)["key"]
    for method, query, remaining in (
        ("PUT", "?suppress_reset=1", 1),
        ("POST", "?suppress_reset=1", 1),
        ("PUT", "", 3),
        ("POST", "", 3),
    ):
        corrections.reset_quota(Key.objects.get(), SYSTEM)
        spend(token, "a", 2)
        tyk.done(method, f"/keys/{token}{query}", SESSION)
        assert tyk.get(f"/keys/{token}")["quota_remaining"] == remaining, (method, query)


def test_a_custom_key_is_made_and_then_replaced(tyk):
    for alias in ("first", "second"):
        made = tyk.done("POST", "/keys/my/custom key", {**SESSION, "alias": alias})
        assert (made["key"], made["action"]) == ("my/custom key", "added")
        assert Key.objects.get().alias == alias
    assert tyk.get("/keys/my%2Fcustom%20key")["alias"] == "second"
    assert spend("my/custom key", "a") == ["passed"]


def test_in_another_organisation_a_custom_key_is_another_key(tyk):
    tyk.done("POST", "/keys/custom", SESSION)
    first = Key.objects.get().pk
    tyk.done("POST", "/keys/custom", {**SESSION, "org_id": "globex"})
    assert (Key.objects.get().organisation_id, Key.objects.get().pk != first) == ("globex", True)
    assert spend("custom", "a") == ["passed"]


def test_a_put_is_a_full_replacement_that_keeps_the_organisation(tyk):
    token = tyk.done("POST", "/keys", {**SESSION, "alias": "me", "tags": ["x"], "hmac_enabled": True})["key"]
    tyk.done("PUT", f"/keys/{token}", {"access_rights": {"a": {}}})
    key = Key.objects.get()
    assert (key.alias, key.tags, key.quota_max, key.extra, key.organisation_id) == ("", [], -1, {}, "acme")


def test_getting_a_key_changes_nothing(tyk):
    policy = Policy.objects.create(id="p", organisation_id="acme", name="p", quota_max=5, meta_data={"plan": "x"})
    PolicyAccess.objects.create(policy=policy, api_id="a")
    token = tyk.done("POST", "/keys", {"org_id": "acme", "apply_policies": ["p"]})["key"]
    before = everything()
    assert tyk.get(f"/keys/{token}")["meta_data"] == {"plan": "x"}
    assert everything() == before


def test_a_preview_shows_the_session_and_keeps_nothing(tyk):
    Policy.objects.create(id="p", organisation_id="acme", name="p", quota_max=5)
    PolicyAccess.objects.create(policy_id="p", api_id="a")
    before = everything()
    shown = tyk.done("POST", "/keys/preview", {"org_id": "new", "apply_policies": ["p"]})
    assert (shown["quota_max"], list(shown["access_rights"])) == (5, ["a"])
    assert everything() == before


def test_lists_are_filtered_by_organisation_and_api(tyk):
    one = tyk.done("POST", "/keys", SESSION)["key_hash"]
    two = tyk.done("POST", "/keys", {**SESSION, "org_id": "globex", "access_rights": {"b": {}}})["key_hash"]
    Policy.objects.create(id="p", organisation_id="acme", name="p")
    PolicyAccess.objects.create(policy_id="p", api_id="c")
    three = tyk.done("POST", "/keys", {"org_id": "acme", "apply_policies": ["p"]})["key_hash"]
    assert tyk.get("/keys?filter=acme")["keys"] == [one, three]
    assert tyk.get("/keys?api_id=b")["keys"] == [two]
    assert tyk.get("/keys?api_id=c")["keys"] == [three]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "/keys/create", {"org_id": "acme", "quota_max": 5}, 400, NO_ACCESS),
        ("POST", "/keys", {"org_id": "new"}, 400, NO_ACCESS),
        ("POST", "/keys/custom", {"org_id": "new"}, 400, NO_ACCESS),
        ("PUT", "/keys/living", {"org_id": "acme"}, 400, NO_ACCESS),
        ("POST", "/keys/create", b"{", 400, "Request malformed"),
        ("POST", "/keys/create", {**SESSION, "org_id": ""}, 400, "org_id: is required"),
        ("POST", "/keys/create", {**SESSION, "quota_max": "5"}, 400, "quota_max: must be a whole number"),
        ("POST", "/keys/create", {**SESSION, "rate": True}, 400, "rate: must be a number"),
        (
            "POST",
            "/keys/create",
            {**SESSION, "monitor": {"trigger_limits": [0]}},
            400,
            "monitor.trigger_limits: threshold 1",
        ),
        ("POST", "/keys/ab", SESSION, 400, "3 to 256 characters"),
        ("POST", "/keys/tg_" + "a" * 32 + "_000000", SESSION, 400, "checksum"),
        ("PUT", "/keys/living", {**SESSION, "org_id": "globex"}, 400, "cannot move to another organisation"),
        (
            "PUT",
            "/keys/living",
            {**SESSION, "access_rights": {"a": {"limit": {"rate": "x"}}}},
            400,
            "access_rights.a.limit.rate",
        ),
        ("POST", "/org/keys/acme", {"quota_max": "5"}, 400, "quota_max: "),
        (
            "POST",
            "/org/keys/acme",
            {"monitor": {"trigger_limits": [10, 20]}},
            400,
            "monitor.trigger_limits: must descend",
        ),
        ("PUT", "/org/keys/new", {"org_id": "other"}, 400, "org_id: must be new"),
        ("PATCH", "/keys/living", SESSION, 405, "Method not supported"),
        ("PUT", "/keys", SESSION, 405, "Method not supported"),
    ],
)
def test_what_is_refused_changes_nothing(tyk, method, path, body, status, message):
    tyk.done("POST", "/keys/living", SESSION)
    tyk.done("POST", "/org/keys/acme", {"quota_max": 9})
    before = everything()
    code, answer = tyk.refused(method, path, body)
    assert (code, answer["status"]) == (status, "error") and message in answer["message"]
    assert everything() == before


def test_the_life_of_an_organisations_session(tyk):
    assert tyk.done("POST", "/org/keys/new", {"quota_max": 5}) == {"key": "new", "status": "ok", "action": "added"}
    assert Organisation.objects.filter(pk="new").exists()
    shown = tyk.get("/org/keys/new")
    assert (shown["org_id"], shown["quota_max"], shown["quota_remaining"]) == ("new", 5, 5)
    assert tyk.get("/org/keys")["keys"] == ["new"] and tyk.get("/org/keys?filter=x")["keys"] == []
    assert tyk.done("PUT", "/org/keys/new", {"quota_max": 0})["action"] == "modified"
    assert tyk.get("/org/keys/new")["quota_remaining"] == -1
    assert tyk.done("DELETE", "/org/keys/new")["action"] == "deleted"
    assert tyk.refused("GET", "/org/keys/new") == (404, {"status": "error", "message": "Org not found"})


def test_a_write_of_an_organisation_resets_only_when_told(tyk):
    tyk.done("POST", "/org/keys/acme", {"quota_max": 5})
    token = tyk.done("POST", "/keys", SESSION)["key"]
    spend(token, "a", 2)
    tyk.done("PUT", "/org/keys/acme", {"quota_max": 5})
    assert tyk.get("/org/keys/acme")["quota_remaining"] == 3
    tyk.done("PUT", "/org/keys/acme?reset_quota=1", {"quota_max": 5})
    assert tyk.get("/org/keys/acme")["quota_remaining"] == 5


def test_a_reset_that_the_store_does_not_take_undoes_the_write(tyk, silent_store):
    keys.create_key(Key(organisation_id="acme"), token="living")
    before = everything()
    for path in ("/keys/living", "/org/keys/acme?reset_quota=1"):
        code, answer = tyk.refused("PUT", path, {**SESSION, "alias": "changed"})
        assert code == 503 and "nothing was changed" in answer["message"]
    assert everything() == before


def test_a_silent_store_keeps_nobody_from_reading(tyk, silent_store):
    tyk.done("POST", "/keys/living", SESSION)
    shown = tyk.get("/keys/living")
    assert shown["quota_max"] == 3 and "quota_remaining" not in shown
