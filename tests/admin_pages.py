"""Posting admin forms in tests as a browser would: every field as the page shows it, except what the test changes."""

from collections.abc import Iterator
from typing import Any

from django.db.models import Model
from django.forms import BaseForm, ModelChoiceField, MultiWidget
from django.http import HttpResponse
from django.test import Client


def submit(client: Client, url: str, **changes: Any) -> Any:
    """Opens the form, changes fields by their names in the page, and posts it. None takes a field out."""
    return _post(client, url, form_values(client.get(url)) | changes)


def submit_with_row(client: Client, url: str, prefix: str, row: dict[str, Any], **changes: Any) -> Any:
    """Like `submit`, after "Add another" in the inline `prefix`; `row` are the new row's fields by short name."""
    shown = client.get(url)
    values = form_values(shown)
    [formset] = [inline.formset for inline in shown.context["inline_admin_formsets"] if inline.formset.prefix == prefix]
    place = str(values[f"{prefix}-TOTAL_FORMS"])
    values |= {name.replace("__prefix__", place): value for name, value in _values(formset.empty_form).items()}
    values[f"{prefix}-TOTAL_FORMS"] = int(place) + 1
    return _post(client, url, values | {f"{prefix}-{place}-{name}": value for name, value in row.items()} | changes)


def _post(client: Client, url: str, values: dict[str, Any]) -> Any:
    return client.post(url, {name: value for name, value in values.items() if value is not None})


def form_values(response: Any) -> dict[str, Any]:
    values = _values(response.context["adminform"].form)
    for inline in response.context["inline_admin_formsets"]:
        for form in (inline.formset.management_form, *inline.formset.forms):
            values |= _values(form)
    return values


def _values(form: BaseForm) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in form:
        value, widget = field.value(), field.field.widget
        if isinstance(widget, MultiWidget):
            values |= {f"{field.html_name}_{place}": part for place, part in enumerate(widget.decompress(value) or [])}
        else:
            values[field.html_name] = "on" if value is True else None if value is False else value
    return {name: value for name, value in values.items() if value is not None}


def errors_of(response: HttpResponse) -> dict[str, str]:
    """The messages of a form that was refused, by field name; those of inlines too."""
    context: Any = response.context  # type: ignore[attr-defined]
    forms = [context["adminform"].form]
    forms += [form for inline in context["inline_admin_formsets"] for form in inline.formset.forms]
    return {
        form.add_prefix(name): " ".join(map(str, found))
        for form in forms
        if form.is_bound
        for name, found in form.errors.items()
    }


def choices(response: Any) -> Iterator[tuple[str, Model]]:
    """(name of the field, row) of all rows that the forms of a page take."""
    forms = [response.context["adminform"].form]
    forms += [each.formset.empty_form for each in response.context["inline_admin_formsets"]]
    for form in forms:
        for name, field in form.fields.items():
            if isinstance(field, ModelChoiceField) and not field.widget.is_hidden:
                yield from ((name, row) for row in field.queryset)
