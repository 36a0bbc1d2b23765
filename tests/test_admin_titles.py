"""Every page of the admin has a title in words, by which its tab is told from the others."""

import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group
from django.test import Client
from django.utils.text import capfirst

from organisations_app.models import AttributeDefinition
from tests.admin_addresses import addresses
from tests.admin_world import everything_of
from tests.factories import AcmeFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store", "quiet")]

NO_WORDS = re.compile(r"to (change|view) \||^Delete \||None|object \(|_|&lt;")


@pytest.fixture
def world() -> dict[Any, Any]:
    rows: dict[Any, Any] = everything_of(AcmeFactory.create(), "Acme")
    rows[Group] = Group.objects.first() or Group.objects.create(name="Operators")
    rows[AttributeDefinition] = AttributeDefinition.objects.create(name="team")
    return rows


def title_of(client: Client, url: str) -> str:
    html = client.get(url).content.decode()
    found = re.search(r"<title>(.*?)</title>", html, re.S)
    return " ".join(found[1].split()) if found else ""


def test_every_page_has_a_title_in_words(admin_client: Client, world: Any) -> None:
    titles = {}
    for address in addresses(admin_client):
        response = admin_client.get(address.url)
        if response.status_code == 200 and "text/html" in response["Content-Type"] and b"<html" in response.content:
            titles[address.name] = title_of(admin_client, address.url)
    wrong = {name: title for name, title in titles.items() if NO_WORDS.search(title) or " | Tollgate" not in title}
    assert wrong == {} and len(titles) > 100


def test_lists_forms_and_deletions_say_of_what(admin_client: Client, world: Any) -> None:
    for model, row in world.items():
        opts, owner = model._meta, admin.site._registry[model]
        base = f"/admin/{opts.app_label}/{opts.model_name}/"
        request: Any = admin_client.get("/admin/").wsgi_request
        assert title_of(admin_client, base) == f"{capfirst(opts.verbose_name_plural)} | Tollgate"
        if owner.has_add_permission(request):
            assert title_of(admin_client, f"{base}add/") == f"Add {opts.verbose_name} | Tollgate"
        if owner.has_delete_permission(request, row):
            assert title_of(admin_client, f"{base}{quote(row.pk)}/delete/") == f"Delete {row}? | Tollgate"
