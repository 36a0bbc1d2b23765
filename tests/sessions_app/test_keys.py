"""Making, changing, rotating and revoking keys."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from organisations_app.models import ConfigVersion, Organisation
from policies_app.models import Policy
from sessions_app import keys, tokens
from sessions_app.models import Credential, Key

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme():
    return Organisation.objects.create(id="acme", name="Acme")


def test_a_raw_key_is_found_but_never_stored(acme):
    key = Key(organisation=acme)
    token = keys.create_key(key)
    assert keys.find_by_token(token) == key == keys.find_by_hash(tokens.digest(token))
    credential = Credential.objects.get()
    assert token not in str(vars(credential)) and credential.hint.endswith(token[-4:])


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("ab", "3 to 256"),
        ("x" * 257, "3 to 256"),
        ("tab\tinside", "printable"),
        (" ends", "printable"),
        ("tg_" + "a" * 32 + "_000000", "checksum"),
    ],
)
def test_refuses_what_cannot_be_a_key_and_saves_nothing(acme, token, words):
    with pytest.raises(ValidationError, match=words):
        keys.create_key(Key(organisation=acme), token=token)
    assert not Key.objects.exists()


def test_a_custom_key_that_lives_cannot_be_taken_and_leaves_nothing_behind(acme):
    keys.create_key(Key(organisation=acme), token="custom-key")
    with pytest.raises(ValidationError, match="exists already"):
        keys.create_key(Key(organisation=acme), token="custom-key")
    assert Key.objects.count() == 1


def test_a_revoked_custom_key_can_be_made_again(acme):
    first = Key(organisation=acme)
    keys.create_key(first, token="custom-key")
    keys.revoke_key(first)
    second = Key(organisation=acme)
    keys.create_key(second, token="custom-key")
    assert keys.find_by_token("custom-key") == second


def test_rotation_without_overlap_ends_the_old_secret_at_once(acme):
    key = Key(organisation=acme)
    old = keys.create_key(key)
    new = keys.rotate_key(key)
    assert (keys.find_by_token(old), keys.find_by_token(new)) == (None, key)


def test_rotation_never_lengthens_the_life_of_an_older_secret(acme):
    key = Key(organisation=acme)
    first = keys.create_key(key)
    keys.rotate_key(key, overlap_seconds=10)
    keys.rotate_key(key, overlap_seconds=1000)
    ends = Credential.objects.get(digest=tokens.digest(first)).expires_at
    assert ends < timezone.now() + timedelta(seconds=11)


def test_a_negative_overlap_and_a_revoked_key_are_refused(acme):
    key = Key(organisation=acme)
    keys.create_key(key)
    with pytest.raises(ValidationError, match="0 or more"):
        keys.rotate_key(key, overlap_seconds=-1)
    keys.revoke_key(key)
    with pytest.raises(ValidationError, match="revoked"):
        keys.rotate_key(key)


def test_a_policy_sets_the_expiry_of_a_new_key_only(acme):
    Policy.objects.create(id="p", organisation=acme, name="p", key_expires_in=60)
    Policy.objects.create(id="q", organisation=acme, name="q", key_expires_in=600)
    key, chosen = Key(organisation=acme), timezone.now() + timedelta(seconds=5)
    keys.create_key(key, policies=["p", "q"])
    assert timedelta(seconds=590) < key.expires_at - timezone.now() <= timedelta(seconds=600)
    other = Key(organisation=acme, expires_at=chosen)
    keys.create_key(other, policies=["p"])
    assert other.expires_at == chosen


def test_policies_keep_their_order_and_repeats_count_once(acme):
    key = Key(organisation=acme)
    keys.create_key(key, policies=["b", "a", "b"])
    assert [applied.policy_id for applied in key.key_policies.all()] == ["b", "a"]


def test_every_change_moves_the_keys_version(acme):
    keys.create_key(key := Key(organisation=acme))
    number = 0
    for change in (keys.save_key, keys.rotate_key, keys.revoke_key, keys.delete_key):
        change(key)
        now = ConfigVersion.objects.get(scope__startswith="key:acme:").number
        assert now > number
        number = now


def test_a_key_made_under_an_older_pepper_is_recognised_and_moves_to_the_current_one(acme, settings):
    key = Key(organisation=acme)
    token = keys.create_key(key)
    old = Credential.objects.get()
    settings.GATEWAY_KEY_PEPPER_FALLBACKS = (settings.GATEWAY_KEY_PEPPER,)
    settings.GATEWAY_KEY_PEPPER = "a new pepper"
    assert keys.find_by_token(token) == key and Credential.objects.get().digest == old.digest
    assert keys.recognise(token).key == key
    moved = Credential.objects.get()
    assert (moved.digest, moved.pepper) == (tokens.digest(token), tokens.pepper_mark()) and moved.pepper != old.pepper
    settings.GATEWAY_KEY_PEPPER_FALLBACKS = ()
    assert keys.find_by_token(token) == key


def test_a_custom_key_of_an_older_pepper_cannot_be_taken_either(acme, settings):
    keys.create_key(Key(organisation=acme), token="custom-key")
    settings.GATEWAY_KEY_PEPPER_FALLBACKS = (settings.GATEWAY_KEY_PEPPER,)
    settings.GATEWAY_KEY_PEPPER = "a new pepper"
    with pytest.raises(ValidationError, match="exists already"):
        keys.create_key(Key(organisation=acme), token="custom-key")
