"""`/api/v1/organisations`."""

from typing import Any

from rest_framework import serializers, viewsets

from organisations_app.models import Organisation
from organisations_app.organisations import delete_organisation, save_organisation
from organisations_app.rest.fields import StrictModelSerializer
from organisations_app.rest.views import ID


class OrganisationSerializer(StrictModelSerializer):
    """`id` can be chosen when an organisation is made; later it stays."""

    class Meta:
        model = Organisation
        fields = ["id", "name", "timezone", "created_at"]

    def create(self, validated_data: dict[str, Any]) -> Organisation:
        organisation = Organisation(**validated_data)
        save_organisation(organisation)
        return organisation

    def update(self, instance: Organisation, validated_data: dict[str, Any]) -> Organisation:
        keep_identifier(instance.pk, validated_data)
        for name, value in validated_data.items():
            setattr(instance, name, value)
        save_organisation(instance)
        return instance


def keep_identifier(identifier: str, validated_data: dict[str, Any]) -> None:
    """Raises ValidationError for an attempt to rename."""
    if validated_data.pop("id", identifier) != identifier:
        raise serializers.ValidationError({"id": [f"must stay {identifier}"]}, code="fixed")


class OrganisationViewSet(viewsets.ModelViewSet[Organisation]):
    """Owners of developers, applications and keys."""

    queryset = Organisation.objects.all()
    serializer_class = OrganisationSerializer
    filterset_fields = ["name", "timezone"]
    lookup_value_regex = ID
    ordering = ["id"]
    ordering_fields = ["id", "name", "created_at"]

    def perform_destroy(self, instance: Organisation) -> None:
        delete_organisation(instance)
