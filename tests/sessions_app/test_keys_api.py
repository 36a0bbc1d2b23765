"""`/api/v1/keys` and sessions of organisations: shapes, verbs, and refusals that name the member and change nothing."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from organisations_app.models import AuditEntry, ConfigVersion
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app import tokens, usage
from sessions_app.api import key_filters
from sessions_app.engine import check
from sessions_app.engine.types import StoreUnavailable
from sessions_app.models import Credential, Key, OrgSession, UsageHour
from sessions_app.shapes import ExplainedLimitShape, ExplainedNumbersShape, ExplanationShape, KeyShape, SessionShape
from tests.administration import pointers, spend
from tests.factories import AcmeFactory, AppFactory, GlobexFactory, MonitorFactory, OutsiderFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store", "apis")]

SESSION = {"org_id": "acme", "quota_max": 3, "quota_renewal_rate": 60, "access_rights": {"a": {"api_id": "a"}}}


@pytest.fixture
def apis():
    acme = AcmeFactory.create()
    return [Api.objects.create(id=name, organisation=acme, name=name.upper(), listen_path=f"/{name}/") for name in "ab"]


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
        *Credential.objects.values(),
        *OrgSession.objects.values(),
        *ConfigVersion.objects.values(),
    ]
    return rows, list(Key.objects.values_list("access__api", "access__quota_max", "key_policies__policy"))


def test_the_raw_key_is_shown_once(rest):
    made = rest.done("POST", "/keys", SESSION)
    assert rest.ask("POST", "/keys", SESSION).status_code == 201
    assert spend(made["key"], "a") == ["passed"]
    shown = rest.get(f"/keys/{made['id']}")
    assert "key" not in shown and shown["key_hash"] == tokens.digest(made["key"]) and shown["id"].startswith("key_")


def test_an_answer_has_exactly_the_members_of_the_schema(rest):
    made = rest.done("POST", "/keys", {**SESSION, "monitor": {"trigger_limits": [80]}})
    period = {"quota_period", "quota_anchor_day"}  # left out where they have Tyk's meaning
    assert set(rest.get(f"/keys/{made['id']}")) == set(KeyShape().fields) - period
    rest.done("PUT", "/organisations/acme/session", {"quota_max": 5})
    assert set(rest.get("/organisations/acme/session")) == set(SessionShape().fields) - period


def test_an_answer_can_be_sent_back(rest):
    made = rest.done("POST", "/keys", {**SESSION, "quota_period": "month", "quota_anchor_day": 15, "tags": ["x"]})
    shown = rest.get(f"/keys/{made['id']}")
    again = rest.done("PATCH", f"/keys/{made['id']}", shown)
    assert {**again, "last_updated": ""} == {**shown, "last_updated": ""}


def test_live_numbers_are_shown(rest):
    made = rest.done("POST", "/keys", {**SESSION, "access_rights": {"a": {}, "b": {"limit": {"quota_max": 9}}}})
    spend(made["key"], "a", 2), spend(made["key"], "b")
    shown = rest.get(f"/keys/{made['id']}")
    assert (shown["quota_remaining"], shown["access_rights"]["b"]["limit"]["quota_remaining"]) == (1, 8)
    assert [(quota["scope"], quota["used"], quota["remaining"]) for quota in shown["usage"]] == [
        ("", 2, 1),
        ("api:b", 1, 8),
    ]
    assert shown["quota_renews"] == shown["usage"][0]["renews_at"] > 0


def test_a_patch_changes_what_it_names_and_keeps_the_rest(rest, tyk):
    token = tyk.done(
        "POST",
        "/keys",
        {**SESSION, "alias": "me", "hmac_enabled": True, "access_rights": {"a": {"allowed_urls": [{"url": "/x"}]}}},
    )["key"]
    spend(token, "a", 2)
    key_id = Key.objects.get().pk
    shown = rest.done("PATCH", f"/keys/{key_id}", {"quota_max": 5, "tags": ["x"]})
    assert (shown["quota_max"], shown["quota_remaining"], shown["alias"], shown["tags"]) == (5, 3, "me", ["x"])
    stored = tyk.get(f"/keys/{token}")
    assert stored["hmac_enabled"] and stored["access_rights"]["a"]["allowed_urls"] == [{"url": "/x"}]
    assert rest.done("PATCH", f"/keys/{key_id}", {"quota_max": None})["quota_max"] == -1


def test_a_patch_never_stores_what_policies_add(rest):
    Policy.objects.create(id="p", organisation_id="acme", name="p", quota_max=7, meta_data={"plan": "x"})
    PolicyAccess.objects.create(policy_id="p", api_id="b")
    made = rest.done("POST", "/keys", {"org_id": "acme", "apply_policies": ["p"]})
    assert (made["quota_max"], made["meta_data"], list(made["access_rights"])) == (7, {"plan": "x"}, ["b"])
    rest.done("PATCH", f"/keys/{made['id']}", {"alias": "me"})
    key = Key.objects.get()
    assert (key.quota_max, key.meta_data, key.access.count()) == (-1, {}, 0)


def test_a_key_can_be_patched_after_its_policies_and_apis_are_gone(rest, apis):
    Policy.objects.create(id="p", organisation_id="acme", name="p")
    made = rest.done("POST", "/keys", {"org_id": "acme", "apply_policies": ["p"], "access_rights": {"b": {}}})
    Policy.objects.all().delete(), apis[1].delete()
    assert rest.done("PATCH", f"/keys/{made['id']}", {"alias": "me"})["alias"] == "me"


def test_policies_that_do_not_exist_are_skipped_and_told(rest):
    gold = Policy.objects.create(id="gold", organisation_id="acme", name="Gold", quota_max=5)
    PolicyAccess.objects.create(policy=gold, api_id="a")
    made = rest.done("POST", "/keys", {"org_id": "acme", "apply_policies": ["gold", "later"]})
    assert made["unknown_policies"] == ["later"] and spend(made["key"], "a") == ["passed"]


def test_a_key_of_which_no_policy_exists_opens_nothing_until_one_does(rest, tyk):
    made = tyk.done("POST", "/keys/create", {"org_id": "acme", "apply_policies": ["later"]})["key"]
    shown = rest.get("/keys?policy=later")["results"][0]
    assert shown["unknown_policies"] == ["later"] and spend(made, "a") == ["refused"]
    rest.done("POST", "/policies", {"id": "later", "name": "Later", "org_id": "acme", "access_rights": {"a": {}}})
    assert spend(made, "a") == ["passed"] and rest.get(f"/keys/{shown['id']}")["unknown_policies"] == []


def test_reset_rotate_revoke_and_delete_hold_at_once(rest):
    made = rest.done("POST", "/keys", SESSION)
    address = f"/keys/{made['id']}"
    spend(made["key"], "a", 3)
    assert rest.done("POST", f"{address}/reset-quota", {"reason": "refund"}) == {"id": made["id"], "used": 3}
    assert spend(made["key"], "a") == ["passed"]
    rotated = rest.done("POST", f"{address}/rotate", {"overlap_seconds": 60})
    assert spend(made["key"], "a") == spend(rotated["key"], "a") == ["passed"] and rotated["key"] != made["key"]
    last = rest.done("POST", f"{address}/rotate")["key"]
    assert spend(rotated["key"], "a") == ["refused"] and spend(last, "a") == ["denied"]
    assert rest.done("POST", f"{address}/revoke", {})["revoked_at"] and spend(last, "a") == ["refused"]
    assert rest.refused("POST", f"{address}/rotate")[0] == rest.refused("PATCH", address, {"alias": "x"})[0] == 409
    assert rest.ask("DELETE", address).status_code == 204 and rest.refused("GET", address)[0] == 404


def test_lists_are_paged_and_filtered(rest):
    for number in range(3):
        rest.done("POST", "/keys", {**SESSION, "alias": f"k{number}"})
    GlobexFactory()
    rest.done("POST", "/keys", {**SESSION, "org_id": "globex", "access_rights": {"b": {}}})
    assert [key["alias"] for key in rest.get("/keys?org_id=acme&ordering=alias")["results"]] == ["k0", "k1", "k2"]
    assert [key["alias"] for key in rest.get("/keys?alias=k1")["results"]] == ["k1"]
    assert [key["org_id"] for key in rest.get("/keys?api=b")["results"]] == ["globex"]
    page = rest.get("/keys?page_size=3")
    rest_of_it = rest.get(page["next"].partition("/api/v1")[2])
    assert len(page["results"]) == 3 and len(rest_of_it["results"]) == 1
    revoked = page["results"][0]["id"]
    rest.done("POST", f"/keys/{revoked}/revoke")
    assert [key["id"] for key in rest.get("/keys?revoked=true")["results"]] == [revoked]
    assert len(rest.get("/keys?revoked=false")["results"]) == 3


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({"quota_max": 0}, "/quota_max", "use -1"),
        ({"quota_max": "5"}, "/quota_max", "whole number"),
        ({"quota_maximum": 5}, "/quota_maximum", "no member here"),
        ({"monitor": {"trigger_limits": [50, 80]}}, "/monitor/trigger_limits", "the 2nd, 80"),
        ({"monitor": {"thresholds": []}}, "/monitor/thresholds", "no member here"),
        ({"access_rights": {"a": {"limit": {"quota_max": 0}}}}, "/access_rights/a/limit/quota_max", "use -1"),
        ({"access_rights": {"none": {}}}, "/access_rights/none", "no API that exists"),
        ({"access_rights": {}}, "/access_rights", "at least one API"),
        ({"apply_policies": ["none"]}, "/apply_policies", "no policy that exists"),
        ({"meta_data": {"rate_limit_pattern": "$x.y"}}, "/meta_data/rate_limit_pattern", "no reference"),
        ({"org_id": "globex"}, "/org_id", "cannot move"),
        ({"application_id": 99}, "/application_id", "no application of acme"),
        ({"application_id": "1"}, "/application_id", "whole number"),
        ({"expires": "soon"}, "/expires", "whole number"),
        ([], "", "must be a JSON object"),
    ],
)
def test_a_wrong_patch_is_refused_where_it_is_wrong_and_changes_nothing(rest, body, pointer, words):
    GlobexFactory()
    key_id = rest.done("POST", "/keys", SESSION)["id"]
    before = everything()
    code, problem = rest.refused("PATCH", f"/keys/{key_id}", body)
    assert (code, pointers(problem)) == (400, [pointer]) and words in problem["errors"][0]["detail"]
    assert everything() == before


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({**SESSION, "org_id": "none"}, "/org_id"), ({"org_id": "acme"}, "/access_rights"), ({}, "/org_id"), ([], "")],
)
def test_a_wrong_new_key_is_refused_and_makes_nothing(rest, body, pointer):
    before = everything()
    code, problem = rest.refused("POST", "/keys", body)
    assert code == 400 and pointer in pointers(problem)
    assert everything() == before


def test_a_key_belongs_to_an_application_of_its_own_organisation_only(rest):
    own, foreign = AppFactory.create(), AppFactory.create(developer=OutsiderFactory.create(), name="foreign")
    assert rest.done("POST", "/keys", {**SESSION, "application_id": own.pk})["application_id"] == own.pk
    assert pointers(rest.refused("POST", "/keys", {**SESSION, "application_id": foreign.pk})[1]) == ["/application_id"]
    key_id = Key.objects.get().pk
    assert rest.done("PATCH", f"/keys/{key_id}", {"application_id": None})["application_id"] is None


@pytest.mark.parametrize(
    ("verb", "body", "pointer"),
    [
        ("rotate", {"overlap_seconds": -1}, "/overlap_seconds"),
        ("rotate", {"overlap_seconds": "60"}, "/overlap_seconds"),
        ("rotate", {"overlap": 60}, "/overlap"),
        ("reset-quota", {"reason": 5}, "/reason"),
        ("revoke", {"why": "x"}, "/why"),
    ],
)
def test_a_wrong_verb_is_refused_and_changes_nothing(rest, verb, body, pointer):
    key_id = rest.done("POST", "/keys", SESSION)["id"]
    before = everything()
    assert pointers(rest.refused("POST", f"/keys/{key_id}/{verb}", body)[1]) == [pointer]
    assert everything() == before


def test_the_session_of_an_organisation(rest):
    assert (
        rest.refused("GET", "/organisations/acme/session")[0]
        == rest.refused("GET", "/organisations/none/session")[0]
        == 404
    )
    assert rest.refused("PUT", "/organisations/none/session", {"quota_max": 1})[0] == 404
    rest.done("PUT", "/organisations/acme/session", {"quota_max": 5, "quota_renewal_rate": 60})
    token = rest.done("POST", "/keys", SESSION)["key"]
    spend(token, "a", 2)
    assert rest.get("/organisations/acme/session")["quota_remaining"] == 3
    code, problem = rest.refused(
        "PUT", "/organisations/acme/session", {"quota_max": 0, "monitor": {"trigger_limits": [120]}}
    )
    assert (code, pointers(problem)) == (400, ["/quota_max", "/monitor/trigger_limits"])
    assert rest.done("POST", "/organisations/acme/session/reset-quota", {"reason": "x"}) == {"id": "acme", "used": 2}
    shown = rest.get("/organisations/acme/session")
    assert rest.done("PUT", "/organisations/acme/session", shown) == shown
    assert rest.ask("DELETE", "/organisations/acme/session").status_code == 204 and not OrgSession.objects.exists()


def test_a_silent_store_refuses_resets_and_lets_people_read(rest, silent_store):
    key_id = rest.done("POST", "/keys", SESSION)["id"]
    rest.done("PUT", "/organisations/acme/session", {"quota_max": 5})
    for path in (f"/keys/{key_id}/reset-quota", "/organisations/acme/session/reset-quota"):
        code, problem = rest.refused("POST", path)
        assert (code, problem["code"]) == (503, "unavailable")
    shown = rest.get(f"/keys/{key_id}")
    assert shown["quota_max"] == 3 and not {"quota_remaining", "usage"} & set(shown)


def test_a_list_takes_few_questions_however_long_it_is(rest, django_assert_max_num_queries):
    Policy.objects.create(id="p", organisation_id="acme", name="p", quota_max=7)
    PolicyAccess.objects.create(policy_id="p", api_id="b")
    for _ in range(12):
        rest.done("POST", "/keys", {**SESSION, "apply_policies": ["p"]})
    with django_assert_max_num_queries(10):
        assert len(rest.get("/keys")["results"]) == 12


def test_staff_may_look_but_not_write(rest):
    rest.headers = {}
    boss = User.objects.create_user("boss", is_staff=True)
    rest.client.force_login(boss)
    assert rest.refused("GET", "/keys")[0] == 403
    boss.user_permissions.add(Permission.objects.get(codename="view_key"))
    assert rest.get("/keys")["results"] == []
    assert rest.refused("POST", "/keys", SESSION)[0] == 403
    rest.client.force_login(User.objects.create_user("developer"))
    assert rest.refused("GET", "/keys")[0] == 403


# --- what is left in the audit ----------------------------------------------------------------------------------------


def audited(**names):
    return [(entry.actor, entry.action, entry.reason) for entry in AuditEntry.objects.filter(**names).order_by("id")]


def test_every_act_on_a_key_is_in_the_audit(rest):
    made = rest.done("POST", "/keys", SESSION)
    address = f"/keys/{made['id']}"
    rest.done("PATCH", address, {"alias": "me"})
    spend(made["key"], "a", 2)
    rest.done("POST", f"{address}/reset-quota", {"reason": "refund"})
    rest.done("POST", f"{address}/set-remaining", {"quota_remaining": 1, "reason": "credit"})
    rest.done("POST", f"{address}/rotate", {"reason": "leaked"})
    rest.done("POST", f"{address}/revoke", {"reason": "left"}), rest.done("POST", f"{address}/revoke", {})
    rest.done("DELETE", address)
    assert audited(subject_kind="key", subject_id=made["id"], organisation_id="acme") == [
        ("token:root", "create", ""),
        ("token:root", "change", ""),
        ("token:root", "reset-quota", "refund"),
        ("token:root", "set-remaining", "credit"),
        ("token:root", "rotate", "leaked"),
        ("token:root", "revoke", "left"),
        ("token:root", "delete", ""),
    ]
    change = AuditEntry.objects.get(action="change")
    assert change.before["alias"] == "" and change.after["alias"] == "me" and "quota_max" not in change.after
    assert sum(AuditEntry.objects.get(action="reset-quota").before["used"].values()) == 2
    assert made["key"] not in str(list(AuditEntry.objects.values()))


def test_the_tyk_dialect_leaves_audit_entries_too(tyk):
    token = tyk.done("POST", "/keys", SESSION)["key"]
    tyk.done("PUT", f"/keys/{token}", {**SESSION, "alias": "me"})
    tyk.done("POST", "/org/keys/acme?reset_quota=1", {"quota_max": 5})
    tyk.done("DELETE", "/org/keys/acme"), tyk.done("DELETE", f"/keys/{token}")
    assert [(actor, action) for actor, action, _ in audited()] == [
        ("token:root", action)
        for action in ("create", "change", "reset-quota", "create", "reset-quota", "delete", "delete")
    ]


# --- set-remaining, explain, usage ------------------------------------------------------------------------------------


def test_set_remaining_holds_with_the_next_request(rest):
    made = rest.done("POST", "/keys", {**SESSION, "access_rights": {"a": {}, "b": {"limit": {"quota_max": 9}}}})
    address = f"/keys/{made['id']}"
    spend(made["key"], "a")
    answer = rest.done("POST", f"{address}/set-remaining", {"quota_remaining": 1})
    assert answer == {"id": made["id"], "quota_remaining": 1, "quota_remaining_before": 2}
    assert spend(made["key"], "a", 2) == ["passed", "denied"]
    rest.done("POST", f"{address}/set-remaining", {"quota_remaining": 4, "api_id": "b"})
    assert rest.get(address)["access_rights"]["b"]["limit"]["quota_remaining"] == 4


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({}, "/quota_remaining", "required"),
        ({"quota_remaining": 4}, "/quota_remaining", "maximum, 3"),
        ({"quota_remaining": -1}, "/quota_remaining", "from 0"),
        ({"quota_remaining": "1"}, "/quota_remaining", "whole number"),
        ({"quota_remaining": True}, "/quota_remaining", "whole number"),
        ({"quota_remaining": 1, "api_id": "none"}, "/api_id", "no quota"),
        ({"quota_remaining": 1, "reason": 5}, "/reason", "text"),
        ({"quota_remaining": 1, "why": ""}, "/why", "no member"),
    ],
)
def test_a_wrong_set_remaining_is_refused_and_changes_nothing(rest, body, pointer, words):
    made = rest.done("POST", "/keys", SESSION)
    spend(made["key"], "a")
    before = everything(), AuditEntry.objects.count()
    code, problem = rest.refused("POST", f"/keys/{made['id']}/set-remaining", body)
    assert (code, pointers(problem)) == (400, [pointer]) and words in problem["errors"][0]["detail"]
    assert (everything(), AuditEntry.objects.count()) == before
    assert rest.get(f"/keys/{made['id']}")["quota_remaining"] == 2


def test_explain_says_whose_limits_are_in_force(rest):
    MonitorFactory.create()
    Policy.objects.create(id="p", organisation_id="acme", name="Plan", quota_max=4, trigger_limits=[50])
    PolicyAccess.objects.create(policy_id="p", api_id="b")
    made = rest.done("POST", "/keys", {"org_id": "acme", "apply_policies": ["p"]})
    spend(made["key"], "b", 2)
    shown = rest.get(f"/keys/{made['id']}/explain?api=b")
    [limit] = shown["limits"]
    assert (limit["name"], limit["origin"]["kind"], limit["origin"]["name"]) == ("key-quota", "policy", "Plan")
    assert (limit["state"]["used"], limit["state"]["remaining"], limit["sharers"]) == (2, 2, None)
    assert limit["thresholds"] == [{"percent": "50", "needed": 2, "asked_by": "own", "fired": True}]
    assert rest.get(f"/keys/{made['id']}/explain?api=a")["refusal"] == "api_forbidden"
    assert set(shown) == set(ExplanationShape().fields) and set(limit) == set(ExplainedLimitShape().fields)
    assert set(limit["origin"]["limits"]) == set(ExplainedNumbersShape().fields)


def test_explain_wants_an_api_that_exists(rest):
    made = rest.done("POST", "/keys", SESSION)
    assert pointers(rest.refused("GET", f"/keys/{made['id']}/explain")[1]) == ["/api"]
    assert rest.refused("GET", f"/keys/{made['id']}/explain?api=none")[0] == 404


@pytest.fixture
def hours():
    """Two lives of the store in one hour, on two APIs, and an hour of the day before."""
    begin = datetime(2025, 3, 2, 10, tzinfo=UTC)
    rows = [("a", begin, "1", 5, 1), ("a", begin, "2", 2, 0), ("b", begin, "1", 1, 1)]
    rows.append(("a", begin - timedelta(days=1), "1", 3, 0))
    for api_id, hour, epoch, passed, denied in rows:
        UsageHour.objects.create(
            organisation_id="acme", key_id="k", api_id=api_id, hour=hour, epoch=epoch, passed=passed, denied=denied
        )


def test_usage_of_a_key_by_the_hour(rest, hours):
    made = rest.done("POST", "/keys", SESSION)
    UsageHour.objects.update(key_id=made["id"])
    spend(made["key"], "a")
    shown = rest.get(f"/keys/{made['id']}/usage?from=2025-03-02T00:00:00Z&to=2025-03-03T00:00:00Z")
    assert shown["totals"] == {"passed": 8, "denied": 2}
    assert shown["series"] == [{"hour": "2025-03-02T10:00:00Z", "passed": 8, "denied": 2}]
    assert [(quota["used"], quota["max"]) for quota in shown["quotas"]] == [(1, 3)]
    assert rest.get(f"/keys/{made['id']}/usage")["series"] == []


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("from=yesterday", "/from"),
        ("from=2025-13-01T00:00:00Z", "/from"),
        ("from=2025-01-01T00:00:00Z", "/from"),
        ("from=2025-03-02T00:00:00Z&to=2025-03-01T00:00:00Z", "/from"),
        ("until=2025-03-02T00:00:00Z", "/until"),
    ],
)
def test_a_wrong_period_is_refused(rest, query, pointer):
    made = rest.done("POST", "/keys", SESSION)
    code, problem = rest.refused("GET", f"/keys/{made['id']}/usage?{query}")
    assert (code, pointers(problem)) == (400, [pointer])


def test_usage_is_summed_by_what_is_asked_for(rest, hours):
    rows = rest.get("/usage?by=api_id")["results"]
    assert rows == [{"api_id": "a", "passed": 10, "denied": 1}, {"api_id": "b", "passed": 1, "denied": 1}]
    assert [row["passed"] for row in rest.get("/usage?by=day,org_id")["results"]] == [3, 8]
    assert rest.get("/usage?by=org_id&from=2025-03-02T00:00:00Z&org_id=acme")["results"] == [
        {"org_id": "acme", "passed": 8, "denied": 2}
    ]
    assert len(rest.get("/usage?api_id=b")["results"]) == 1
    for query in ("by=week", "by=day,day", "week=1"):
        assert rest.refused("GET", f"/usage?{query}")[0] == 400


@pytest.mark.parametrize("by", ["hour,api_id", "day,api_id", "api_id,hour"])
def test_sums_are_paged(rest, hours, by):
    seen, address = [], f"/usage?page_size=1&by={by}"
    while address:
        page = rest.get(address)
        seen += page["results"]
        address = (page["next"] or "").partition("/api/v1")[2]
    assert seen == rest.get(f"/usage?by={by}")["results"] and len(seen) == 3


# --- many keys --------------------------------------------------------------------------------------------------------


def test_many_keys_are_made_at_once(rest):
    made = rest.done("POST", "/keys/bulk", {"keys": [{**SESSION, "alias": name} for name in "xy"]})["keys"]
    assert [key["alias"] for key in made] == ["x", "y"] and len({key["key"] for key in made}) == 2
    assert [spend(key["key"], "a") for key in made] == [["passed"]] * 2
    assert AuditEntry.objects.filter(action="create").count() == 2


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([SESSION, {**SESSION, "quota_max": 0}, {"org_id": "acme"}], ["/keys/1/quota_max", "/keys/2/access_rights"]),
        ([SESSION, 5], ["/keys/1"]),
        ([SESSION, {**SESSION, "apply_policies": ["none"]}], ["/keys/1/apply_policies"]),
        ([SESSION, {**SESSION, "application_id": 9}], ["/keys/1/application_id"]),
        ([SESSION] * 1_001, ["/keys"]),
        ([], ["/keys"]),
        ({}, ["/keys"]),
        (None, ["/keys"]),
    ],
)
def test_of_many_keys_all_are_made_or_none(rest, rows, expected):
    before = everything(), AuditEntry.objects.count()
    code, problem = rest.refused("POST", "/keys/bulk", {"keys": rows})
    assert (code, pointers(problem)) == (400, expected)
    assert (everything(), AuditEntry.objects.count()) == before


# --- If-Match, and answers given once ---------------------------------------------------------------------------------


def test_a_key_is_changed_only_as_it_was_seen(rest):
    made = rest.ask("POST", "/keys", SESSION)
    address, token = f"/keys/{made.json()['id']}", made.json()["key"]
    spend(token, "a")
    seen = rest.ask("GET", address)
    assert seen["ETag"] == made["ETag"], "usage does not move it"
    rest.done("PATCH", address, {"alias": "somebody else's"})
    stale = {"headers": {**rest.headers, "If-Match": seen["ETag"]}}
    for method, path in (
        ("PATCH", address),
        ("DELETE", address),
        ("POST", f"{address}/rotate"),
        ("POST", f"{address}/revoke"),
    ):
        assert rest.refused(method, path, {}, **stale)[0] == 412
    assert Key.objects.get().alias == "somebody else's" and spend(token, "a") == ["passed"]
    fresh = {"headers": {**rest.headers, "If-Match": rest.ask("GET", address)["ETag"]}}
    assert rest.ask("PATCH", address, {"alias": "mine"}, **fresh).status_code == 200


def test_policies_and_sessions_are_changed_only_as_they_were_seen(rest):
    rest.done("POST", "/policies", {"id": "p", "org_id": "acme", "quota_max": 5})
    rest.done("PUT", "/organisations/acme/session", {"quota_max": 5})
    for address, body in (("/policies/p", {"quota_max": 6}), ("/organisations/acme/session", {"quota_max": 6})):
        tag = rest.ask("GET", address)["ETag"]
        bound = {"headers": {**rest.headers, "If-Match": tag}}
        assert rest.ask("PUT", address, {"org_id": "acme", **body}, **bound).status_code == 200
        assert rest.refused("PUT", address, {"org_id": "acme", **body}, **bound)[0] == 412
        assert rest.refused("DELETE", address, **bound)[0] == 412


@pytest.mark.parametrize("path", ["/keys", "/keys/bulk", "/keys/{}/rotate", "/keys/{}/reset-quota"])
def test_a_verb_that_is_sent_twice_acts_once(rest, path):
    key_id = rest.done("POST", "/keys", SESSION)["id"]
    body = {"/keys": SESSION, "/keys/bulk": {"keys": [SESSION]}}.get(path, {})
    before = AuditEntry.objects.count()
    headers = {"headers": {**rest.headers, "Idempotency-Key": "k"}}
    first, again = (rest.ask("POST", path.format(key_id), body, **headers) for _ in range(2))
    assert first.json() == again.json() and first.status_code == again.status_code < 300
    assert AuditEntry.objects.count() == before + 1


# --- economy ----------------------------------------------------------------------------------------------------------


def statements(act):
    with CaptureQueriesContext(connection) as captured:
        act()
    return len(captured)


def test_making_a_key_takes_few_statements_and_many_keys_not_more(rest, apis):
    Policy.objects.create(id="p", organisation_id="acme", name="p", quota_max=5)
    row = {"org_id": "acme", "apply_policies": ["p"], "access_rights": {"a": {}}}
    one = statements(lambda: rest.done("POST", "/keys", row))
    two, forty = (
        statements(lambda rows=[row] * count: rest.done("POST", "/keys/bulk", {"keys": rows})) for count in (2, 40)
    )
    assert one <= 14 and two == forty == one


def test_a_new_key_is_shown_as_it_will_be_read(rest, apis):
    Policy.objects.create(id="p", organisation_id="acme", name="p", quota_max=5, key_expires_in=60)
    limit = {"quota_max": 3, "rate": 1.5, "per": 1}
    row = {
        "org_id": "acme",
        "apply_policies": ["p", "gone"],
        "access_rights": {"a": {"limit": limit}, "b": {}},
        "meta_data": {"deep": [1, 2.5, {"x": None}]},
        "tags": ["b", "a"],
        "monitor": {"trigger_limits": [90, 12.5]},
    }
    answer = rest.ask("POST", "/keys", row)
    shown = answer.json()
    read = rest.ask("GET", f"/keys/{shown['id']}")
    shown.pop("key")
    assert (shown, answer["ETag"]) == (read.json(), read["ETag"])


def test_a_new_key_that_shares_a_counter_shows_what_is_used(rest, apis):
    body = {
        "org_id": "acme",
        "access_rights": {"a": {}},
        "quota_max": 5,
        "meta_data": {"rate_limit_pattern": "$tyk_meta.team", "team": "red"},
    }
    spend(rest.done("POST", "/keys", body)["key"], "a", 2)
    assert rest.done("POST", "/keys", body)["quota_remaining"] == 3


def test_a_page_of_keys_takes_as_many_statements_as_one_key(rest, apis):
    row = {"org_id": "acme", "access_rights": {"a": {}}, "quota_max": 5}
    rest.done("POST", "/keys", row)
    one = statements(lambda: rest.get("/keys"))
    rest.done("POST", "/keys/bulk", {"keys": [row] * 20})
    assert statements(lambda: rest.get("/keys")) == one <= 10


@pytest.mark.parametrize("few", [5_000, 0])
def test_filters_find_few_and_many(rest, apis, few, monkeypatch):
    monkeypatch.setattr(key_filters, "FEW", few)
    Policy.objects.create(id="p", organisation_id="acme", name="p")
    row = {"org_id": "acme", "apply_policies": ["p"], "expires": 2_000_000_000}
    made = rest.done("POST", "/keys", row)["id"]
    rest.done("POST", "/keys", {"org_id": "acme", "access_rights": {"a": {}}})
    for query in ("policy=p", "expires_before=2040-01-01T00:00:00Z"):
        assert [key["id"] for key in rest.get(f"/keys?{query}")["results"]] == [made]
