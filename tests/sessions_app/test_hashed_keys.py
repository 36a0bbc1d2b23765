"""Keys that came from Tyk with nothing but their hash open for who knows the raw key, and for nobody else."""

import base64

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from organisations_app import versions
from organisations_app.models import Organisation
from policies_app.models import Api
from sessions_app import keys, strangers, tokens, tyk_hashes
from sessions_app.edge.judging import judge
from sessions_app.edge.loading import Request
from sessions_app.engine.types import Outcome, Refusal
from sessions_app.models import Credential, Key, KeyAccess
from sessions_app.new_keys import NewKey, create_keys

pytestmark = pytest.mark.django_db(transaction=True)
TOKEN = base64.b64encode(b'{"org":"acme","id":"8f2f2d0e9c1b4a6f","h":"murmur64"}').decode()


@pytest.fixture(autouse=True)
def acme(store):
    acme = Organisation.objects.create(id="acme", name="Acme")
    globex = Organisation.objects.create(id="globex", name="Globex")
    Api.objects.create(id="a", organisation=acme, name="a", listen_path="/a/")
    Api.objects.create(id="g", organisation=globex, name="g", listen_path="/g/")
    assert judged("warm-up").refusal is Refusal.UNKNOWN_KEY
    return acme


def judged(token: str, path: str = "/a/"):
    return judge(Request(path, {b"authorization": token.encode()})).decision


def hashed(acme, algorithm: str, token: str) -> Key:
    key = Key(organisation=acme)
    credential = tokens.hashed_credential(algorithm, tyk_hashes.hash_of(algorithm, token))
    create_keys([NewKey(key, [KeyAccess(api_id=api_id) for api_id in "ag"], credential=credential)])
    versions.bump(*strangers.ALL_SCOPES)
    return key


@pytest.mark.parametrize("algorithm", tyk_hashes.ALGORITHMS)
def test_the_raw_key_opens_and_its_credential_becomes_an_ordinary_one(acme, algorithm):
    key = hashed(acme, algorithm, "only-its-user-knows")
    stored = Credential.objects.get()
    assert stored.pepper == f"{tokens.pepper_mark()}:{algorithm}"
    assert judged("only-its-user-knows").outcome is Outcome.PASSED
    moved = Credential.objects.get()
    assert (moved.pk, moved.digest, moved.pepper) == (
        stored.pk,
        tokens.digest("only-its-user-knows"),
        tokens.pepper_mark(),
    )
    assert keys.find_by_token("only-its-user-knows") == key
    assert judged("only-its-user-knows").outcome is Outcome.PASSED


def test_tyks_own_token_opens(acme):
    hashed(acme, "murmur64", TOKEN)
    assert judged(TOKEN).outcome is Outcome.PASSED


def test_neither_the_hash_nor_what_is_digested_of_it_opens(acme):
    hashed(acme, "murmur64", TOKEN)
    foreign = tyk_hashes.hash_of("murmur64", TOKEN)
    digest = Credential.objects.get().digest
    assert foreign not in digest
    for guess in (foreign, f"murmur64:{foreign}", digest):
        assert judged(guess).refusal is Refusal.UNKNOWN_KEY


def test_a_warm_request_costs_no_sql(acme):
    hashed(acme, "sha256", "raw-key")
    judged("raw-key")
    judged("raw-key")
    with CaptureQueriesContext(connection) as queries:
        assert judged("raw-key").outcome is Outcome.PASSED
    assert queries.captured_queries == []


def test_a_key_that_was_unknown_a_moment_ago_works_at_once(acme):
    for _ in range(3):
        assert judged("raw-key").refusal is Refusal.UNKNOWN_KEY
    hashed(acme, "murmur128", "raw-key")
    assert judged("raw-key").outcome is Outcome.PASSED


def test_an_older_pepper_still_recognises_the_hash(acme, settings):
    key = hashed(acme, "murmur64", "raw-key")
    settings.GATEWAY_KEY_PEPPER_FALLBACKS = (settings.GATEWAY_KEY_PEPPER,)
    settings.GATEWAY_KEY_PEPPER = "a new pepper"
    assert keys.find_by_token("raw-key") == key
    moved = keys.recognise("raw-key")
    assert moved is not None and Credential.objects.get().digest == moved.digest == tokens.digest("raw-key")


def test_two_hashes_of_one_token_are_told_apart(acme):
    """A collision of 32 bits must not make moving the other one fail."""
    weak, strong = hashed(acme, "murmur32", "raw-key"), hashed(acme, "sha256", "raw-key")
    moved = keys.recognise("raw-key")
    assert moved is not None and moved.key in (weak, strong)
    assert Credential.objects.count() == 2


# --- custom ids -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", range(5))
def test_the_bare_id_of_a_custom_key_opens_as_in_tyk(acme, form):
    token = tyk_hashes.tokens_of("my-custom-key", "acme")[form]
    hashed(acme, tyk_hashes.algorithms_of(token)[0], token)
    assert judged("my-custom-key").outcome is Outcome.PASSED
    assert Credential.objects.get().digest == tokens.digest(token)
    for sent in ("my-custom-key", token, "my-custom-key"):
        assert judged(sent).outcome is Outcome.PASSED


def test_a_bare_id_opens_on_apis_of_its_organisation_only(acme):
    assert judged("my-custom-key", "/g/").refusal is Refusal.UNKNOWN_KEY
    hashed(acme, "murmur64", tyk_hashes.tokens_of("my-custom-key", "acme")[1])
    assert judged("my-custom-key", "/g/").refusal is Refusal.UNKNOWN_KEY
    assert judged("my-custom-key", "/a/").outcome is Outcome.PASSED
    assert judged("my-custom-key", "/g/").refusal is Refusal.UNKNOWN_KEY
