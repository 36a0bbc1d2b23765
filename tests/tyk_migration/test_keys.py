"""Import of keys and organisation sessions."""

import base64
from datetime import UTC, datetime

import pytest

from organisations_app.models import ConfigVersion, Organisation
from policies_app.models import Policy
from sessions_app import grants, keys, tokens
from sessions_app.engine.types import Outcome, Refusal
from sessions_app.models import Credential, Key, OrgSession
from sessions_app.tyk_hashes import hash_of, tokens_of
from tests.tyk_migration.conftest import RIGHTS, SESSION

pytestmark = pytest.mark.django_db(transaction=True)
TOKEN = base64.b64encode(b'{"org":"acme","id":"0123456789abcdef","h":"murmur64"}').decode()


def row(name, **members):
    return {"key": f"apikey-{name}", "session": {**SESSION, **members}}


# --- taken ------------------------------------------------------------------------------------------------------------


def test_a_raw_key_works_at_once_and_is_stored_nowhere(orders, judged):
    report = orders.keys(row("raw-key-of-somebody"))
    assert report.counts("keys") == {"created": 1}
    assert judged("raw-key-of-somebody").outcome is Outcome.PASSED
    key = Key.objects.get()
    assert (key.organisation_id, key.alias, key.quota_max, key.meta_data) == (
        "acme",
        "dev@acme.example",
        100,
        {"DeveloperID": "7"},
    )
    assert "raw-key-of-somebody" not in str([list(Credential.objects.values()), report.json])


@pytest.mark.parametrize("algorithm", ["murmur32", "murmur64", "murmur128", "sha256"])
@pytest.mark.parametrize("said", [True, False])
def test_a_hashed_key_works_for_who_knows_the_raw_one(orders, judged, algorithm, said):
    name = hash_of(algorithm, "only-its-user-knows")
    report = orders.keys(row(name), hashed=algorithm if said else "auto")
    assert report.counts("keys") == {"created": 1}
    assert name not in Credential.objects.get().digest
    assert judged(name).refusal is Refusal.UNKNOWN_KEY
    assert judged("only-its-user-knows").outcome is Outcome.PASSED


def test_tyk_conf_says_whether_names_are_hashes(orders, judged):
    conf = orders.file("tyk.conf", {"hash_keys": True, "hash_key_function": "murmur64"})
    orders.keys(row(hash_of("murmur64", TOKEN)), row("made-before-hashing"), conf=conf)
    assert judged(TOKEN).outcome is judged("made-before-hashing").outcome is Outcome.PASSED


def test_a_row_may_say_itself_that_its_name_is_a_hash(orders, judged):
    orders.keys({"key_hash": hash_of("murmur64", TOKEN), **SESSION})
    assert judged(TOKEN).outcome is Outcome.PASSED


def test_a_custom_key_works_by_its_bare_id_too(orders, judged):
    orders.keys(row(tokens_of("my-custom-key", "acme")[1]))
    assert judged("my-custom-key").outcome is Outcome.PASSED


def test_policies_do_not_let_an_imported_key_expire(orders):
    Policy.objects.update(key_expires_in=60)
    end = int(datetime(2040, 1, 1, tzinfo=UTC).timestamp())
    orders.keys(row("never", apply_policies=["gold"]), row("some-day", apply_policies=["gold"], expires=end))
    assert {key.expires_at for key in Key.objects.all()} == {None, datetime(2040, 1, 1, tzinfo=UTC)}


def test_organisations_that_do_not_exist_are_made_and_told(orders):
    report = orders.keys(row("key-1", org_id="globex"), row("key-2", org_id="globex"))
    assert Organisation.objects.filter(pk="globex").exists()
    assert "1 organisations were made: globex" in report.report.notes


def test_an_object_of_keys_is_taken(orders):
    file = orders.file("keys.json", {"apikey-key-1": SESSION, "apikey-key-2": SESSION})
    assert orders.take(keys=file).counts("keys") == {"created": 2}


# --- again ------------------------------------------------------------------------------------------------------------


def test_importing_the_same_again_changes_nothing(orders):
    rows = [row("raw-key"), row(hash_of("sha256", "x" * 9), apply_policies=["gold"])]
    orders.keys(*rows, hashed="auto")
    before = list(Key.objects.values()), list(Credential.objects.values()), list(ConfigVersion.objects.values())
    assert orders.keys(*rows, hashed="auto").counts("keys") == {"unchanged": 2}
    assert before == (
        list(Key.objects.values()),
        list(Credential.objects.values()),
        list(ConfigVersion.objects.values()),
    )


def test_a_hashed_key_that_was_used_or_rotated_meanwhile_is_found_again(orders, judged):
    rows = [row(hash_of("murmur64", f"user-key-{number}")) for number in range(2)]
    orders.keys(*rows, hashed="murmur64")
    judged("user-key-0")
    other = keys.find_by_token("user-key-1")
    assert other is not None
    keys.rotate_key(other)
    assert orders.keys(*rows, hashed="murmur64").counts("keys") == {"unchanged": 2}
    assert Key.objects.count() == 2


def test_a_key_is_the_same_raw_or_hashed(orders):
    orders.keys(row(hash_of("murmur64", TOKEN)), hashed="murmur64")
    assert orders.keys(row(TOKEN)).counts("keys") == {"unchanged": 1}


def test_a_changed_session_is_taken_and_holds_at_once(orders, judged):
    orders.keys(row("raw-key"))
    assert judged("raw-key").outcome is Outcome.PASSED
    assert orders.keys(row("raw-key", is_inactive=True)).counts("keys") == {"changed": 1}
    assert judged("raw-key").refusal is Refusal.INACTIVE_KEY


