"""`/api/v1/organisations`."""

from typing import Any

import django_filters
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from organisations_app.audit import Subject
from organisations_app.models import Organisation
from organisations_app.organisations import delete_organisation, save_organisation
from organisations_app.rest.authentication import actor_of
from organisations_app.rest.fields import StrictModelSerializer, keep_identifier
from organisations_app.rest.resources import ModelResource


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


class OrganisationFilter(django_filters.FilterSet):  # type: ignore[misc]
    name = django_filters.CharFilter()
    timezone = django_filters.CharFilter()


class OrganisationViewSet(ModelResource[Organisation]):
    """Owners of developers, applications and keys."""

    scope = "organisations"
    kind = "organisation"
    tenancy = ("pk",)
    queryset = Organisation.objects.living()
    serializer_class = OrganisationSerializer
    filterset_class = OrganisationFilter
    ordering = ["id"]
    ordering_fields = ["id", "name", "created_at"]

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        if self.organisation_id is not None:
            raise PermissionDenied(f"This token is bound to {self.organisation_id}; it cannot make organisations.")
        return super().create(request, *args, **kwargs)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Deletes it with all that it owns. From the next request on nothing of it works. What a request cannot erase
        (more than 1,000 rows of a kind) a worker erases; until then the id stays taken, and rows of it may still be
        listed.
        """
        return super().destroy(request, *args, **kwargs)

    def remove(self, row: Organisation) -> None:
        delete_organisation(row, actor_of(self.request))

    def subject_of(self, row: Organisation) -> Subject:
        return Subject(self.kind, row.pk, row.pk)
