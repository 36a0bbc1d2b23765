"""Import of API definitions and policies."""

import pytest

from organisations_app.models import AuditEntry, ConfigVersion, Organisation
from policies_app.models import Api, Policy
from tests.tyk_migration.conftest import API, POLICY, SAMPLES, needs_samples
from tyk_migration.importing import Unreadable

pytestmark = pytest.mark.django_db


def test_definitions_and_policies_are_made_with_their_organisation(orders):
    assert Api.objects.get().listen_path == "/orders/"
    policy = Policy.objects.get()
    assert (policy.pk, policy.quota_max, [right.api_id for right in policy.access.all()]) == ("gold", 100, ["orders"])
    assert Organisation.objects.get().pk == "acme"


def test_importing_the_same_again_changes_nothing(orders):
    versions = list(ConfigVersion.objects.order_by("pk").values_list("scope", "number"))
    entries = AuditEntry.objects.count()
    again = orders.take(apis=orders.folder / "apis", policies=orders.folder / "policies.json")
    assert again.counts("apis") == again.counts("policies") == {"unchanged": 1}
    assert list(ConfigVersion.objects.order_by("pk").values_list("scope", "number")) == versions
    assert AuditEntry.objects.count() == entries == 1


def test_the_order_of_access_rights_means_nothing(desk):
    rights = {name: {"api_id": name} for name in ("b", "a")}
    desk.take(policies=desk.file("p.json", {"gold": POLICY | {"access_rights": rights}}))
    turned = dict(reversed(rights.items()))
    report = desk.take(policies=desk.file("p.json", {"gold": POLICY | {"access_rights": turned}}))
    assert report.counts("policies") == {"unchanged": 1}


def test_a_change_is_taken(orders):
    report = orders.take(policies=orders.file("policies.json", {"gold": POLICY | {"quota_max": 7}}))
    assert report.counts("policies") == {"changed": 1} and Policy.objects.get().quota_max == 7


def test_what_names_no_organisation_belongs_to_the_default_one(desk):
    document = {name: value for name, value in POLICY.items() if name != "org_id"}
    desk.take(policies=desk.file("p.json", {"gold": document}))
    assert Policy.objects.get().organisation_id == "default"


def test_a_bad_row_stops_nobody_and_names_file_and_pointer(desk):
    policies = {"bad": POLICY | {"quota_max": "many"}, "good": POLICY, "nobody": 5}
    report = desk.take(policies=desk.file("p.json", policies))
    assert report.counts("policies") == {"created": 1, "refused": 2}
    assert report.reasons[0].startswith(f"{desk.folder}/p.json#/bad/quota_max: must be a whole number")
    assert "#/nobody: must be a JSON object" in report.reasons[1]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (API | {"api_id": ""}, "has no id"),
        (API | {"proxy": {}}, "/proxy/listen_path: is required"),
        (API | {"proxy": {"listen_path": "/admin/"}}, "reserved"),
        ({"openapi": "3.0.3", "x-tyk-api-gateway": {}}, "classic form"),
    ],
)
def test_a_wrong_definition_is_refused(desk, document, words):
    report = desk.take(apis=desk.file("api.json", document))
    assert report.counts("apis") == {"refused": 1} and words in report.reasons[0]


def test_two_definitions_on_one_path_are_one_too_many(desk):
    report = desk.take(apis=desk.file("apis.json", [API, API | {"api_id": "other"}]))
    assert report.counts("apis") == {"created": 1, "refused": 1} and "/proxy/listen_path" in report.reasons[0]


def test_no_json_in_a_folder_changes_nothing(desk):
    desk.file("apis/good.json", API)
    desk.file("apis/wrong.json", '{"api_id": ')
    with pytest.raises(Unreadable, match=r"wrong.json: no JSON at line 1"):
        desk.take(apis=desk.folder / "apis")
    assert not Api.objects.exists()


def test_a_strict_import_is_all_or_nothing(desk):
    parts = {"apis": desk.file("a.json", API), "policies": desk.file("p.json", {"bad": POLICY | {"rate": "x"}})}
    report = desk.take(**parts, is_strict=True)
    assert report.report.refused == 1 and not Api.objects.exists() and not AuditEntry.objects.exists()
    desk.file("p.json", {"good": POLICY})
    assert not desk.take(**parts, is_strict=True).report.refused and Api.objects.exists() and Policy.objects.exists()


def test_a_dry_run_changes_nothing_and_says_the_same(desk):
    parts = {"apis": desk.file("a.json", API), "policies": desk.file("p.json", {"good": POLICY})}
    dry = desk.take(**parts, is_dry=True)
    assert not Api.objects.exists() and not Organisation.objects.exists() and not ConfigVersion.objects.exists()
    assert dry.json["kinds"] == desk.take(**parts).json["kinds"]


@needs_samples
def test_tyks_samples_are_taken_and_only_contradictory_policies_refused(desk):
    parts = {"apis": SAMPLES / "apps", "policies": SAMPLES / "policies"}
    report = desk.take(**parts)
    assert report.counts("apis") == {"created": 3}
    assert report.counts("policies") == {"created": 59, "refused": 2}
    assert {each.name for each in report.report.refusals} == {"per_api_and_partitions", "per_api_and_some_partitions"}
    assert {each.pointer for each in report.report.refusals} == {"/partitions"}
    again = desk.take(**parts)
    assert again.counts("apis") == {"unchanged": 3} and again.counts("policies") == {"unchanged": 59, "refused": 2}
