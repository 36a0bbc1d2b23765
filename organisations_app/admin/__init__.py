"""Admin of organisations and their people, of logins and roles, of tokens, and of the audit."""

from organisations_app.admin.audit import AuditEntryAdmin
from organisations_app.admin.logins import GroupAdmin, UserAdmin
from organisations_app.admin.organisations import (
    ApplicationAdmin,
    AttributeDefinitionAdmin,
    DeveloperAdmin,
    OrganisationAdmin,
)
from organisations_app.admin.tokens import AdminTokenAdmin

__all__ = [
    "AdminTokenAdmin",
    "ApplicationAdmin",
    "AttributeDefinitionAdmin",
    "AuditEntryAdmin",
    "DeveloperAdmin",
    "GroupAdmin",
    "OrganisationAdmin",
    "UserAdmin",
]
