"""The groups that every gateway has: what an operator, a supporter and an auditor may do.

They are made once, by a migration; after that they are the operator's own, and nothing changes them behind their back.
"""

from typing import Any

APPS = ("organisations_app", "policies_app", "sessions_app", "monitors_app")
SUPPORT_VERBS = ("reset_key_quota", "reset_organisation_quota", "revoke_key")
LOGIN_RIGHTS = ("add_user", "change_user", "delete_user", "view_user")
OPERATOR, SUPPORT, AUDITOR = "operator", "support", "auditor"


def roles() -> dict[str, Any]:
    """By name of the group, what tells which permissions it has: functions of `(app_label, codename)`."""
    return {OPERATOR: _operates, SUPPORT: _supports, AUDITOR: _reads}


def _operates(app_label: str, codename: str) -> bool:
    """All of this project, and logins: who is no superuser gives no powers there."""
    return app_label in APPS or (app_label == "auth" and codename in LOGIN_RIGHTS)


def _supports(app_label: str, codename: str) -> bool:
    """Reads what customers ask about, resets and revokes. Admin tokens are none of it."""
    reads = app_label in APPS and codename.startswith("view_") and codename != "view_admintoken"
    return reads or (app_label == "sessions_app" and codename in SUPPORT_VERBS)


def _reads(app_label: str, codename: str) -> bool:
    """Everything, logins and groups too, and nothing but reading."""
    return codename.startswith("view_") and app_label in (*APPS, "auth")


def make_roles(group_model: Any, permission_model: Any) -> None:
    """Makes the groups that are not there yet. Models are arguments: a migration has its own. Permissions must exist
    already.
    """
    known = list(permission_model.objects.values_list("pk", "content_type__app_label", "codename"))
    for name, has in roles().items():
        group, is_new = group_model.objects.get_or_create(name=name)
        if is_new:
            group.permissions.set([pk for pk, app_label, codename in known if has(app_label, codename)])