def test_a_revoked_key_is_not_brought_back(orders, judged):
    orders.keys(row("raw-key"))
    keys.revoke_key(Key.objects.get())
    report = orders.keys(row("raw-key", alias="new"))
    assert report.counts("keys") == {"unchanged": 1} and report.differs("revoked here")
    assert judged("raw-key").refusal is Refusal.UNKNOWN_KEY


def test_a_key_that_comes_twice_counts_as_its_last_row(orders):
    report = orders.keys(row("raw-key"), row("raw-key", alias="later"), row("raw-key", alias="later"))
    assert report.counts("keys") == {"created": 1, "changed": 1, "unchanged": 1}
    assert Key.objects.get().alias == "later"


def test_a_lot_is_cut_where_it_is_full(orders, monkeypatch):
    monkeypatch.setattr("tyk_migration.keys.LOT", 3)
    assert orders.keys(*(row(f"key-{number}") for number in range(10))).counts("keys") == {"created": 10}


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "options", "words"),
    [
        (row("raw-key", access_rights={}), {}, "/access_rights: a key without access rights and policies"),
        (row("raw-key", quota_max="many"), {}, "/quota_max: must be a whole number"),
        (row("raw-key", monitor={"trigger_limits": [50, 75]}), {}, "/monitor/trigger_limits"),
        (row("raw-key", meta_data={"rate_limit_pattern": "$tyk_context.remote_addr"}), {}, "rate_limit_pattern"),
        (row("ab"), {}, "3 to 256"),
        (row("no-hash"), {"hashed": "murmur64"}, "a murmur64 hash has 16 hexadecimal digits"),
        (row("01234567"), {"hashed": "murmur64"}, "it has the form of murmur32"),
        ({"key_hash": "zz", "session": SESSION}, {}, "names no algorithm"),
        ({"key": "raw-key", "session": 5}, {}, "must be a JSON object"),
    ],
)  # fmt: skip
def test_a_bad_row_is_refused_with_its_line_and_stops_nobody(orders, bad, options, words):
    good = row(hash_of("murmur64", "good")) if options else row("good-key")
    report = orders.keys(good, bad, **options)
    assert report.counts("keys") == {"created": 1, "refused": 1}
    assert report.reasons[0].startswith(f"{orders.folder}/keys.jsonl:2") and words in report.reasons[0]


def test_a_key_of_another_organisation_is_not_moved(orders):
    orders.keys(row("raw-key"))
    report = orders.keys(row("raw-key", org_id="globex"))
    assert report.counts("keys") == {"refused": 1} and "/org_id: must stay acme" in report.reasons[0]


def test_the_report_shows_no_raw_key(orders):
    report = orders.keys(row("secret-of-somebody", quota_max=0), row("other-secret-key", quota_max="x"))
    assert "secret-of" not in str(report.json) and "other-secret" not in str(report.json)


def test_a_dry_run_leaves_database_and_store_alone(orders, store):
    before = {name: store.type(name) for name in store.scan_iter()}
    dry = orders.keys(row("raw-key", quota_remaining=3), row("bad", quota_max="x"), is_dry=True)
    assert dry.counts("keys") == {"created": 1, "refused": 1} and dry.counts("counters") == {"created": 1}
    assert not Key.objects.exists() and {name: store.type(name) for name in store.scan_iter()} == before


# --- organisations ----------------------------------------------------------------------------------------------------


def test_organisation_sessions_are_taken_with_tyks_names(desk):
    session = {"quota_max": 1000, "quota_renewal_rate": 86400, "monitor": {"trigger_limits": [90]}}
    rows = [{"key": "orgkey.acme", "session": session}, {"key": "globex", "session": session}]
    report = desk.take(orgs=desk.lines("orgs.jsonl", rows))
    assert report.counts("organisations") == {"created": 2}
    assert [each.quota_max for each in OrgSession.objects.all()] == [1000, 1000]
    assert desk.take(orgs=desk.folder / "orgs.jsonl").counts("organisations") == {"unchanged": 2}


def test_organisations_among_the_keys_are_organisations(orders):
    report = orders.keys(row("raw-key"), {"key": "orgkey.acme", "session": {"quota_max": 5}})
    assert report.counts("keys") == {"created": 1} and report.counts("organisations") == {"created": 1}
    assert OrgSession.objects.get().quota_max == 5


def test_keys_among_the_organisations_are_refused(desk):
    report = desk.take(orgs=desk.lines("orgs.jsonl", [row("raw-key"), {"key": "acme", "session": {"org_id": "other"}}]))
    assert report.counts("organisations") == {"refused": 2}
    assert "--keys" in report.reasons[0] and "/org_id" in report.reasons[1]


def test_an_unknown_key_was_no_key_before(orders, judged):
    """What the gateway remembers of strangers does not outlive the import (rule 1.6)."""
    assert judged("only-its-user-knows").refusal is Refusal.UNKNOWN_KEY
    orders.keys(row(hash_of("murmur32", "only-its-user-knows")), hashed="murmur32")
    assert judged("only-its-user-knows").outcome is Outcome.PASSED
    assert tokens.digest("only-its-user-knows") == Credential.objects.get().digest
    grants.forget()
    assert RIGHTS["orders"]["api_id"] == judged("only-its-user-knows").grant.api_id


def test_keys_of_an_organisation_that_is_being_deleted_are_refused_and_stop_nobody(orders):
    Organisation.objects.create(id="leaving", name="Leaving", closed_at=datetime.now(UTC))
    report = orders.keys(row("key-1"), row("key-2", org_id="leaving"))
    assert report.counts("keys") == {"created": 1, "refused": 1} and "is being deleted" in report.reasons[0]
