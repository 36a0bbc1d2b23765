"""A member of staff who is confined to Acme sees nothing of Globex, and nothing that belongs to everybody: asked of
every address of the admin.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, get_resolver
from django.utils import timezone

from monitors_app.models import Monitor
from organisations_app.models import (
    Application,
    AttributeDefinition,
    AuditEntry,
    Developer,
    Job,
    Organisation,
    StaffConfinement,
)
from organisations_app.tenancy import organisations_for
from policies_app.drafts import policy_draft
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app.whatif import what_if
from tests.admin_pages import choices
from tests.admin_world import everything_of
from tests.factories import AcmeFactory, GlobexFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store", "quiet")]

MARKS = ("Globex", "globex", "Everybody", "everybody")


@pytest.fixture
def own() -> dict[type[Model], Model]:
    return everything_of(AcmeFactory.create(), "Acme")


@pytest.fixture
def foreign() -> list[Model]:
    globex = everything_of(GlobexFactory.create(), "Globex")
    everybodys = everything_of(None, "Everybody")
    return [*globex.values(), *everybodys.values(), Group.objects.create(name="Everybody")]


@pytest.fixture
def confined(client: Client) -> Client:
    """Logged in as somebody who may do everything, in Acme."""
    staff = User.objects.create_user("confined", is_staff=True)
    staff.user_permissions.set(Permission.objects.all())
    StaffConfinement.objects.create(user=staff).organisations.add(AcmeFactory.create())
    client.force_login(staff)
    return client


def addresses(row: Model) -> Iterator[str]:
    """Every address of the admin with this row in it: Django's, the theme's and our own."""
    model_admin = admin.site._registry[type(row)]
    base = f"/admin/{row._meta.app_label}/{row._meta.model_name}/"
    for pattern in model_admin.urls:
        if set(pattern.pattern.converters) == {"object_id"}:
            yield base + re.sub(r"<(\w+:)?\w+>", quote(str(row.pk)), str(pattern.pattern))


def lists() -> Iterator[str]:
    """Every address of a model's admin without a row in it: the list, the form for a new row, views of our own."""
    for model, model_admin in admin.site._registry.items():
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        yield from (base + str(pattern.pattern) for pattern in model_admin.urls if not pattern.pattern.converters)


def answers_nothing(response: Any) -> bool:
    """Not found, forbidden, or sent back to the start page."""
    if response.status_code in (403, 404, 405):
        return not marks_in(response)
    return bool(response.status_code == 302 and response["Location"] == "/admin/")


def marks_in(response: Any) -> list[str]:
    shown = b"".join(response).decode()  # an export is a stream
    return [mark for mark in MARKS if mark in shown]


def test_the_world_of_this_test_has_every_model_of_the_admin(own: Any, foreign: list[Model]) -> None:
    """A new admin must be asked, too."""
    known = {type(row) for row in foreign} | {AttributeDefinition}
    assert set(admin.site._registry) - known == set()


def test_no_address_answers_with_somebody_elses_row(confined: Client, own: Any, foreign: list[Model]) -> None:
    told, asked = [], 0
    for row in foreign:
        for address in addresses(row):
            asked += 1
            for ask in (confined.get, lambda at: confined.post(at, {"post": "yes", "confirmed": "yes"})):
                response = ask(address)
                if not answers_nothing(response):
                    told.append((address, response.status_code))
    assert told == [] and asked > 3 * len(foreign)


@pytest.mark.parametrize(
    ("act", "place"),
    [
        ("revoke", "sessions_app/key"),
        ("erase-organisation", "organisations_app/organisation"),
        ("what-if", "policies_app/policy"),
        ("of another release", "policies_app/policy"),
    ],
)
def test_the_page_of_a_job_is_for_who_began_it(confined: Client, own: Any, act: str, place: str) -> None:
    """A job may act on keys of several organisations, and its errors name them."""
    theirs, mine = (
        Job.objects.create(act=act, actor=f"admin:{name}", reason=name, given=given_of(name), errors=[["key_1", name]])
        for name in ("Globex", "confined")
    )
    for headers in ({}, {"HX-Request": "true"}):
        answer = confined.get(f"/admin/{place}/jobs/{theirs.pk}/", headers=headers)
        assert answer.status_code == 404 and not marks_in(answer)
        assert confined.get(f"/admin/{place}/jobs/{mine.pk}/", headers=headers).status_code == 200
    assert confined.post(f"/admin/{place}/jobs/{theirs.pk}/stop/", {"confirmed": "yes"}).status_code == 404
    assert not Job.objects.exclude(stop_asked_by="").exists()


