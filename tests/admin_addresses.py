"""Every address of the admin that can be looked at: lists in all their orders, filters and pages, and each page of an
object. For tests of what must hold everywhere, and for measurements.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.contrib.admin.filters import SimpleListFilter
from django.contrib.admin.utils import quote
from django.contrib.admin.views.main import ORDER_VAR, PAGE_VAR, SEARCH_VAR
from django.contrib.auth import get_user
from django.db.models import Model
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils.http import urlencode

from organisations_app import keysets

NOTHING = "nothing has this name"


@dataclass(frozen=True, slots=True)
class Address:
    """`name` says what it shows: "key: list, sorted by alias"."""

    name: str
    url: str


def addresses(client: Client) -> Iterator[Address]:
    """As `client`, who sees everything, finds them. Objects are the oldest of each kind."""
    yield Address("home", reverse("admin:index"))
    for model, model_admin in admin.site._registry.items():
        if model_admin.has_view_permission(_request(client)):
            yield from _lists(client, model, model_admin)
            yield from _pages(client, model, model_admin)


def _lists(client: Client, model: type[Model], model_admin: Any) -> Iterator[Address]:
    name, url = model._meta.model_name, _named(model, "changelist")
    yield Address(f"{name}: list", url)
    shown = model_admin.get_changelist_instance(_request(client, url))
    last = keysets.written(keysets.LAST)
    yield Address(f"{name}: last page", f"{url}?{PAGE_VAR}={last}")
    for place, column in enumerate(shown.list_display):
        if place and shown.get_ordering_field(column) and (shown.sortable_by is None or column in shown.sortable_by):
            yield Address(f"{name}: by {column}", f"{url}?{ORDER_VAR}={place}")
            yield Address(f"{name}: by {column}, last page", f"{url}?{ORDER_VAR}=-{place}&{PAGE_VAR}={last}")
    if shown.search_fields:
        oldest = model._default_manager.order_by("pk").first()
        for text in (str(oldest)[:40], NOTHING):
            yield Address(f"{name}: search {text!r}", f"{url}?{urlencode({SEARCH_VAR: text})}")
    for spec in shown.filter_specs:
        yield from _filtered(f"{name}: {spec.title}", url, spec)


def _filtered(name: str, url: str, spec: Any) -> Iterator[Address]:
    if isinstance(spec, SimpleListFilter):
        values = [value for value, _ in spec.lookup_choices]
        named: Any = spec.parameter_name
    else:
        named = getattr(spec, "lookup_kwarg", None)
        values = _values(spec)
    for value in values:
        if named and value is not None:
            yield Address(f"{name} {value}", f"{url}?{urlencode({named: value})}")


def _values(spec: Any) -> list[Any]:
    field = spec.field
    if field.is_relation:
        first = field.related_model._default_manager.order_by("pk").first()
        return [first.pk] if first else []
    return [value for value, _ in field.flatchoices] or ([1, 0] if field.get_internal_type() == "BooleanField" else [])


def _pages(client: Client, model: type[Model], model_admin: Any) -> Iterator[Address]:
    name = model._meta.model_name
    oldest = model_admin.get_queryset(_request(client)).order_by("pk").first()
    if model_admin.has_add_permission(_request(client)):
        yield Address(f"{name}: add", _named(model, "add"))
    for pattern in model_admin.get_urls():
        converters = set(pattern.pattern.converters)
        if pattern.name and converters == {"object_id"} and oldest is not None:
            short = pattern.name.removeprefix(f"{model._meta.app_label}_{name}_")
            yield Address(f"{name}: {short}", reverse(f"admin:{pattern.name}", args=[quote(oldest.pk)]))


def _named(model: type[Model], view: str) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{view}")


def _request(client: Client, url: str = "") -> Any:
    """As who is logged in would ask."""
    request: Any = RequestFactory().get(url)
    request.user = get_user(client)
    return request
