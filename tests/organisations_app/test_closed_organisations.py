"""An organisation that waits to be erased, and what belongs to it: shown, but neither chosen nor changed by anybody."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.test import Client
from django.utils import timezone

from monitors_app.models import Monitor
from organisations_app.models import AdminToken, Application, Developer, Organisation, StaffConfinement
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app.models import Key, KeyPolicy, OrgSession
from tests.admin_pages import choices, errors_of, form_values, submit
from tests.admin_world import everything_of
from tests.administration import Administration, pointers
from tests.factories import AcmeFactory, GlobexFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store", "quiet")]

WITH_ORGANISATION = (Developer, Application, Api, Policy, Key, OrgSession, Monitor, AdminToken)


@pytest.fixture
def closed() -> dict[Any, Any]:
    """A row of each kind of Acme's, which is closed; Globex has as many."""
    rows = everything_of(AcmeFactory.create(), "Acme")
    everything_of(GlobexFactory.create(), "Globex")
    Organisation.objects.filter(pk="acme").update(closed_at=timezone.now())
    return {model: model._default_manager.get(pk=row.pk) for model, row in rows.items()}


def page(model: type[Model], pk: Any = None) -> str:
    base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    return f"{base}add/" if pk is None else f"{base}{quote(str(pk))}/change/"


def is_of_acme(row: Any) -> bool:
    return "acme" in (row.pk, getattr(row, "organisation_id", None))


# --- choices ----------------------------------------------------------------------------------------------------------


def test_no_form_takes_what_is_being_deleted(admin_client: Client, closed: Any) -> None:
    taken, seen = [], set()
    for model in admin.site._registry:
        response = admin_client.get(page(model))
        if response.status_code != 200:
            continue
        offered = list(choices(response))
        seen |= {type(row) for _, row in offered}
        taken += [(model, name, row) for name, row in offered if is_of_acme(row)]
    assert taken == [] and {Organisation, Developer, Application, Api, Policy} <= seen


def test_no_autocomplete_field_offers_it(admin_client: Client, closed: Any) -> None:
    told, offered = [], set()
    for model, model_admin in admin.site._registry.items():
        confinement: list[Any] = [(StaffConfinement, "organisations")] if model is User else []
        inlines = [(inline.model, name) for inline in model_admin.inlines for name in inline.autocomplete_fields]
        for owner, name in [*((model, name) for name in model_admin.autocomplete_fields), *inlines, *confinement]:
            asked = {"app_label": owner._meta.app_label, "model_name": owner._meta.model_name, "field_name": name}
            results = str(admin_client.get("/admin/autocomplete/", {**asked, "term": ""}).json()["results"]).lower()
            offered |= {(owner, name)} if "globex" in results else set()
            told += [(owner, name)] if "acme" in results and name != "user" else []
    assert told == []
    assert {(model, "organisation") for model in WITH_ORGANISATION} <= offered
    assert {(StaffConfinement, "organisations"), (KeyPolicy, "policy"), (PolicyAccess, "api")} <= offered


@pytest.mark.parametrize("model", WITH_ORGANISATION)
def test_it_is_refused_at_the_field_in_words(admin_client: Client, closed: Any, model: Any) -> None:
    before = model._default_manager.count()
    response = submit(admin_client, page(model), organisation="acme")
    assert "it is being deleted with its organisation. Choose another" in errors_of(response)["organisation"]
    assert model._default_manager.count() == before


def test_nobody_is_confined_to_it_anew(admin_client: Client, closed: Any) -> None:
    staff = User.objects.create_user("staff", is_staff=True)
    values = form_values(admin_client.get(page(User, staff.pk)))
    row = {"confinement-TOTAL_FORMS": 1, "confinement-0-organisations": ["acme"]}
    response: Any = admin_client.post(page(User, staff.pk), {**values, **row})
    assert "Choose another" in errors_of(response)["confinement-0-organisations"]


def test_who_is_confined_to_it_already_stays_so(admin_client: Client, closed: Any) -> None:
    staff = User.objects.create_user("staff", is_staff=True)
    StaffConfinement.objects.create(user=staff).organisations.set(Organisation.objects.all())
    assert submit(admin_client, page(User, staff.pk), first_name="Sam").status_code == 302
    assert {each.pk for each in staff.confinement.organisations.all()} == {"acme", "globex"}


def test_what_a_page_has_from_it_already_can_be_saved_again(admin_client: Client, closed: Any) -> None:
    PolicyAccess.objects.create(policy_id="policy-globex", api_id="api-acme")
    KeyPolicy.objects.create(key_id="key_globex", policy_id="policy-acme", position=9)
    assert submit(admin_client, page(Policy, "policy-globex"), name="New").status_code == 302
    assert submit(admin_client, page(Key, "key_globex"), alias="New").status_code == 302
    assert PolicyAccess.objects.filter(policy="policy-globex", api="api-acme").exists()


def test_its_policies_are_not_assigned_to_others_keys(admin_client: Client, closed: Any) -> None:
    action = "/admin/sessions_app/key/key_5Fglobex/assign_policy/"
    answer = admin_client.post(action, {"confirmed": "yes", "policy": "policy-acme"})
    assert "policy" in answer.context["form"].errors
    assert admin_client.post(action, {"confirmed": "yes", "policy": "policy-globex"}).status_code == 302