def given_of(name: str) -> dict[str, Any]:
    """As what-ifs are given; other acts look at the name alone."""
    policy = Policy.objects.get(pk="policy-acme")
    asked = what_if(policy, policy_draft(policy, policy.access.all()), timezone.now(), organisations=["acme"])
    return {"name": name, "policy": policy.pk, "asked": asked.written(), "form": [["name", name]]}


def test_the_same_addresses_show_own_rows(confined: Client, own: dict[type[Model], Model], foreign: Any) -> None:
    """The walk over others' rows asks addresses that answer: nothing is refused only because it is misspelt."""
    for model, row in own.items():
        answers = {address: confined.get(address).status_code for address in addresses(row)}
        assert 404 not in answers.values() and list(answers.values()).count(200) >= 2, (model, answers)


def test_what_belongs_to_others_stays_as_it_is(confined: Client, own: Any, foreign: list[Model]) -> None:
    before, tried = {row: _values(row) for row in foreign}, set()
    for row in foreign:
        for address in addresses(row):
            confined.post(address, {"post": "yes", "confirmed": "yes", "name": "Taken over", "reason": "because"})
        base = f"/admin/{row._meta.app_label}/{row._meta.model_name}/"
        for name in admin.site._registry[type(row)].get_actions(_request_of(confined)):
            body = {"action": name, "_selected_action": [row.pk]}
            body |= {"post": "yes", "confirmed": "yes", "reason": "because"}
            tried.add(name)
            response = confined.post(base, body)
            assert not marks_in(response), (base, name)
    assert {row: _values(row) for row in foreign} == before
    assert {"delete_selected", "revoke_selected", "redeliver_selected"} <= tried


def _values(row: Model) -> Any:
    return type(row)._default_manager.filter(pk=row.pk).values().first()


def _request_of(client: Client) -> Any:
    response: Any = client.get("/admin/")
    return response.wsgi_request


def test_no_list_and_no_form_shows_somebody_elses_row(confined: Client, own: Any, foreign: list[Model]) -> None:
    told, shown = [], 0
    for address in lists():
        for asked in (address, f"{address}?q=e", f"{address}?all="):
            response = confined.get(asked)
            shown += response.status_code == 200
            if response.status_code == 200 and marks_in(response):
                told.append((asked, marks_in(response)))
    assert told == [] and shown > 3 * len(own)


def test_own_rows_are_shown_without_others(confined: Client, own: dict[type[Model], Model], foreign: Any) -> None:
    for model, row in own.items():
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        listed = confined.get(base)
        shown = confined.get(f"{base}{quote(str(row.pk))}/change/")
        assert (listed.status_code, shown.status_code) == (200, 200), model
        assert "acme" in shown.content.decode().lower(), model
        assert not marks_in(listed) and not marks_in(shown), model
        assert not marks_in(confined.get(f"{base}{quote(str(row.pk))}/history/"))


def test_filters_do_not_tell_names(confined: Client, own: Any, foreign: list[Model]) -> None:
    """A filter names what it is set to."""
    told, set_to = [], set()
    for model, model_admin in admin.site._registry.items():
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        for wanted in model_admin.get_list_filter(_request_of(confined)):
            if not isinstance(wanted, tuple):
                continue
            field = model._meta.get_field(str(wanted[0]))
            for row in foreign:
                if field.remote_field and isinstance(row, field.remote_field.model):
                    set_to.add(type(row))
                    asked = f"{base}?{wanted[0]}__{field.remote_field.model._meta.pk.name}__exact={row.pk}"
                    response = confined.get(asked)
                    shown = response.content.decode() if response.status_code == 200 else ""
                    told += [(asked, mark) for mark in ("Globex", "Everybody") if mark in shown]
    assert told == [] and {Organisation, Policy, Monitor} <= set_to


def test_choices_of_forms_are_own_rows(confined: Client, own: dict[type[Model], Model], foreign: list[Model]) -> None:
    """What a form takes: a choice that is not offered is refused when it is posted."""
    offered, looked_at = [], set()
    for model, row in own.items():
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        for page in (f"{base}add/", f"{base}{quote(str(row.pk))}/change/"):
            response: Any = confined.get(page)
            if response.status_code != 200:
                continue
            taken = list(choices(response))
            looked_at |= {type(each) for _, each in taken}
            offered += [(page, name, each) for name, each in taken if each in foreign]
    assert offered == [] and {Organisation, Developer, Application, Api, Policy} <= looked_at


