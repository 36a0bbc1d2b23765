"""The admin's theme: name, colours, and the sidebar in the order in which admins work."""

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy

Item = dict[str, Any]


def _item(title: str, icon: str, page: str) -> Item:
    return {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{page}")}


def _list(title: str, icon: str, model: str) -> Item:
    """A model's list, for those who may see it."""
    app, _, name = model.partition(".")
    permitted = f"{app}.view_{name}"
    return {
        **_item(title, icon, f"{app}_{name}_changelist"),
        "permission": lambda request: request.user.has_perm(permitted),
    }


def _section(title: str, *items: Item) -> Item:
    return {"title": title, "separator": True, "items": list(items)}


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Tollgate",
    "SITE_HEADER": "Tollgate",
    "SITE_SUBHEADER": "API quota gateway",
    "SITE_URL": "/",
    "SITE_ICON": lambda request: static("tollgate/logo.svg"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("tollgate/logo.svg")}],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "gateway_project.home.add_overview",
    "STYLES": [
        lambda request: static("tollgate/usage.css"),
        lambda request: static("tollgate/admin.css"),
        lambda request: static("tollgate/admin-pages.css"),
        lambda request: static("tollgate/monitors.css"),
    ],
    "SCRIPTS": [lambda request: static("tollgate/accessible.js")],
    "COLORS": {
        "primary": {
            "50": "oklch(98% .014 185)",
            "100": "oklch(95% .045 185)",
            "200": "oklch(90% .085 184)",
            "300": "oklch(85% .12 183)",
            "400": "oklch(77% .13 182)",
            "500": "oklch(68% .12 184)",
            "600": "oklch(51% .092 187)",
            "700": "oklch(46% .08 188)",
            "800": "oklch(41% .068 189)",
            "900": "oklch(36% .055 190)",
            "950": "oklch(27% .045 192)",
        },
    },
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {"items": [_item("Home", "home", "index")]},
            _section(
                "Access",
                _list("Keys", "key", "sessions_app.key"),
                _list("Policies", "sell", "policies_app.policy"),
                _list("APIs", "api", "policies_app.api"),
            ),
            _section(
                "Customers",
                _list("Organisations", "domain", "organisations_app.organisation"),
                _list("Organisation sessions", "speed", "sessions_app.orgsession"),
                _list("Developers", "badge", "organisations_app.developer"),
                _list("Applications", "apps", "organisations_app.application"),
                _list("Developer attributes", "list_alt", "organisations_app.attributedefinition"),
            ),
            _section(
                "Warnings",
                _list("Monitors", "notifications", "monitors_app.monitor"),
                _list("Threshold events", "trending_up", "monitors_app.triggerevent"),
                _list("Deliveries", "outgoing_mail", "monitors_app.delivery"),
            ),
            _section(
                "Logins",
                _list("Users", "person", "auth.user"),
                _list("Groups", "group", "auth.group"),
                _list("Tokens", "token", "organisations_app.admintoken"),
                _list("Audit", "history", "organisations_app.auditentry"),
            ),
        ],
    },
}
