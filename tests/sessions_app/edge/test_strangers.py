"""A flood of unknown keys reaches neither the database nor a growing cache, and a key made a moment ago works (1.6)."""

import secrets

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from organisations_app.models import Organisation
from policies_app.models import Api
from sessions_app import keys, strangers
from sessions_app.edge.judging import judge
from sessions_app.edge.loading import Request
from sessions_app.engine.types import Outcome, Refusal
from sessions_app.models import Key, KeyAccess

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def acme(store):
    acme = Organisation.objects.create(id="acme", name="Acme")
    Api.objects.create(id="a", organisation=acme, name="a", listen_path="/a/")
    judged("warm-up")
    return acme


def judged(token: str, address: str = ""):
    return judge(Request("/a/", {b"authorization": token.encode()}, address=address)).decision


def test_a_flood_of_random_keys_cause_no_sql_and_stay_nowhere():
    before = len(strangers._unknown._values)
    with CaptureQueriesContext(connection) as queries:
        for _ in range(2_000):
            assert judged(f"tg_{secrets.token_hex(16)}_{secrets.token_hex(3)}").refusal is Refusal.UNKNOWN_KEY
    assert queries.captured_queries == []
    assert len(strangers._unknown._values) == before


def test_an_unknown_key_that_comes_again_causes_no_sql():
    judged("nobody-knows-this")
    judged("nobody-knows-this")  # the store learns the shard's version
    with CaptureQueriesContext(connection) as queries:
        for _ in range(50):
            assert judged("nobody-knows-this").refusal is Refusal.UNKNOWN_KEY
    assert len(queries) == 0


def test_a_key_that_was_unknown_a_moment_ago_works_at_once(acme):
    for _ in range(3):
        assert judged("made-later").refusal is Refusal.UNKNOWN_KEY
    keys.create_key(Key(organisation=acme), access=[KeyAccess(api_id="a")], token="made-later")
    assert judged("made-later").outcome is Outcome.PASSED


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(strangers._unknown, "size", 100)
    for number in range(300):
        judged(f"stranger-{number}")
    assert len(strangers._unknown._values) <= 100


def test_an_address_that_guesses_is_braked_and_the_others_are_not(acme, monkeypatch):
    monkeypatch.setattr(strangers, "BURST", 20)
    monkeypatch.setattr(strangers, "LOOKUPS_PER_SECOND", 0)
    token = keys.create_key(Key(organisation=acme), access=[KeyAccess(api_id="a")])
    assert judged(token, "10.0.0.1").outcome is Outcome.PASSED
    refusals = [judged(f"guess-{number}", "10.0.0.1").refusal for number in range(30)]
    assert refusals == [Refusal.UNKNOWN_KEY] * 20 + [Refusal.TOO_MANY_UNKNOWN_KEYS] * 10
    assert judged("guess-other", "10.0.0.2").refusal is Refusal.UNKNOWN_KEY
    assert judged(token, "10.0.0.1").outcome is Outcome.PASSED  # a key in use is known without a look-up


def test_an_ipv6_network_is_braked_as_one_caller(acme, monkeypatch):
    monkeypatch.setattr(strangers, "BURST", 3)
    monkeypatch.setattr(strangers, "LOOKUPS_PER_SECOND", 0)
    refusals = [judged(f"guess-{number}", f"2001:db8::{number:x}").refusal for number in range(5)]
    assert refusals == [Refusal.UNKNOWN_KEY] * 3 + [Refusal.TOO_MANY_UNKNOWN_KEYS] * 2
    assert judged("guess-other", "2001:db8:0:1::1").refusal is Refusal.UNKNOWN_KEY