def test_a_confined_member_of_staff_cannot_make_what_is_everybodys(confined: Client, own: Any) -> None:
    for page in ("monitors_app/monitor", "organisations_app/admintoken"):
        field = confined.get(f"/admin/{page}/add/").context["adminform"].form.fields["organisation"]
        assert field.required, page
    assert confined.get("/admin/organisations_app/organisation/add/").status_code == 403


def test_autocomplete_fields_offer_own_rows(confined: Client, own: Any, foreign: list[Model]) -> None:
    told, offered = [], set()
    for model, model_admin in admin.site._registry.items():
        inlines = [inline(model, admin.site) for inline in model_admin.inlines]
        for owner in (model_admin, *inlines):
            for name in owner.autocomplete_fields:
                field = {"app_label": owner.model._meta.app_label, "model_name": owner.model._meta.model_name}
                response = confined.get("/admin/autocomplete/", {**field, "field_name": name, "term": ""})
                if response.status_code == 200:
                    offered |= {name for result in response.json()["results"] if "acme" in str(result).lower()}
                    told += [(model, name)] if marks_in(response) else []
    assert told == [] and {"organisation", "application", "policy", "api"} <= offered


def test_a_raw_key_of_others_is_not_found(confined: Client, own: Any, foreign: list[Model]) -> None:
    """Not even whether it exists."""
    keys = "/admin/sessions_app/key/"
    theirs, nobodys, mine = (
        confined.post(f"{keys}find/", {"q": token})
        for token in ("raw-key-of-globex", "no-key-at-all", "raw-key-of-acme")
    )
    assert theirs["Location"] == nobodys["Location"] == keys
    assert "key_5Facme" in mine["Location"]
    assert confined.get(keys, {"q": "raw-key-of-globex"}).status_code == 200


def test_the_start_page_counts_own_requests_only(confined: Client, own: Any, foreign: list[Model]) -> None:
    assert not marks_in(confined.get("/admin/"))


def test_pages_outside_models_tell_nothing(confined: Client, own: Any, foreign: list[Model]) -> None:
    [included] = [pattern for pattern in get_resolver().url_patterns if str(pattern.pattern) == "admin/"]
    shown = 0
    for pattern in included.url_patterns:
        if isinstance(pattern, URLPattern) and not pattern.pattern.converters:
            response = confined.get(f"/admin/{str(pattern.pattern).strip('^$')}")
            shown += response.status_code == 200
            assert not marks_in(response), pattern
    assert shown >= 3


def test_who_is_confined_to_nothing_sees_nothing(confined: Client, own: dict[type[Model], Model]) -> None:
    """As after the last organisation was deleted: not suddenly everything."""
    Organisation.objects.get(pk="acme").delete()
    GlobexFactory.create()
    staff = User.objects.get(username="confined")
    assert organisations_for(staff) == frozenset()
    assert not marks_in(confined.get("/admin/organisations_app/organisation/"))


def test_superusers_and_the_unconfined_see_all(client: Client, admin_client: Client, own: Any, foreign: Any) -> None:
    staff = User.objects.create_user("free", is_staff=True)
    staff.user_permissions.set(Permission.objects.all())
    StaffConfinement.objects.create(user=User.objects.get(username="admin"))
    client.force_login(staff)
    for each in (client, admin_client):
        assert "Globex" in each.get("/admin/sessions_app/key/").content.decode()


def test_the_confinement_is_asked_for_once(own: Any, django_assert_num_queries: Any) -> None:
    staff = User.objects.create_user("busy", is_staff=True)
    with django_assert_num_queries(1):
        assert organisations_for(staff) is None
        assert organisations_for(staff) is None


def test_what_a_page_has_from_others_already_can_be_saved_again(confined: Client, own: Any, foreign: Any) -> None:
    """Somebody who sees everything gave Acme's policy access to Globex's API."""
    right = PolicyAccess.objects.create(policy_id="policy-acme", api_id="api-globex")
    form = confined.get("/admin/policies_app/policy/policy-acme/change/").context["inline_admin_formsets"][0].formset
    assert right.api in form.forms[1].fields["api"].queryset
    assert not AuditEntry.objects.filter(actor="admin:confined").exists()
