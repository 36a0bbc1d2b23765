"""Foreign keys in the rows of an inline: what they point at is named with one query for all rows, not with one each."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.admin.widgets import AutocompleteSelect
from django.db.models import Model
from django.http import HttpRequest
from unfold.forms import PaginationInlineFormSet


class NamedSelect(AutocompleteSelect):
    """An autocomplete field that asks the database only for names that it was not given. `names` are shared by the
    copies that the forms of a formset make of it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.names: dict[str, str] = {}

    def optgroups(self, name: str, value: Sequence[str], attr: Any = None) -> Any:
        chosen = [one for one in value if one in self.names]
        if not chosen:
            return super().optgroups(name, value, attr)
        options = [] if self.is_required else [self.create_option(name, "", "", False, 0)]
        options += [self.create_option(name, one, self.names[one], True, place + 1) for place, one in enumerate(chosen)]
        return [(None, options, 0)]


class NamingFormSet(PaginationInlineFormSet):
    """Names the choices of its rows when it reads them."""

    def get_queryset(self) -> Any:
        rows = super().get_queryset()
        for field in self.form.base_fields.values():
            widget = getattr(field.widget, "widget", field.widget)
            if isinstance(widget, NamedSelect) and not widget.names:
                widget.names = _names(widget.field, rows)
        return rows


def _names(field: Any, rows: Iterable[Any]) -> dict[str, str]:
    """By id; what does not exist any more has no name."""
    wanted = {getattr(row, field.attname) for row in rows}
    related: type[Model] = field.remote_field.model
    return {str(pk): str(obj) for pk, obj in related._default_manager.in_bulk(wanted).items()} if wanted else {}


class NamedChoices:
    """For inlines, before the inline's own class: its autocomplete fields are NamedSelects."""

    formset = NamingFormSet
    admin_site: Any

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):  # type: ignore[attr-defined]
            kwargs["widget"] = NamedSelect(db_field, self.admin_site, using=kwargs.get("using"))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]
