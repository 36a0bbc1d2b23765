"""The admin of keys: the list with live usage, making, editing, revoking, rotating and finding them."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from organisations_app.models import AuditEntry, Organisation
from organisations_app.versions import key_scope, numbers
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app import grants
from sessions_app.engine import check
from sessions_app.keys import create_key, find_by_token, revoke_key
from sessions_app.models import Credential, Key, KeyAccess, KeyPolicy, OrgSession
from sessions_app.store import sync_store
from sessions_app.usage import key_quotas, snapshots
from tests.admin_pages import errors_of, submit
from tests.factories import AcmeFactory, AppFactory, GlobexFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("store")]

LIST = "/admin/sessions_app/key/"
ADD = f"{LIST}add/"
NOWHERE = "redis://127.0.0.1:1/0"
RAW = re.compile(r"tg_\w{32}_\w{6}")


@pytest.fixture
def acme() -> Organisation:
    return AcmeFactory.create()


@pytest.fixture
def api(acme: Organisation) -> Api:
    return Api.objects.create(id="orders", organisation=acme, name="Orders", listen_path="/orders/")


@pytest.fixture
def free(acme: Organisation, api: Api) -> Policy:
    policy = Policy.objects.create(id="free", organisation=acme, name="Free", quota_max=10, quota_renewal_rate=60)
    PolicyAccess.objects.create(policy=policy, api=api)
    return policy


@pytest.fixture
def key(acme: Organisation, free: Policy) -> Key:
    key = Key(organisation=acme, application=AppFactory.create(), alias="Storefront")
    key.raw = create_key(key, policies=[free.pk])  # type: ignore[attr-defined]
    return key


class Loader:
    snapshots = staticmethod(snapshots)

    def __init__(self, token: str) -> None:
        self.token = token

    def load(self, freshness: int) -> Any:
        return grants.compile_grant(self.token, "orders")


def call(token: str, times: int = 1) -> str:
    """Sends requests through the engine; the outcome of the last one."""
    for _ in range(times):
        outcome = check.check(sync_store(), Loader(token)).outcome
    return outcome.value


def page(key: Key, action: str = "change") -> str:
    return f"{LIST}{quote(key.pk)}/{action}/"


def add_key(client: Client, acme: Organisation, **fields: Any) -> Any:
    inline = {
        "key_policies-TOTAL_FORMS": "1",
        "key_policies-0-policy": "free",
        "key_policies-0-position": "0",
        "key_policies-0-id": "",
        "key_policies-0-key": "",
    }
    return submit(client, ADD, organisation=acme.pk, alias="New", **inline | fields)


# --- the list ---------------------------------------------------------------------------------------------------------


def test_the_list_shows_the_live_usage_of_a_page_in_at_most_12_queries(
    admin_client: Client, acme: Organisation, free: Policy, django_assert_max_num_queries: Any
) -> None:
    tokens = [create_key(Key(organisation=acme, alias=f"Key {number}"), policies=[free.pk]) for number in range(12)]
    call(tokens[3], 7)
    with django_assert_max_num_queries(12):
        html = admin_client.get(LIST).content.decode()
    assert html.count('class="usage-bar"') == 12
    assert "<strong>7</strong> / 10" in html and "70 %" in html and "renews in" in html


def test_the_list_works_without_the_store_and_says_so(admin_client: Client, key: Key, settings: Any) -> None:
    settings.GATEWAY_STORE_URL = NOWHERE
    html = admin_client.get(LIST).content.decode()
    assert "The counter store does not answer" in html and "Storefront" in html and "usage-bar" not in html


@pytest.mark.parametrize("status", ["active", "inactive", "expired", "revoked"])
def test_filters_by_the_status_that_it_shows(
    admin_client: Client, acme: Organisation, free: Policy, status: str
) -> None:
    past = timezone.now() - timedelta(days=1)
    kinds: dict[str, dict[str, Any]] = {
        "active": {},
        "inactive": {"is_inactive": True},
        "expired": {"expires_at": past},
    }
    for alias, fields in kinds.items():
        create_key(Key(organisation=acme, alias=alias, **fields), policies=[free.pk])
    create_key(gone := Key(organisation=acme, alias="revoked", is_inactive=True), policies=[free.pk])
    revoke_key(gone)
    rows = admin_client.get(f"{LIST}?status={status}").context["cl"].result_list
    assert [row.alias for row in rows] == [status]


def test_a_key_is_inactive_with_its_policy_or_organisation(admin_client: Client, key: Key, free: Policy) -> None:
    inactive = f"{LIST}?status=inactive"
    assert not admin_client.get(inactive).context["cl"].result_list
    Policy.objects.update(is_inactive=True)
    assert admin_client.get(inactive).context["cl"].result_list == [key]
    Policy.objects.update(is_inactive=False)
    OrgSession.objects.create(organisation=key.organisation, is_inactive=True)
    assert admin_client.get(inactive).context["cl"].result_list == [key]


@pytest.mark.parametrize("term", ["store", "key_", "hint"])
def test_finds_by_alias_id_and_hint(admin_client: Client, key: Key, term: str) -> None:
    create_key(Key(organisation=GlobexFactory.create(), alias="Other", id="other_id"), token="custom-1234")
    term = key.credentials.get().hint[-4:] if term == "hint" else term
    assert admin_client.get(LIST, {"q": term}).context["cl"].result_list == [key]


def test_a_pasted_key_leads_to_its_page_also_when_it_is_revoked(admin_client: Client, key: Any) -> None:
    assert admin_client.get(LIST, {"q": key.raw}).headers["Location"] == page(key)
    revoke_key(key)
    assert admin_client.post(f"{LIST}find/", {"q": f" {key.raw} "}).headers["Location"] == page(key)


def test_a_pasted_key_that_nobody_has_is_not_repeated(admin_client: Client) -> None:
    response = admin_client.post(f"{LIST}find/", {"q": "tg_unknown-key"}, follow=True)
    assert "No key has this value" in response.content.decode() and "tg_unknown-key" not in response.content.decode()
    assert admin_client.get(f"{LIST}find/").status_code == 405


# --- making -----------------------------------------------------------------------------------------------------------


def test_a_new_key_is_shown_once_works_at_once_and_is_kept_nowhere(
    admin_client: Client, acme: Organisation, free: Policy
) -> None:
    response = add_key(admin_client, acme)
    [token] = set(RAW.findall(response.content.decode()))
    assert response.status_code == 200 and "no-store" in response.headers["Cache-Control"]
    assert call(token) == "passed"
    key = find_by_token(token)
    assert key is not None and key.alias == "New" and [row.policy_id for row in key.key_policies.all()] == ["free"]
    kept = f"{list(LogEntry.objects.values())} {dict(admin_client.session)} {admin_client.cookies}"
    assert LogEntry.objects.count() == 1 and token not in kept
    for url in (LIST, page(key), page(key, "history")):
        assert token not in admin_client.get(url).content.decode()


def test_policies_keep_the_order_that_was_dragged(admin_client: Client, acme: Organisation, free: Policy) -> None:
    Policy.objects.create(id="pro", organisation=acme, name="Pro")
    add_key(
        admin_client,
        acme,
        **{
            "key_policies-TOTAL_FORMS": "2",
            "key_policies-0-position": "1",
            "key_policies-1-policy": "pro",
            "key_policies-1-position": "0",
        },
    )
    assert [row.policy_id for row in Key.objects.get().key_policies.all()] == ["pro", "free"]


def test_a_key_that_exists_elsewhere_can_be_brought_along_once(
    admin_client: Client, acme: Organisation, free: Policy
) -> None:
    add_key(admin_client, acme, custom_key="brought-along")
    assert find_by_token("brought-along") is not None
    assert "exists already" in errors_of(add_key(admin_client, acme, custom_key="brought-along"))["custom_key"]
    assert "printable" in errors_of(add_key(admin_client, acme, custom_key="tab\tinside"))["custom_key"]
    assert Key.objects.count() == 1


def test_a_key_with_own_access_says_when_it_opens_nothing(admin_client: Client, acme: Organisation, api: Api) -> None:
    bare = submit(admin_client, ADD, organisation=acme.pk)
    assert "opens no API yet" in bare.content.decode()


# --- editing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"quota_max": "0"}, "quota_max", "-1 for unlimited"),
        ({"quota_max": "many"}, "quota_max", "whole number"),
        ({"trigger_limits": "50, 80"}, "trigger_limits", "the 2nd, 80, is above the 1st, 50"),
        ({"trigger_limits": "80, half"}, "trigger_limits", "'half' is no number"),
        ({"trigger_limits": "101"}, "trigger_limits", "at most 100"),
        ({"resets_every_0": "month", "resets_every_2": "32"}, "resets_every", "between 1 and 31"),
        ({"resets_every_0": "custom", "resets_every_1": ""}, "resets_every", "how many seconds, 1 to"),
        ({"resets_every_0": "custom", "resets_every_1": "soon"}, "resets_every", "whole number"),
        ({"meta_data": "{"}, "meta_data", "valid JSON"),
        ({"meta_data": "[1]"}, "meta_data", "JSON object"),
        ({"meta_data": '{"rate_limit_pattern": "$tyk_meta."}'}, "meta_data", "$tyk_meta.NAME"),
    ],
)
def test_bad_input_is_refused_at_its_field_and_changes_nothing(
    admin_client: Client, key: Key, changes: dict[str, str], field: str, words: str
) -> None:
    before = Key.objects.values().get()
    response = submit(admin_client, page(key), alias="Changed", **changes)
    assert words in errors_of(response)[field]
    assert Key.objects.values().get() == before


def test_an_application_of_another_organisation_is_refused(admin_client: Client, key: Key) -> None:
    foreign = AppFactory.create(
        name="Foreign", developer__organisation=GlobexFactory.create(), developer__user__username="x"
    )
    response = submit(admin_client, page(key), application=foreign.pk)
    assert "another organisation" in errors_of(response)["application"]


def test_an_edit_holds_from_the_next_request_on(admin_client: Client, key: Any) -> None:
    assert call(key.raw) == "passed"
    [version] = numbers([key_scope("acme", key.pk)]).values()
    response = submit(admin_client, page(key), is_inactive="on", trigger_limits="90, 12.5", tags="a, b")
    assert response.status_code == 302
    key.refresh_from_db()
    assert (key.trigger_limits, key.tags) == ([90, 12.5], ["a", "b"])
    assert numbers([key_scope("acme", key.pk)])[key_scope("acme", key.pk)] > version
    assert call(key.raw) == "refused"


def test_limits_of_one_api_are_edited_inline(admin_client: Client, acme: Organisation, api: Api) -> None:
    create_key(key := Key(organisation=acme), access=[KeyAccess(api=api)])
    response = submit(admin_client, page(key), **{"access-0-has_limit": "on", "access-0-quota_max": "0"})
    assert "-1 for unlimited" in errors_of(response)["access-0-quota_max"]
    submit(admin_client, page(key), **{"access-0-has_limit": "on", "access-0-quota_max": "3"})
    assert [quota.max for quota in key_quotas([key])[key.pk]] == [3]


def test_a_policy_that_is_gone_is_named_when_the_key_is_saved(admin_client: Client, key: Key) -> None:
    KeyPolicy.objects.create(key=key, policy_id="vanished", position=1)
    assert admin_client.get(page(key)).status_code == 200
    assert "does not exist any more" in errors_of(submit(admin_client, page(key)))["key_policies-1-policy"]


def test_the_page_shows_what_remains_and_works_without_the_store(admin_client: Client, key: Any, settings: Any) -> None:
    call(key.raw, 4)
    assert f'hx-get="{page(key, "usage")}"' in admin_client.get(page(key)).content.decode()
    html = admin_client.get(page(key, "usage")).content.decode()
    assert "Remaining requests for period" in html and "6 remaining" in html
    settings.GATEWAY_STORE_URL = NOWHERE
    for part in ("usage", "limits"):
        assert "The counter store does not answer" in admin_client.get(page(key, part)).content.decode()
    assert submit(admin_client, page(key), alias="Renamed").status_code == 302
    assert Key.objects.get().alias == "Renamed"


def test_a_key_stays_in_its_organisation(admin_client: Client, key: Key) -> None:
    submit(admin_client, page(key), organisation=GlobexFactory.create().pk)
    assert Key.objects.get().organisation_id == "acme"


# --- revoke, rotate, reset --------------------------------------------------------------------------------------------


def test_revoking_asks_first_and_is_in_the_history(admin_client: Client, key: Any) -> None:
    assert "Revoke key" in admin_client.get(page(key, "revoke")).content.decode()
    assert admin_client.post(page(key, "revoke"), {"reason": "not the answer"}).status_code == 200
    assert call(key.raw) == "passed"
    admin_client.post(page(key, "revoke"), {"confirmed": "yes", "reason": "leaked"})
    assert call(key.raw) == "refused" and find_by_token(key.raw) is None
    assert "Reason: leaked" in LogEntry.objects.get().change_message
    assert [(entry.action, entry.reason) for entry in AuditEntry.objects.all()] == [("revoke", "leaked")]


def test_several_keys_are_revoked_together(admin_client: Client, key: Any, acme: Organisation, free: Policy) -> None:
    other = create_key(Key(organisation=acme), policies=[free.pk])
    selected = {"action": "revoke_selected", "_selected_action": [key.pk, find_by_token(other).pk]}
    question = admin_client.post(LIST, selected)
    assert "Revoke: 2 keys" in question.content.decode() and call(other) == "passed"
    admin_client.post(LIST, {**selected, "confirmed": "yes"})
    assert call(key.raw) == call(other) == "refused"


def test_rotating_shows_the_new_secret_once_and_keeps_the_usage(admin_client: Client, key: Any) -> None:
    call(key.raw, 4)
    response = admin_client.post(page(key, "rotate"), {"confirmed": "yes", "overlap_seconds": "0"})
    [token] = set(RAW.findall(response.content.decode()))
    assert call(key.raw) == "refused" and call(token) == "passed"
    assert key_quotas([key])[key.pk][0].used == 5
    assert token not in str(LogEntry.objects.values_list()) and Credential.objects.count() == 2


def test_a_revoked_key_cannot_be_rotated(admin_client: Client, key: Any) -> None:
    revoke_key(key)
    answer = {"confirmed": "yes", "overlap_seconds": "0"}
    assert "cannot be rotated" in admin_client.post(page(key, "rotate"), answer, follow=True).content.decode()


def test_a_reset_gives_the_whole_quota_back_and_says_how_much_was_used(admin_client: Client, key: Any) -> None:
    call(key.raw, 11)
    admin_client.post(page(key, "reset_quota"), {"confirmed": "yes", "reason": "goodwill"})
    assert key_quotas([key])[key.pk][0].remaining == 10
    assert LogEntry.objects.get().change_message == "Quota reset: 10 requests had been used. Reason: goodwill"
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.subject_id, entry.reason) == (
        "admin:admin",
        "reset-quota",
        key.pk,
        "goodwill",
    )


def test_what_remains_can_be_set_within_the_quota(admin_client: Client, key: Any) -> None:
    call(key.raw, 4)
    answer = {"confirmed": "yes", "quota_remaining": "11"}
    assert "from 0 to the quota" in admin_client.post(page(key, "set_remaining"), answer).content.decode()
    assert key_quotas([key])[key.pk][0].remaining == 6 and not AuditEntry.objects.exists()
    admin_client.post(page(key, "set_remaining"), {**answer, "quota_remaining": "9"})
    assert key_quotas([key])[key.pk][0].remaining == 9
    assert AuditEntry.objects.get().action == "set-remaining"


def test_a_reset_without_the_store_changes_nothing_and_says_so(admin_client: Client, key: Key, settings: Any) -> None:
    settings.GATEWAY_STORE_URL = NOWHERE
    response = admin_client.post(page(key, "reset_quota"), {"confirmed": "yes"}, follow=True)
    assert "does not answer" in response.content.decode() and not LogEntry.objects.exists()


def test_a_deleted_key_is_refused(admin_client: Client, key: Any) -> None:
    assert call(key.raw) == "passed"
    admin_client.post(page(key, "delete"), {"post": "yes"})
    assert call(key.raw) == "refused" and not Key.objects.exists()


@pytest.mark.parametrize("action", ["revoke", "rotate", "reset_quota", "set_remaining"])
def test_who_may_only_look_cannot_act(client: Client, key: Any, action: str) -> None:
    auditor = User.objects.create_user("auditor", is_staff=True)
    auditor.user_permissions.add(Permission.objects.get(codename="view_key"))
    client.force_login(auditor)
    assert client.get(page(key)).status_code == 200
    answer = {"confirmed": "yes", "overlap_seconds": "0", "quota_remaining": "1"}
    assert client.post(page(key, action), answer).status_code == 403
    assert find_by_token(key.raw) == key


def test_an_id_that_looks_escaped_is_found_everywhere(admin_client: Client, acme: Organisation, free: Policy) -> None:
    """The admin writes special characters of ids as _5F and the like: `key_5F…` is a possible id."""
    key = Key(pk="key_5Fabcdefghijklm", organisation=acme, alias="Odd")
    token = create_key(key, policies=[free.pk])
    assert admin_client.get(LIST, {"q": token}, follow=True).context["original"] == key
    html = admin_client.get(page(key)).content.decode()
    for action in ("usage", "revoke", "rotate", "reset_quota", "set_remaining"):
        assert f'"{page(key, action)}"' in html
        assert admin_client.get(page(key, action)).status_code == 200
    admin_client.post(page(key, "revoke"), {"confirmed": "yes"})
    assert find_by_token(token) is None


def test_the_live_part_needs_the_permission_to_look(client: Client, key: Key) -> None:
    client.force_login(User.objects.create_user("nobody", is_staff=True))
    assert client.get(page(key, "usage")).status_code == 403
    assert client.post(f"{LIST}find/", {"q": "x"}).status_code == 302
