"""Drafts: APIs and policies as somebody wants them, checked but not saved yet; and saving them as a whole.

Both administration APIs and the import end here, so that a definition is written in one way only.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from organisations_app.organisations import organisation_named
from policies_app import catalogue
from policies_app.limits import LIMIT_FIELDS, Limits
from policies_app.models import PARTITIONS, AccessRightFields, Api, Policy, PolicyAccess


@dataclass(frozen=True, slots=True)
class RightDraft:
    """Access to one API. `limits` of its own replace the others there (rule 3.1); None: it has none."""

    api_id: str
    limits: Limits | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def values(self) -> dict[str, Any]:
        """For the fields of an access right in the database."""
        own = self.limits or Limits()
        values = {name: getattr(own, name) for name in LIMIT_FIELDS}
        return {"api_id": self.api_id, "extra": dict(self.extra), "has_limit": self.limits is not None, **values}


@dataclass(frozen=True, slots=True)
class ApiDraft:
    """An API definition. `id` is empty when the sender leaves the choice to us."""

    id: str
    organisation_id: str
    name: str
    listen_path: str
    target_url: str = ""
    strip_listen_path: bool = False
    is_active: bool = True
    auth_header_name: str = ""
    disable_quota: bool = False
    disable_rate_limit: bool = False
    on_store_failure: str = "open"
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PolicyDraft:
    """A policy with its access rights. `id` is empty when the sender leaves the choice to us."""

    id: str
    organisation_id: str
    name: str
    limits: Limits = field(default_factory=Limits)
    trigger_limits: tuple[float, ...] = ()
    rights: tuple[RightDraft, ...] = ()
    partitions: frozenset[str] = frozenset()
    is_inactive: bool = False
    key_expires_in: int = 0
    meta_data: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


API_FIELDS = (
    "name",
    "listen_path",
    "target_url",
    "strip_listen_path",
    "is_active",
    "auth_header_name",
    "disable_quota",
    "disable_rate_limit",
    "on_store_failure",
)


@transaction.atomic
def save_api_draft(draft: ApiDraft) -> Api:
    """Creates the API, or makes the one with this id as the draft says. Raises ValidationError, as for a taken path."""
    api = Api.objects.filter(pk=draft.id).first() or (Api(pk=draft.id) if draft.id else Api())
    api.organisation = organisation_named(draft.organisation_id)
    for name in API_FIELDS:
        setattr(api, name, getattr(draft, name))
    api.name = draft.name or api.pk
    api.extra = dict(draft.extra)
    catalogue.save_api(api)
    return api


@transaction.atomic
def save_policy_draft(draft: PolicyDraft) -> Policy:
    """Creates the policy, or makes the one with this id as the draft says. Raises ValidationError."""
    policy = Policy.objects.filter(pk=draft.id).first() or (Policy(pk=draft.id) if draft.id else Policy())
    policy.organisation = organisation_named(draft.organisation_id)
    policy.name = draft.name or policy.pk
    fill_limits(policy, draft.limits)
    for part in PARTITIONS:
        setattr(policy, f"partition_{part}", part in draft.partitions)
    policy.trigger_limits, policy.tags = list(draft.trigger_limits), list(draft.tags)
    policy.meta_data, policy.extra = dict(draft.meta_data), dict(draft.extra)
    policy.is_inactive, policy.key_expires_in = draft.is_inactive, draft.key_expires_in
    catalogue.save_policy(policy, [PolicyAccess(**right.values()) for right in draft.rights])
    return policy


def api_draft(api: Api) -> ApiDraft:
    """What is stored, as the draft that would make it."""
    values = {name: getattr(api, name) for name in API_FIELDS}
    return ApiDraft(id=api.pk, organisation_id=api.organisation_id, extra=api.extra, **values)


def policy_draft(policy: Policy, access: Iterable[AccessRightFields]) -> PolicyDraft:
    """What is stored, as the draft that would make it."""
    return PolicyDraft(
        id=policy.pk,
        organisation_id=policy.organisation_id,
        name=policy.name,
        limits=policy.limits(),
        trigger_limits=tuple(policy.trigger_limits),
        rights=right_drafts(access),
        partitions=policy.partitions,
        is_inactive=policy.is_inactive,
        key_expires_in=policy.key_expires_in,
        meta_data=policy.meta_data,
        tags=tuple(policy.tags),
        extra=policy.extra,
    )


def right_drafts(access: Iterable[AccessRightFields]) -> tuple[RightDraft, ...]:
    return tuple(RightDraft(right.api_id, right.own_limits(), right.extra) for right in access)


def fill_limits(target: Any, limits: Limits) -> None:
    """Sets the limit fields of a key, policy, access right or org session."""
    for name in LIMIT_FIELDS:
        setattr(target, name, getattr(limits, name))


def api_names(api_ids: Iterable[str]) -> dict[str, str]:
    """Names of those APIs that exist, by id."""
    return dict(Api.objects.filter(pk__in=list(api_ids)).values_list("pk", "name"))
