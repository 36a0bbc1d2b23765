"""Permissions in the admin: a table to tick, and the same in words for who only reads it."""

from collections.abc import Iterable
from typing import Any

from django import forms
from django.apps import apps
from django.contrib.auth.models import Permission
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from unfold.widgets import CHECKBOX_CLASSES

from organisations_app.permissions import ACTIONS, SECTIONS, action_of, completed, label_of, offered, words_of


class PermissionsWidget(forms.CheckboxSelectMultiple):
    """A row for each thing, columns for what may be done with all of them, and below what is special to it."""

    template_name = "organisations_app/widgets/permissions.html"

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        boxes = [box for _, group, _ in context["widget"]["optgroups"] for box in group]
        context["actions"] = ACTIONS
        context["sections"] = [(title, [_row(label, boxes) for label in labels]) for title, labels in SECTIONS.items()]
        context["classes"] = " ".join(CHECKBOX_CLASSES)
        return context

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """With the permission that the box stands for."""
        return {**super().create_option(name, value, *args, **kwargs), "permission": value.instance}


class PermissionsField(forms.ModelMultipleChoiceField[Permission]):
    """Offers those that mean something here. To be cleaned by `completed_permissions`."""

    widget = PermissionsWidget

    def __init__(self, queryset: Any = None, **options: Any) -> None:
        super().__init__(offered(), **{**options, "widget": PermissionsWidget})

    def label_from_instance(self, obj: Any) -> str:
        return words_of(obj)

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Of what the page shows."""
        held: Any = self.prepare_value(initial) or []
        return bool(super().has_changed(list(offered().filter(pk__in=held)), data))


class TickedPermissions:
    """For an admin of what has permissions, before Django's own."""

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.related_model is Permission:
            kwargs["form_class"] = PermissionsField
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]


def completed_permissions(form: Any, name: str) -> list[Permission]:
    """For the `clean_…` of a ModelForm that has a PermissionsField."""
    held = getattr(form.instance, name).select_related("content_type") if form.instance.pk else []
    return completed(list(form.cleaned_data[name]), list(held))


def in_words(permissions: Iterable[Permission]) -> SafeString:
    """A line for each thing: "Keys: view, change, reset the quota of a key"."""
    held = set(permissions)
    shown = [each for each in offered().order_by("pk") if each in held]
    lines = [(_title(label), _deeds(label, shown)) for labels in SECTIONS.values() for label in labels]
    told = [(title, ", ".join(deeds)) for title, deeds in lines if deeds]
    return format_html_join("", "<p>{}: {}</p>", told) if told else SafeString("none")


def _row(label: str, boxes: list[dict[str, Any]]) -> dict[str, Any]:
    own = [box for box in boxes if label_of(box["permission"]) == label]
    plain = {action_of(box["permission"]): box for box in own}
    special = [box for box in own if not action_of(box["permission"])]
    return {"name": _title(label), "boxes": [(action, plain.get(action)) for action in ACTIONS], "special": special}


def _deeds(label: str, permissions: list[Permission]) -> list[str]:
    own = [each for each in permissions if label_of(each) == label]
    plain = sorted((each for each in own if action_of(each)), key=lambda each: ACTIONS.index(action_of(each)))
    special = [words_of(each) for each in own if not action_of(each)]
    return [*map(action_of, plain), *(words[:1].lower() + words[1:] for words in special)]


def _title(label: str) -> str:
    return str(capfirst(apps.get_model(label)._meta.verbose_name_plural))
