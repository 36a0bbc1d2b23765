"""The demo data: made once, left alone afterwards, and true to what the README promises."""

import json
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.db.models import Sum
from django.utils import timezone

from demo.credentials import FREE_KEY_ID, demo_file
from monitors_app.models import Monitor
from organisations_app.models import Developer
from organisations_app.roles import AUDITOR, OPERATOR, SUPPORT, make_roles
from organisations_app.tenancy import organisations_for
from policies_app.models import Api, Policy
from sessions_app.keys import find_by_token, revoke_key
from sessions_app.models import Credential, Key, KeyPolicy, OrgSession, UsageDay, UsageHour

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


@pytest.fixture(autouse=True)
def var_dir(settings: Any, tmp_path: Path) -> None:
    settings.GATEWAY_VAR_DIR = tmp_path
    settings.GATEWAY_PORT = 8001


def seed() -> dict[str, Any]:
    call_command("seed_demo")
    kept: dict[str, Any] = json.loads(demo_file().read_text())
    return kept


def rows() -> list[Any]:
    """Everything that a second start must not touch."""
    tables = (Api, Policy, OrgSession, Key, Credential, KeyPolicy, Developer, Monitor, UsageHour)
    return [list(table.objects.order_by("pk").values()) for table in tables]


def test_makes_what_the_readme_promises() -> None:
    kept = seed()
    free, session, monitor = Policy.objects.get(pk="free"), OrgSession.objects.get(), Monitor.objects.get()
    assert (free.quota_max, free.quota_renewal_rate, free.trigger_limits, free.rate, free.per) == (
        10,
        60,
        [80, 50],
        5,
        1,
    )
    pattern = "$tyk_meta.DeveloperID|$tyk_meta.PlanID"
    assert Policy.objects.get(pk="pro").meta_data["rate_limit_pattern"] == pattern
    assert (session.organisation_id, session.quota_max, session.quota_renewal_rate) == ("acme", 1000, 86_400)
    assert session.trigger_limits == [90, 75]
    assert (monitor.is_gateway, monitor.is_enabled, monitor.event_timeout) == (True, True, 1)
    assert monitor.target_path == "http://127.0.0.1:8001/demo/inbox/"
    assert Api.objects.get().target_url == "http://127.0.0.1:8001/demo/upstream/"
    roles = dict(Developer.objects.values_list("user__email", "role"))
    assert roles == {"owner@acme.example": "admin", "developer@acme.example": "member"}
    assert authenticate(None, username="admin", password="demo-admin").is_superuser
    assert not authenticate(None, username="developer", password="demo-developer").is_staff
    owner = find_by_token(kept["free_key"]).application.developer
    assert owner.user.email == "developer@acme.example" and find_by_token(kept["pro_key"]) is not None
    assert stat.S_IMODE(demo_file().stat().st_mode) == 0o600


def test_has_a_login_for_each_role() -> None:
    make_roles(Group, Permission)
    seed()
    for role in (OPERATOR, SUPPORT, AUDITOR):
        login = authenticate(None, username=role, password=f"demo-{role}")
        assert login.is_staff and not login.is_superuser
        assert [group.name for group in login.groups.all()] == [role]
        assert organisations_for(login) == (frozenset({"acme"}) if role == SUPPORT else None)


def test_has_two_weeks_of_history() -> None:
    seed()
    oldest = UsageHour.objects.order_by("hour").first().hour
    assert timedelta(days=12) < timezone.now() - oldest < timedelta(days=15)
    hours, days = UsageHour.objects.aggregate(sum=Sum("passed")), UsageDay.objects.aggregate(sum=Sum("passed"))
    assert hours == days
    assert (
        UsageHour.objects.filter(denied__gt=0).exists()
        and not UsageHour.objects.filter(hour__gt=timezone.now()).exists()
    )


def test_a_second_start_changes_nothing() -> None:
    first = seed()
    before = rows()
    assert seed() == first and rows() == before


def test_what_people_changed_stays_changed() -> None:
    seed()
    Policy.objects.filter(pk="free").update(quota_max=99)
    Monitor.objects.update(target_path="https://hooks.example/")
    Api.objects.update(target_url="https://api.example/")
    revoke_key(Key.objects.get(pk=FREE_KEY_ID))
    before = rows()
    seed()
    assert rows() == before


def test_addresses_follow_another_port(settings: Any) -> None:
    seed()
    settings.GATEWAY_PORT = 9009
    assert seed()["port"] == 9009
    assert Monitor.objects.get().target_path == "http://127.0.0.1:9009/demo/inbox/"
    assert Api.objects.get().target_url == "http://127.0.0.1:9009/demo/upstream/"


def test_a_lost_file_gives_the_same_keys_new_values() -> None:
    old = seed()
    demo_file().unlink()
    new = seed()
    assert find_by_token(old["free_key"]) is None
    assert find_by_token(new["free_key"]).pk == FREE_KEY_ID and new["free_key"] != old["free_key"]


def test_a_lost_database_takes_the_values_of_the_file() -> None:
    old = seed()
    Key.objects.all().delete()
    assert seed() == old and find_by_token(old["free_key"]).pk == FREE_KEY_ID


def test_a_revoked_key_whose_value_is_lost_gets_a_successor() -> None:
    seed()
    revoke_key(Key.objects.get(pk=FREE_KEY_ID))
    demo_file().unlink()
    assert find_by_token(seed()["free_key"]).pk != FREE_KEY_ID
