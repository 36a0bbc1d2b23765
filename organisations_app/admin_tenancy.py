"""Confined staff in the admin: every list, filter, form, choice, history, action and view takes its rows from here.

`ConfinedAdmin` is the base of every admin of this project, `ConfinedChoices` of every inline; the rule is
`tenancy.organisations_for`. What waits to be erased with its organisation is still shown; nobody changes or chooses it.
"""

from collections.abc import Iterator
from functools import update_wrapper
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.db.models import ForeignKey, Model, Q, QuerySet
from django.http import Http404, HttpRequest
from django.http.response import HttpResponse, HttpResponseBase
from django.urls import URLPattern
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from organisations_app.admin_titles import TitledAdmin
from organisations_app.models import Organisation
from organisations_app.tenancy import is_mortal, living, organisations_for, waits_to_be_erased, within

READ_ONLY = "This is being deleted: until a worker has erased all that belongs to it, it can only be read."
NO_CHOICE = "There is no such {kind} any more, or it is being deleted with its organisation. Choose another."


def is_confined(request: HttpRequest) -> bool:
    return organisations_for(request.user) is not None


class ConfinedChoices:
    """Relations offer, and accept, what their own admin shows and what is not being deleted; beside that only what the
    row has already.
    """

    admin_site: Any
    model: type[Model]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs |= self._limits(db_field, request)
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]
        if field is not None and is_confined(request) and db_field.name in getattr(self, "tenancy", ()):
            field.required = True  # an empty one would be everybody's
        return field

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs |= self._limits(db_field, request)
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]

    def _limits(self, db_field: Any, request: HttpRequest) -> dict[str, Any]:
        """What the form's field is told of them."""
        related = db_field.remote_field.model
        if not is_mortal(related) and not is_confined(request):
            return {}
        words = NO_CHOICE.format(kind=related._meta.verbose_name)
        return {"queryset": self._choices(db_field, request), "error_messages": {"invalid_choice": words}}

    def _choices(self, db_field: Any, request: HttpRequest) -> QuerySet[Any]:
        related = db_field.remote_field.model
        own = living(seen_rows(self.admin_site, related, request)).values("pk")
        allowed = Q(pk__in=own) | Q(pk__in=self._kept(db_field, request))
        choices: QuerySet[Any] = related._default_manager.filter(allowed)
        return choices

    def _kept(self, db_field: Any, request: HttpRequest) -> QuerySet[Any]:
        """What the rows of the page point at: somebody who sees everything may have chosen it for them."""
        parent = getattr(self, "parent_model", self.model)
        shown = _of_address(parent, request)
        path = "pk" if parent is self.model else _link(self.model, parent)
        return self.model._default_manager.filter(**{path: shown}).values(db_field.name)


class ConfinedFilter(AutocompleteSelectFilter):
    """Names what it is set to only to who may see it."""

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        for choice in super().choices(changelist):
            field = choice["form"].fields[self.lookup_kwarg]
            field.queryset = seen_rows(self.model_admin.admin_site, field.queryset.model, self.request)
            yield choice


class ConfinedAdmin(ConfinedChoices, TitledAdmin):
    """`tenancy` are the lookups that lead from a row to the id of its organisation. Without any, confined staff see no
    row; with `is_for_all` they read what belongs to no organisation.
    """

    tenancy: tuple[str, ...] = ("organisation",)
    is_for_all = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        if self.model is not Organisation and is_mortal(self.model) and _of_address(self.model, request):
            rows = rows.select_related("organisation")  # its page asks whether it is being deleted
        organisations = organisations_for(request.user)
        return rows if self.is_for_all else within(rows, organisations, *self.tenancy)

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        return [_confined_filter(each) for each in super().get_list_filter(request)]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Who looks for something to choose is not offered what is being deleted."""
        found, may_repeat = super().get_search_results(request, queryset, search_term)
        is_choosing = request.resolver_match is not None and request.resolver_match.url_name == "autocomplete"
        return (living(found) if is_choosing else found), may_repeat

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if self.waits_to_be_erased(context.get("original")):
            messages.warning(request, READ_ONLY)
        page: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return page

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may_see(request) and bool(super().has_module_permission(request))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_see(request) and bool(super().has_view_permission(request, obj))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._may_write(request) and bool(super().has_add_permission(request))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = self._may_write(request) and bool(super().has_change_permission(request, obj))
        return allowed and not self.waits_to_be_erased(obj)

    def waits_to_be_erased(self, obj: Any) -> bool:
        """The theme asks with an id where Django has the object."""
        return isinstance(obj, Model) and waits_to_be_erased(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_write(request) and bool(super().has_delete_permission(request, obj))

    def _may_see(self, request: HttpRequest) -> bool:
        return bool(self.tenancy) or self.is_for_all or not is_confined(request)

    def _may_write(self, request: HttpRequest) -> bool:
        return bool(self.tenancy) or not is_confined(request)

    @property
    def urls(self) -> list[URLPattern]:
        """Every address with an object in it, also of custom views and actions, knows only what the list shows."""
        return [self._confined(pattern) for pattern in self.get_urls()]

    def _confined(self, pattern: URLPattern) -> URLPattern:
        if "object_id" not in pattern.pattern.converters:
            return pattern
        view = pattern.callback

        def confined(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.user.is_authenticated and is_confined(request) and not self._sees(request, kwargs["object_id"]):
                raise Http404
            answer: HttpResponseBase = view(request, *args, **kwargs)
            return answer

        pattern.callback = update_wrapper(confined, view)
        return pattern

    def _sees(self, request: HttpRequest, object_id: str) -> bool:
        return self.get_object(request, unquote(object_id)) is not None


def seen_rows(site: Any, model: type[Model], request: HttpRequest) -> QuerySet[Any]:
    """The rows that the model's own admin lists, without an order."""
    owner = site._registry.get(model)
    rows: QuerySet[Any] = model._default_manager.all()
    if is_confined(request):
        rows = owner.get_queryset(request).order_by() if isinstance(owner, ConfinedAdmin) else rows.none()
    return rows


def _confined_filter(declared: Any) -> Any:
    is_related = isinstance(declared, tuple) and declared[1] is AutocompleteSelectFilter
    return (declared[0], ConfinedFilter) if is_related else declared


def _of_address(model: type[Model], request: HttpRequest) -> Any:
    """The primary key in the page's address; None where rows are added."""
    match = request.resolver_match
    return unquote(match.kwargs["object_id"]) if match and "object_id" in match.kwargs else None


def _link(model: type[Model], parent: type[Model]) -> str:
    """The foreign key of an inline's rows to the page's object."""
    return next(
        field.name
        for field in model._meta.fields
        if isinstance(field, ForeignKey) and field.remote_field.model is parent
    )
