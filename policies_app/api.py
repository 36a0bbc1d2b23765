"""`/api/v1/apis` and `/api/v1/policies`. Limits and access rights have Tyk's names here, too."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

import django_filters
from django.db import transaction
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from organisations_app.audit import Subject
from organisations_app.documents import DocumentError, Problem, escape, refusal
from organisations_app.models import Organisation
from organisations_app.rest.fields import OrganisationField, StrictModelSerializer, keep_identifier
from organisations_app.rest.filters import Flag
from organisations_app.rest.refusals import Conflict
from organisations_app.rest.resources import ModelResource, Resource, answer
from organisations_app.tenancy import living, within
from policies_app import catalogue
from policies_app.drafts import PolicyDraft, api_names, save_policy_draft
from policies_app.models import Api, Policy
from policies_app.shapes import PolicyShape, ReplacedPolicyShape
from policies_app.tyk import policy_from_tyk, policy_to_tyk

# --- APIs -------------------------------------------------------------------------------------------------------------


class ApiSerializer(StrictModelSerializer):
    """`id` can be chosen when an API is made; later it stays."""

    org_id = OrganisationField()

    class Meta:
        model = Api
        fields = [
            "id",
            "org_id",
            "name",
            "listen_path",
            "target_url",
            "strip_listen_path",
            "is_active",
            "auth_header_name",
            "disable_quota",
            "disable_rate_limit",
            "on_store_failure",
        ]

    def create(self, validated_data: dict[str, Any]) -> Api:
        api = Api(**validated_data)
        catalogue.save_api(api)
        return api

    def update(self, instance: Api, validated_data: dict[str, Any]) -> Api:
        keep_identifier(instance.pk, validated_data)
        for name, value in validated_data.items():
            setattr(instance, name, value)
        catalogue.save_api(instance)
        return instance


class OwnedFilter(django_filters.FilterSet):  # type: ignore[misc]
    org_id = django_filters.CharFilter(field_name="organisation_id")
    name = django_filters.CharFilter()


class ApiFilter(OwnedFilter):
    is_active = Flag()
    listen_path = django_filters.CharFilter()


class ApiViewSet(ModelResource[Api]):
    """API definitions: where they listen and where they go. A change holds from the next request on."""

    scope = "apis"
    kind = "api"
    queryset = Api.objects.all()
    serializer_class = ApiSerializer
    filterset_class = ApiFilter
    ordering = ["id"]
    ordering_fields = ["id", "name", "listen_path"]

    def remove(self, row: Api) -> None:
        catalogue.delete_api(row)


# --- policies ---------------------------------------------------------------------------------------------------------


class PolicyFilter(OwnedFilter):
    is_inactive = Flag()


@extend_schema_view(
    create=extend_schema(request=PolicyShape, responses={201: PolicyShape}),
    update=extend_schema(request=ReplacedPolicyShape, responses=PolicyShape),
    partial_update=extend_schema(request=PolicyShape, responses=PolicyShape),
)
class PolicyViewSet(Resource[Policy]):
    """Plans: limits, access rights and metadata for all keys that they are applied to."""

    scope = "policies"
    queryset = Policy.objects.prefetch_related("access")
    serializer_class = PolicyShape
    filterset_class = PolicyFilter
    ordering = ["id"]
    ordering_fields = ["id", "name"]

    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(policy_documents(page or []))

    def retrieve(self, request: Request, pk: str) -> Response:
        return answer(self.document(self.get_object()))

    @transaction.atomic
    def create(self, request: Request) -> Response:
        draft = policy_from_tyk(request.data, strict=True)
        if draft.id and Policy.objects.filter(pk=draft.id).exists():
            raise Conflict({"id": [f"{draft.id} exists already; change it with PUT or PATCH"]})
        document = self.saved(draft)
        self.record("create", self.subject_of(draft.organisation_id, document), after=document)
        return answer(document, status.HTTP_201_CREATED)

    @transaction.atomic
    def update(self, request: Request, pk: str) -> Response:
        policy = self.locked()
        draft = policy_from_tyk(request.data, policy_id=pk, organisation_id=policy.organisation_id, strict=True)
        return self.changed(policy, replace(draft, extra=policy.extra))

    @transaction.atomic
    def partial_update(self, request: Request, pk: str) -> Response:
        """Changes the members that are sent."""
        policy = self.locked()
        return self.changed(policy, policy_with(policy, request.data))

    @transaction.atomic
    def destroy(self, request: Request, pk: str) -> Response:
        """Keys keep the id of a deleted policy; a key with no other one has no access."""
        policy = self.locked()
        before = self.document(policy)
        catalogue.delete_policy(policy)
        self.record("delete", self.subject_of(policy.organisation_id, before), before=before)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def changed(self, policy: Policy, draft: PolicyDraft) -> Response:
        before = self.document(policy)
        document = self.saved(draft, policy)
        self.record("change", self.subject_of(policy.organisation_id, before), before=before, after=document)
        return answer(document)

    def saved(self, draft: PolicyDraft, before: Policy | None = None) -> dict[str, Any]:
        policy = save_policy_draft(checked_policy(draft, self.organisations, before))
        return self.document(Policy.objects.prefetch_related("access").get(pk=policy.pk))

    def document(self, row: Policy) -> dict[str, Any]:
        return policy_documents([row])[0]

    def subject_of(self, organisation_id: str, document: dict[str, Any]) -> Subject:
        return Subject("policy", document["id"], organisation_id)


def policy_documents(policies: Iterable[Policy]) -> list[dict[str, Any]]:
    """As Tyk shows them, with the members of this API only."""
    shown = list(policies)
    names = api_names({right.api_id for policy in shown for right in policy.access.all()})
    return [_document(policy, policy_to_tyk(policy, policy.access.all(), names)) for policy in shown]


def _document(policy: Policy, shown: dict[str, Any]) -> dict[str, Any]:
    members = set(PolicyShape().fields)
    return {name: value for name, value in shown.items() if name in members} | {"is_inactive": policy.is_inactive}


def policy_with(policy: Policy, members: Any) -> PolicyDraft:
    """The policy as it would be with these members changed. Raises DocumentError."""
    policy_from_tyk(members, policy_id=policy.pk, organisation_id=policy.organisation_id, strict=True)
    stored = {**policy_to_tyk(policy, policy.access.all()), "active": True, "is_inactive": policy.is_inactive}
    return policy_from_tyk({**stored, **members})


def checked_policy(draft: PolicyDraft, bound_to: Collection[str] | None, before: Policy | None = None) -> PolicyDraft:
    """Here, unlike in Tyk's dialect, the organisation must exist; for who is bound to one it and the APIs must be its
    own. The id and the APIs that the policy had `before` stay. Raises DocumentError.
    """
    if before is not None and draft.id != before.pk:
        raise refusal("/id", f"must stay {before.pk}", "fixed")
    if not within(Organisation.objects.living(), bound_to, "pk").filter(pk=draft.organisation_id).exists():
        raise refusal("/org_id", f"{draft.organisation_id} is no organisation that exists", "does_not_exist")
    if bound_to is not None:
        had = {right.api_id for right in before.access.all()} if before is not None else set()
        check_apis({right.api_id for right in draft.rights} - had, bound_to)
    return draft


def check_apis(api_ids: Iterable[str], bound_to: str | Collection[str] | None) -> None:
    """APIs that an access right names must exist; for who is bound to an organisation, in it. Raises DocumentError."""
    named = set(api_ids)
    refuse_unknown_apis(named - known_apis(named, bound_to))


def known_apis(api_ids: Iterable[str], bound_to: str | Collection[str] | None) -> set[str]:
    """Of these APIs, those that exist and stay; for who is bound to an organisation, in it."""
    named = set(api_ids)
    visible = within(living(Api.objects.filter(pk__in=named)), bound_to, "organisation")
    return set(visible.values_list("pk", flat=True)) if named else set()


def refuse_unknown_apis(unknown: Collection[str]) -> None:
    """Raises DocumentError if there are any."""
    if unknown:
        raise DocumentError(
            Problem(f"/access_rights/{escape(api_id)}", f"{api_id} is no API that exists", "does_not_exist")
            for api_id in sorted(unknown)
        )