# --- its rows ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", WITH_ORGANISATION)
def test_its_rows_are_read_only_and_say_why(admin_client: Client, closed: Any, model: Any) -> None:
    row = closed[model]
    before = model._default_manager.filter(pk=row.pk).values().get()
    shown = admin_client.get(page(model, row.pk))
    html = shown.content.decode()
    assert shown.status_code == 200 and 'name="_save"' not in html
    assert "This is being deleted: until a worker" in html
    sent = {"name": "Changed", "is_active": "on", "is_enabled": "on", "organisation": "globex"}
    assert admin_client.post(page(model, row.pk), sent).status_code == 403
    assert model._default_manager.filter(pk=row.pk).values().get() == before


def test_an_api_is_not_tried_any_more(admin_client: Client, closed: Any) -> None:
    assert 'id="try-form"' not in admin_client.get(page(Api, "api-acme")).content.decode()
    assert 'id="try-form"' in admin_client.get(page(Api, "api-globex")).content.decode()


def test_a_list_filter_names_it_as_long_as_it_has_rows(admin_client: Client, closed: Any) -> None:
    listed = admin_client.get("/admin/policies_app/api/", {"organisation__id__exact": "acme"})
    html = listed.content.decode()
    assert "/acme/" in html and "/globex/" not in html


# --- the administration APIs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/apis", {"name": "New", "listen_path": "/new/"}),
        ("/policies", {"name": "New"}),
        ("/developers", {"email": "new@acme.example"}),
        ("/monitors", {"name": "New"}),
        ("/tokens", {"name": "New", "scopes": ["keys:read"]}),
        ("/keys", {"apply_policies": ["policy-globex"]}),
    ],
)
def test_over_rest_it_is_an_organisation_that_does_not_exist(
    rest: Administration, closed: Any, path: str, body: Any
) -> None:
    status, problem = rest.refused("POST", path, {**body, "org_id": "acme"})
    assert (status, pointers(problem)) == (400, ["/org_id"]) and "no organisation that exists" in problem["detail"]


def test_over_rest_its_rows_are_neither_switched_on_nor_moved(rest: Administration, closed: Any) -> None:
    monitor, developer, application = (closed[model].pk for model in (Monitor, Developer, Application))
    Api.objects.filter(organisation="acme").update(is_active=False)
    Monitor.objects.filter(organisation="acme").update(is_enabled=False)
    for path, body in (
        ("/apis/api-acme", {"is_active": True}),
        ("/apis/api-acme", {"org_id": "globex", "is_active": True}),
        (f"/monitors/{monitor}", {"is_enabled": True}),
        (f"/monitors/{monitor}", {"org_id": "globex", "is_enabled": True}),
        ("/policies/policy-acme", {"name": "Changed"}),
        ("/policies/policy-acme", {"org_id": "globex"}),
        (f"/developers/{developer}", {"role": "admin"}),
        (f"/applications/{application}", {"name": "Changed"}),
        ("/keys/key_acme", {"alias": "Changed"}),
    ):
        status, problem = rest.refused("PATCH", path, body)
        assert (status, pointers(problem)) == (400, ["/org_id"]), (path, problem)
    assert not Api.objects.get(pk="api-acme").is_active and not Monitor.objects.get(pk=monitor).is_enabled


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/applications", {"name": "New", "developer_id": "acme"}, "/developer_id"),
        ("/policies", {"name": "New", "org_id": "globex", "access_rights": {"api-acme": {}}}, None),
        ("/keys", {"org_id": "globex", "access_rights": {"api-acme": {}}}, "/access_rights/api-acme"),
        ("/keys", {"org_id": "globex", "apply_policies": ["policy-acme"]}, "/apply_policies"),
    ],
)
def test_over_rest_nothing_new_refers_to_its_rows(
    rest: Administration, closed: Any, path: str, body: Any, pointer: str | None
) -> None:
    """A policy may name APIs that do not exist: they may come later."""
    if "developer_id" in body:
        body = {**body, "developer_id": closed[Developer].pk}
    if pointer is None:
        rest.done("POST", path, body)
        return
    status, problem = rest.refused("POST", path, body)
    assert (status, pointers(problem)) == (400, [pointer])


@pytest.mark.parametrize("organisation", ["acme", "globex"])
def test_over_tyks_api_its_rows_are_neither_switched_on_nor_moved(
    tyk: Administration, closed: Any, organisation: str
) -> None:
    Api.objects.filter(organisation="acme").update(is_active=False)
    api = {"api_id": "api-acme", "name": "A", "org_id": organisation, "active": True}
    proxy = {"listen_path": "/acme/", "target_url": "http://up.example"}
    for method, path, body in (
        ("PUT", "/apis/api-acme", {**api, "proxy": proxy}),
        ("POST", "/apis", {**api, "proxy": proxy}),
        ("PUT", "/policies/policy-acme", {"id": "policy-acme", "name": "Changed", "org_id": organisation}),
        ("POST", "/policies", {"id": "policy-acme", "name": "Changed", "org_id": organisation}),
    ):
        status, problem = tyk.refused(method, path, body)
        assert status == 400 and "acme is being deleted" in problem["message"], (method, path)
    assert not Api.objects.get(pk="api-acme").is_active
    assert Policy.objects.get(pk="policy-acme").name == "Acme"
    assert Key.objects.filter(organisation="acme").count() == 1


def test_over_tyks_api_it_gets_no_session(tyk: Administration, closed: Any) -> None:
    status, problem = tyk.refused("POST", "/org/keys/acme", {"quota_max": 5, "quota_renewal_rate": 60})
    assert status == 400 and "being deleted" in problem["message"]


def test_models_of_this_test_all_name_their_organisation() -> None:
    """A new model that belongs to an organisation is to be asked, too."""
    owned = set()
    for model in admin.site._registry:
        try:
            owned |= {model} if model._meta.get_field("organisation").related_model is Organisation else set()
        except FieldDoesNotExist:
            continue
    assert owned == set(WITH_ORGANISATION)
