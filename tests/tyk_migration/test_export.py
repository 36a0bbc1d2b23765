"""Exporting, importing into an empty gateway and exporting again gives the same bytes."""

import json
import string
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from monitors_app.models import Monitor
from organisations_app.models import Organisation
from policies_app.models import Api, Policy
from sessions_app import keys
from sessions_app.engine.types import Outcome
from sessions_app.models import Credential, Key
from tests.tyk_migration.conftest import API, POLICY, RIGHTS, SAMPLES, SESSION, Desk, needs_samples
from tyk_migration.exporting import export

pytestmark = pytest.mark.django_db(transaction=True)
MONITOR = {
    "enable_trigger_monitors": True,
    "configuration": {
        "target_path": "https://hooks.example/quota",
        "header_map": {"X-Secret": "s3cret"},
        "event_timeout": 10,
        "template": '{"a": "{{ key }}"}',
    },
    "global_trigger_limit": 12.5,
    "monitor_user_keys": True,
    "novelty": {"kept": [1, 2.5, None]},
}


def exported(folder: Path, organisation_id: str | None = None, *, with_secrets: bool = True) -> dict[str, str]:
    export(folder, organisation_id, with_secrets=with_secrets)
    return {
        str(file.relative_to(folder)): file.read_text()
        for file in [*sorted(folder.rglob("*.json*")), *folder.glob("*.conf")]
    }


def imported(desk: Desk, folder: Path) -> Any:
    return desk.take(
        conf=folder / "tyk.conf",
        apis=folder / "apis",
        policies=folder / "policies.json",
        keys=folder / "keys.jsonl",
        orgs=folder / "orgs.jsonl",
    )


def emptied() -> None:
    Organisation.objects.all().delete()
    Monitor.objects.all().delete()


def check_round_trip(desk: Desk, folder: Path) -> dict[str, str]:
    """Also: importing the export where it came from changes nothing."""
    first = exported(folder / "first")
    again = imported(desk, folder / "first")
    assert not again.report.changes and not again.report.refused, (again.reasons, again.json["kinds"])
    emptied()
    back = imported(desk, folder / "first")
    assert not back.report.refused, back.reasons
    assert exported(folder / "second") == first
    return first


def test_everything_comes_back_byte_for_byte(orders, tmp_path):
    orders.take(
        conf=orders.file("tyk.conf", {"monitor": MONITOR}),
        orgs=orders.lines(
            "orgs.jsonl", [{"key": "acme", "session": {"quota_max": 5, "meta_data": {"z": 1, "a": [True]}}}]
        ),
        keys=orders.lines(
            "keys.jsonl",
            [
                {"key": "raw-key-1", "session": SESSION | {"expires": 2_000_000_000, "novelty": {"kept": "Ü"}}},
                {"key": "raw-key-2", "session": SESSION | {"apply_policies": ["gold"], "access_rights": {}}},
            ],
        ),
    )
    files = check_round_trip(orders, tmp_path)
    assert sorted(files) == ["apis/orders.json", "keys.jsonl", "orgs.jsonl", "policies.json", "tyk.conf"]
    assert keys.find_by_token("raw-key-1").extra == {"novelty": {"kept": "Ü"}}
    assert "raw-key" not in str(files) and "s3cret" in files["tyk.conf"]


def test_keys_open_after_the_move_with_the_same_pepper(orders, tmp_path, judged, settings):
    key = Key(organisation_id="acme")
    token = keys.create_key(key, policies=["gold"])
    export(tmp_path / "out")
    emptied()
    imported(orders, tmp_path / "out")
    assert judged(token).outcome is Outcome.PASSED and Key.objects.get().pk == key.pk


def test_a_rotated_key_keeps_the_secret_that_still_works(orders, tmp_path, judged):
    key = Key(organisation_id="acme")
    old = keys.create_key(key, policies=["gold"])
    new = keys.rotate_key(key, overlap_seconds=3600)
    check_round_trip(orders, tmp_path)
    assert judged(old).outcome is judged(new).outcome is Outcome.PASSED
    assert Credential.objects.filter(expires_at__gt=timezone.now()).count() == 1


def test_another_pepper_is_refused_with_the_way_out(orders, tmp_path, settings):
    keys.create_key(Key(organisation_id="acme"), policies=["gold"])
    export(tmp_path / "out")
    emptied()
    settings.GATEWAY_KEY_PEPPER = "another one"
    report = imported(orders, tmp_path / "out")
    assert report.counts("keys") == {"refused": 1} and "GATEWAY_KEY_PEPPER_FALLBACKS" in report.reasons[0]


def test_a_hashed_key_that_nobody_used_yet_moves_on(orders, tmp_path, judged):
    orders.keys({"key": "248bfa47", "session": SESSION}, hashed="murmur32")
    check_round_trip(orders, tmp_path)
    assert judged("hello").outcome is Outcome.PASSED


