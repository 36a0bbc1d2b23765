"""`/api/v1/apis` and `/api/v1/policies`. Limits and access rights have Tyk's names here, too."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

import django_filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from organisations_app.api import keep_identifier
from organisations_app.documents import refusal
from organisations_app.models import Organisation
from organisations_app.rest.fields import StrictModelSerializer
from organisations_app.rest.refusals import Conflict
from organisations_app.rest.views import ID
from policies_app import catalogue
from policies_app.drafts import PolicyDraft, api_names, save_policy_draft
from policies_app.models import Api, Policy
from policies_app.shapes import PolicyShape
from policies_app.tyk import policy_from_tyk, policy_to_tyk

# --- APIs -------------------------------------------------------------------------------------------------------------


class ApiSerializer(StrictModelSerializer):
    """`id` can be chosen when an API is made; later it stays."""

    org_id = serializers.PrimaryKeyRelatedField(source="organisation", queryset=Organisation.objects.all())

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
    is_active = django_filters.BooleanFilter()
    listen_path = django_filters.CharFilter()


class ApiViewSet(viewsets.ModelViewSet[Api]):
    """API definitions: where they listen and where they go. A change holds from the next request on."""

    queryset = Api.objects.all()
    serializer_class = ApiSerializer
    filterset_class = ApiFilter
    lookup_value_regex = ID
    ordering = ["id"]
    ordering_fields = ["id", "name", "listen_path"]

    def perform_destroy(self, instance: Api) -> None:
        catalogue.delete_api(instance)


# --- policies ---------------------------------------------------------------------------------------------------------


class PolicyFilter(OwnedFilter):
    is_inactive = django_filters.BooleanFilter()


@extend_schema_view(
    create=extend_schema(request=PolicyShape, responses={201: PolicyShape}),
    update=extend_schema(request=PolicyShape, responses=PolicyShape),
    partial_update=extend_schema(request=PolicyShape, responses=PolicyShape),
)
class PolicyViewSet(viewsets.GenericViewSet[Policy]):
    """Plans: limits, access rights and metadata for all keys that they are applied to."""

    queryset = Policy.objects.prefetch_related("access")
    serializer_class = PolicyShape
    filterset_class = PolicyFilter
    lookup_value_regex = ID
    ordering = ["id"]
    ordering_fields = ["id", "name"]

    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(policy_documents(page or []))

    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(policy_documents([self.get_object()])[0])

    def create(self, request: Request) -> Response:
        draft = policy_from_tyk(request.data, strict=True)
        if draft.id and Policy.objects.filter(pk=draft.id).exists():
            raise Conflict({"id": [f"{draft.id} exists already; change it with PUT or PATCH"]})
        policy = save_owned(draft)
        return Response(self.document(policy.pk), status=status.HTTP_201_CREATED)

    def update(self, request: Request, pk: str) -> Response:
        policy = self.get_object()
        draft = policy_from_tyk(request.data, policy_id=pk, organisation_id=policy.organisation_id, strict=True)
        save_owned(same_policy(replace(draft, extra=policy.extra), pk))
        return Response(self.document(pk))

    def partial_update(self, request: Request, pk: str) -> Response:
        """Changes the members that are sent."""
        policy = self.get_object()
        policy_from_tyk(request.data, policy_id=pk, organisation_id=policy.organisation_id, strict=True)
        stored = {**policy_to_tyk(policy, policy.access.all()), "active": True, "is_inactive": policy.is_inactive}
        save_owned(same_policy(policy_from_tyk({**stored, **cast(dict[str, Any], request.data)}), pk))
        return Response(self.document(pk))

    def destroy(self, request: Request, pk: str) -> Response:
        """Keys keep the id of a deleted policy; a key with no other one has no access."""
        catalogue.delete_policy(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    def document(self, policy_id: str) -> dict[str, Any]:
        return policy_documents(self.get_queryset().filter(pk=policy_id))[0]


def policy_documents(policies: Iterable[Policy]) -> list[dict[str, Any]]:
    """As Tyk shows them, with the members of this API only."""
    shown = list(policies)
    names = api_names({right.api_id for policy in shown for right in policy.access.all()})
    return [_document(policy, policy_to_tyk(policy, policy.access.all(), names)) for policy in shown]


def _document(policy: Policy, shown: dict[str, Any]) -> dict[str, Any]:
    members = set(PolicyShape().fields)
    return {name: value for name, value in shown.items() if name in members} | {"is_inactive": policy.is_inactive}


def same_policy(draft: PolicyDraft, policy_id: str) -> PolicyDraft:
    """Raises DocumentError for an attempt to rename."""
    if draft.id != policy_id:
        raise refusal("/id", f"must stay {policy_id}", "fixed")
    return draft


def save_owned(draft: PolicyDraft) -> Policy:
    """Here, unlike in Tyk's dialect, the organisation must exist. Raises DocumentError."""
    if not Organisation.objects.filter(pk=draft.organisation_id).exists():
        raise refusal("/org_id", f"{draft.organisation_id} is no organisation that exists", "does_not_exist")
    return save_policy_draft(draft)
