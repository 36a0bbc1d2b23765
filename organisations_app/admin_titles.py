"""Titles of pages, by which people find a tab again: "Keys", "Delete Storefront?"."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst
from unfold.admin import ModelAdmin


class TitledAdmin(ModelAdmin):
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Django's says "Select key to change"."""
        titled = {"title": capfirst(self.opts.verbose_name_plural), **(extra_context or {})}
        response: HttpResponse = super().changelist_view(request, titled)
        return response

    def render_delete_form(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        """Django's says "Delete", whatever it is."""
        if not context["perms_lacking"] and not context["protected"]:
            context["title"] = f"Delete {context['object']}?"
        response: HttpResponse = super().render_delete_form(request, context)
        return response
