"""The big database for measurements, made small."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from monitors_app.models import Attempt, Delivery, TriggerEvent
from organisations_app.models import Application, AuditEntry, Organisation
from policies_app.models import Policy
from sessions_app.keys import create_key
from sessions_app.models import CounterShare, Credential, Key, KeyPolicy, OrgSession, UsageHour, UsageSnapshot
from sessions_app.usage import key_quotas

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

SMALL = {"keys": 60, "policies": 100, "hours": 200, "events": 20}


def seed(**changes: Any) -> str:
    said = StringIO()
    call_command("seed_scale", stdout=said, **{"yes": True, **SMALL, **changes})
    return said.getvalue()


def test_makes_as_many_as_asked_for_and_says_how_many_rows() -> None:
    assert "rows are written" in seed()
    counts = {model: model._default_manager.count() for model in (Key, Credential, Policy, UsageHour)}
    assert counts == {Key: 60, Credential: 60, Policy: 100, UsageHour: 200}
    assert KeyPolicy.objects.count() == 66 and Organisation.objects.count() == OrgSession.objects.count() == 2
    assert TriggerEvent.objects.count() == AuditEntry.objects.count() == 20
    assert Delivery.objects.count() == Attempt.objects.count() == 40


def test_the_keys_have_policies_of_their_own_organisation_and_live_usage() -> None:
    seed()
    for key in Key.objects.prefetch_related("policies", "application"):
        assert {policy.organisation_id for policy in key.policies.all()} == {key.organisation_id}
        assert key.application.organisation_id == key.organisation_id
    key = Key.objects.get(pk="key_scale000000002")
    [quota] = key_quotas([key])[key.pk]
    assert (quota.used, quota.max) == (2 * 7919 % 1001, 1000)


def test_keys_of_some_plans_count_together() -> None:
    seed()
    sharers = set(CounterShare.objects.values_list("key_id", flat=True))
    assert 0 < len(sharers) < 60 and UsageSnapshot.objects.exclude(key_id="").count() == 60 - len(sharers)
    quotas = key_quotas(list(Key.objects.filter(pk__in=sharers, organisation="scale-0001")))
    assert {(quota.used, quota.shared) for found in quotas.values() for quota in found} == {(7919 % 1001, True)}


def test_the_database_goes_on_counting_beyond_it() -> None:
    seed()
    organisation = Organisation.objects.get(pk="scale-0001")
    application = Application.objects.filter(organisation=organisation).first()
    Application.objects.create(organisation=organisation, developer=application.developer, name="One more")
    assert create_key(Key(organisation=organisation, alias="One more"))


def test_usage_lies_in_the_past_and_is_never_doubled() -> None:
    seed(keys=10, hours=10 * 720)
    assert UsageHour.objects.count() == 7200 and not UsageHour.objects.filter(hour__gt=timezone.now()).exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"yes": False}, "DEBUG is off"),
        ({"keys": 3}, "--keys must be at least 10, not 3"),
        ({"hours": 60 * 720 + 1}, "--hours must be at most 43,200 for 60 keys"),
    ],
)
def test_refuses_what_cannot_be_meant(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        seed(**changes)
    assert not Key.objects.exists()


def test_refuses_a_second_time() -> None:
    seed()
    with pytest.raises(CommandError, match="there already"):
        seed()
