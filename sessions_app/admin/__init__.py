"""Admin of keys, and of what keys make more of: policies, APIs, organisations with their sessions."""

from sessions_app.admin.apis import TriedApiAdmin
from sessions_app.admin.keys import KeyAdmin
from sessions_app.admin.organisations import OrgSessionAdmin, SessionedOrganisationAdmin
from sessions_app.admin.policies import KeyedPolicyAdmin

__all__ = ["KeyAdmin", "KeyedPolicyAdmin", "OrgSessionAdmin", "SessionedOrganisationAdmin", "TriedApiAdmin"]