def test_secrets_are_masked_unless_asked_for(orders, tmp_path):
    orders.take(conf=orders.file("tyk.conf", {"monitor": MONITOR}))
    files = exported(tmp_path / "out", with_secrets=False)
    assert "s3cret" not in str(files) and "whsec_" not in str(files)
    report = imported(orders, tmp_path / "out")
    assert report.counts("monitor") == {"unchanged": 1}


def test_one_organisation_alone(orders, tmp_path):
    orders.take(apis=orders.file("g.json", API | {"api_id": "g", "org_id": "globex", "proxy": {"listen_path": "/g/"}}))
    files = exported(tmp_path / "out", "globex")
    assert sorted(files) == ["apis/g.json", "keys.jsonl", "orgs.jsonl", "policies.json"]
    assert files["policies.json"] == "{}\n"


def test_revoked_keys_stay_where_they_are(orders, tmp_path):
    keys.create_key(key := Key(organisation_id="acme"), policies=["gold"])
    keys.revoke_key(key)
    assert exported(tmp_path / "out")["keys.jsonl"] == ""


@needs_samples
def test_tyks_samples_come_back(desk, tmp_path):
    desk.take(apis=SAMPLES / "apps", policies=SAMPLES / "policies")
    files = check_round_trip(desk, tmp_path)
    for name in ("app_sample", "jq", "quickstart"):
        document = json.loads((SAMPLES / "apps" / f"{name}.json").read_text())
        shown = json.loads(files[f"apis/{document['api_id']}.json"])
        assert {member: shown[member] for member in document} == document
    original = json.loads((SAMPLES / "policies" / "policies.json").read_text())["default"]
    shown = json.loads(files["policies.json"])["default"]
    assert {member: shown[member] for member in original} == original


# --- whatever they hold -----------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
FREE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(-1e6, 1e6, width=32).map(lambda x: x + 0.0)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.text(string.ascii_letters, min_size=1, max_size=10).map(lambda name: f"x_{name}")
EXTRA = st.dictionaries(NAMES, FREE, max_size=3)
THRESHOLDS = st.sets(st.integers(1, 200), max_size=5).map(
    lambda halves: sorted((half / 2 for half in halves), reverse=True)
)
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "quota_max": st.sampled_from([-1, 0, 1, 10**15]) | st.integers(1, 1000),
        "quota_renewal_rate": st.integers(-1, 10**6),
        "rate": st.floats(0, 1000, allow_subnormal=False) | st.integers(0, 5),
        "per": st.integers(0, 60),
        "throttle_interval": st.sampled_from([-1, 0, 0.5, 2]),
        "throttle_retry_limit": st.integers(0, 5),
    },
)
RIGHTS_GIVEN = st.dictionaries(
    st.sampled_from(["orders", "users", "gone"]),
    st.builds(lambda limit, extra: {**extra, "limit": limit}, st.none() | LIMITS, EXTRA),
    max_size=3,
)
COMMON = st.fixed_dictionaries(
    {},
    optional={
        "tags": st.lists(TEXTS, max_size=3),
        "meta_data": st.dictionaries(TEXTS, FREE, max_size=3),
        "is_inactive": st.booleans(),
        "monitor": THRESHOLDS.map(lambda limits: {"trigger_limits": limits}),
    },
)


def documents(**fixed: Any) -> st.SearchStrategy[dict[str, Any]]:
    parts = st.tuples(EXTRA, LIMITS, COMMON, RIGHTS_GIVEN)
    return parts.map(lambda each: {**each[0], **each[1], **each[2], "access_rights": each[3], **fixed})


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.reuse, Phase.generate])
@given(
    api=EXTRA,
    policy=documents(org_id="acme"),
    sessions=st.lists(documents(org_id="acme"), max_size=3),
    organisation=documents(),
)
def test_whatever_they_hold_comes_back(tmp_path_factory, api, policy, sessions, organisation):
    emptied()
    folder = tmp_path_factory.mktemp("round")
    desk = Desk(folder)
    rows = [
        {"key": f"raw-key-{number}", "session": {**session, "apply_policies": ["gold"] if number % 2 else []}}
        for number, session in enumerate(sessions)
    ]
    desk.take(
        apis=desk.file("api.json", {**api, **API}),
        policies=desk.file("p.json", {"gold": policy}),
        orgs=desk.lines("orgs.jsonl", [{"key": "acme", "session": organisation}]),
        keys=desk.lines("keys.jsonl", rows),
    )
    assert Api.objects.exists() and Policy.objects.exists()
    check_round_trip(desk, folder)


def test_the_cast_is_complete():
    """What the property test builds on is itself taken."""
    assert POLICY["access_rights"] is RIGHTS
