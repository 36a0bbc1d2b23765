"""Making many keys: all or none, in a handful of statements, and as strict as with one."""

import base64

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from organisations_app import versions
from organisations_app.models import AttributeDefinition, ConfigVersion, Organisation
from policies_app.models import Policy
from sessions_app import keys, strangers, tokens
from sessions_app.models import Credential, Key, KeyAccess, KeyPolicy
from sessions_app.new_keys import NewKey, RowErrors, create_keys
from tests.factories import AppFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme():
    return Organisation.objects.create(id="acme", name="Acme")


def statements(count: int, rows) -> int:
    new = [rows(number) for number in range(count)]
    with CaptureQueriesContext(connection) as captured:
        create_keys(new)
    return len(captured)


def test_forty_keys_take_as_many_statements_as_ten(acme):
    application = AppFactory.create()
    Policy.objects.create(id="p", organisation=acme, name="p")

    def row(number: int) -> NewKey:
        key = Key(organisation_id="acme", application_id=application.pk)
        return NewKey(key, [KeyAccess(api_id="a")], ["p"], f"custom-{count}-{number}")

    taken = []
    for count in (10, 40):  # SQLite takes fewer than fifty keys in one statement
        taken.append(statements(count, row))
    assert taken[0] == taken[1] <= 12


def test_rights_policies_and_secrets_are_saved_in_order(acme):
    raw = create_keys([NewKey(Key(organisation=acme), [KeyAccess(api_id="a")], ["b", "a", "b"]) for _ in range(3)])
    assert len(set(raw)) == 3
    for token in raw:
        key = keys.find_by_token(token)
        assert [right.api_id for right in key.access.all()] == ["a"]
        assert [applied.policy_id for applied in key.key_policies.all()] == ["b", "a"]


def test_everything_that_is_wrong_is_named_with_its_row_and_nothing_is_saved(acme):
    keys.create_key(Key(organisation=acme), token="taken-one")
    rows = [
        NewKey(Key(organisation=acme)),
        NewKey(Key(organisation=acme), token="taken-one"),
        NewKey(Key(organisation=acme, quota_max=0)),
        NewKey(Key(organisation=acme), [KeyAccess(api_id="a", has_limit=True, quota_max=0)]),
        NewKey(Key(organisation=acme), [KeyAccess(api_id="a"), KeyAccess(api_id="a")]),
        NewKey(Key(organisation=acme), token="twice-in-here"),
        NewKey(Key(organisation=acme), token="twice-in-here"),
        NewKey(Key(organisation=acme), token="x"),
        NewKey(Key(organisation=acme, application=AppFactory.create(developer__organisation__id="globex"))),
    ]
    with pytest.raises(RowErrors) as caught:
        create_keys(rows)
    named = {index: set(error.error_dict) for index, error in caught.value.errors.items()}
    assert list(named) == [1, 2, 3, 4, 6, 7, 8]
    assert (named[1], named[2], named[4], named[6]) == ({"key"}, {"quota_max"}, {"access_rights"}, {"key"})
    assert (named[7], named[8]) == ({"key"}, {"application"})
    assert "1: This key exists already." in str(caught.value)
    assert Key.objects.count() == 1 and not KeyAccess.objects.exists() and not KeyPolicy.objects.exists()


def test_who_catches_the_errors_can_go_on_in_the_same_transaction(acme):
    with transaction.atomic():
        with pytest.raises(RowErrors):
            create_keys([NewKey(Key(organisation=acme), token="x")])
        create_keys([NewKey(Key(organisation=acme), token="longer")])
    assert keys.find_by_token("longer")


def test_an_ended_secret_makes_room_and_only_then(acme):
    keys.create_key(old := Key(organisation=acme), token="custom-key")
    keys.revoke_key(old)
    with pytest.raises(RowErrors):
        create_keys([NewKey(Key(organisation=acme), token="custom-key"), NewKey(Key(organisation=acme), token="x")])
    assert old.credentials.count() == 1
    create_keys([NewKey(new := Key(organisation=acme), token="custom-key")])
    assert (keys.find_by_token("custom-key"), old.credentials.count()) == (new, 0)


def test_a_key_that_is_known_by_its_digest_opens_and_is_taken(acme):
    digest = tokens.digest("nobody-tells-us")
    row = NewKey(Key(organisation=acme), credential=(digest, tokens.pepper_mark(), "…"))
    assert create_keys([row]) == [""]
    assert keys.find_by_token("nobody-tells-us") == row.key
    for again in ({"token": "nobody-tells-us"}, {"credential": (digest, tokens.pepper_mark(), "…")}):
        with pytest.raises(RowErrors, match="exists already"):
            create_keys([NewKey(Key(organisation=acme), **again)])


def moved(row: NewKey) -> set[str]:
    before = dict(ConfigVersion.objects.values_list("scope", "number"))
    create_keys([row])
    after = dict(ConfigVersion.objects.values_list("scope", "number"))
    return {scope for scope, number in after.items() if number != before.get(scope)}


def test_only_secrets_that_somebody_may_have_tried_before_move_versions(acme):
    assert moved(NewKey(Key(organisation=acme))) == set()
    assert moved(NewKey(Key(organisation=acme), token="abc")) == {strangers.credentials_scope(tokens.digest("abc"))}
    by_digest = NewKey(Key(organisation=acme), credential=("0" * 64, "mark:x", "…"))
    assert moved(by_digest) == set(strangers.ALL_SCOPES)


@pytest.mark.parametrize(
    "token", ["acmebare-id", base64.b64encode(b'{"org":"acme","id":"bare-id","h":"murmur64"}').decode()]
)
def test_the_bare_custom_id_of_a_token_of_tyks_is_no_stranger_any_more(acme, token):
    assert moved(NewKey(Key(organisation=acme), token=token)) >= {strangers.credentials_scope(tokens.digest("bare-id"))}


def test_a_developers_attributes_are_carried_by_each_key_of_the_lot(acme):
    AttributeDefinition.objects.create(name="plan", add_to_key_metadata=True)
    application = AppFactory.create(developer__attributes={"plan": "gold"})
    lot = [Key(organisation=acme, application_id=application.pk, meta_data={"plan": own}) for own in ("own", "x")]
    create_keys([*map(NewKey, lot), NewKey(without := Key(organisation=acme, application_id=application.pk))])
    assert [key.meta_data["plan"] for key in (*lot, without)] == ["own", "x", "gold"]
    assert {key.meta_data["ApplicationID"] for key in lot} == {str(application.pk)}


def test_one_key_raises_what_is_wrong_with_it(acme):
    with pytest.raises(ValidationError, match="quota_max"):
        keys.create_key(Key(organisation=acme, quota_max=0))
    assert not Credential.objects.exists()


def test_many_scopes_move_in_few_statements():
    scopes = [f"key:acme:{number}" for number in range(1500)]
    with CaptureQueriesContext(connection) as captured:
        versions.bump(*scopes)
    assert len(captured) <= 4
    assert set(versions.numbers(scopes).values()) == {1}
