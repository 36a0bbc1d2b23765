"""No page of the admin asks the database more than twelve times, whatever it shows."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from organisations_app.models import AdminToken, AttributeDefinition, Organisation
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app.models import Key, KeyAccess, KeyPolicy
from tests.admin_addresses import addresses

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store", "quiet")]

MOST_STATEMENTS = 12
REFUSED = (302, 403, 405)  # leads elsewhere; nobody may; wants a POST


@pytest.fixture
def filled() -> None:
    """More rows than a page shows; the oldest key and policy with many rights, whose names must not cost one each."""
    call_command("seed_scale", verbosity=0, yes=True, keys=120, policies=100, hours=500, events=60, stdout=_Nowhere())
    organisation = Organisation.objects.get(pk="scale-0000")
    apis = [Api(id=f"api-{n}", organisation=organisation, name=f"N{n}", listen_path=f"/n{n}/") for n in range(8)]
    Api.objects.bulk_create(apis)
    key, policy = Key.objects.order_by("pk").first(), Policy.objects.order_by("pk").first()
    assert key is not None and policy is not None
    KeyAccess.objects.bulk_create(KeyAccess(key=key, api=api, has_limit=True, quota_max=5) for api in apis)
    PolicyAccess.objects.bulk_create(PolicyAccess(policy=policy, api=api) for api in apis)
    applied = set(KeyPolicy.objects.filter(key=key).values_list("policy", flat=True))
    others = Policy.objects.exclude(pk__in=applied)[:6]
    KeyPolicy.objects.bulk_create(KeyPolicy(key=key, policy=other, position=9) for other in others)
    AdminToken.objects.create(name="Reports", organisation=organisation, scopes=["keys:read"], digest="d", hint="h")
    AttributeDefinition.objects.create(name="team")
    Group.objects.get_or_create(name="Operators")  # the shipped ones are gone after a test that empties the database


class _Nowhere:
    def write(self, *_args: Any) -> None:
        pass

    def isatty(self) -> bool:
        return False


def test_every_page_needs_at_most_12_statements(admin_client: Client, filled: None) -> None:
    shown, broken, asked_too_often = set(), [], []
    for address in addresses(admin_client):
        with CaptureQueriesContext(connection) as queries:
            status = admin_client.get(address.url).status_code
        if status == 200:
            shown.add(address.name)
        elif status not in REFUSED:
            broken.append((address.name, status))
        if len(queries) > MOST_STATEMENTS:
            asked_too_often.append((address.name, len(queries)))
    assert (broken, asked_too_often) == ([], [])
    models = [model._meta.model_name for model in admin.site._registry]
    pages = [f"{model}: {page}" for model in models for page in ("list", "last page", "change")]
    assert [page for page in pages if page not in shown] == [] and len(shown) > 200
