"""Admin of keys, organisations with their sessions, and usage."""

from sessions_app.admin.keys import KeyAdmin
from sessions_app.admin.organisations import OrgSessionAdmin, SessionedOrganisationAdmin

__all__ = ["KeyAdmin", "OrgSessionAdmin", "SessionedOrganisationAdmin"]
