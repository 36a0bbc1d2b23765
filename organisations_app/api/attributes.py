"""`/api/v1/attributes`: custom attributes of developers, as they are defined for the whole gateway."""

import django_filters
from django.db.models import QuerySet
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from organisations_app.models import AttributeDefinition
from organisations_app.rest.fields import NUMBER, StrictModelSerializer
from organisations_app.rest.filters import Flag
from organisations_app.rest.resources import ModelResource


class AttributeSerializer(StrictModelSerializer):
    """What a developer's attribute may be. Developers keep values that an attribute allowed before it was changed."""

    class Meta:
        model = AttributeDefinition
        fields = ["id", "name", "kind", "is_required", "add_to_key_metadata"]


class AttributeFilter(django_filters.FilterSet):  # type: ignore[misc]
    name = django_filters.CharFilter()
    add_to_key_metadata = Flag()


class AttributeViewSet(ModelResource[AttributeDefinition]):
    """Definitions of developers' attributes, the same for all organisations: who is bound to one only reads them."""

    scope = "attributes"
    kind = "attribute"
    queryset = AttributeDefinition.objects.all()
    serializer_class = AttributeSerializer
    filterset_class = AttributeFilter
    lookup_value_regex = NUMBER
    ordering = ["id"]
    ordering_fields = ["id", "name"]

    def get_queryset(self) -> QuerySet[AttributeDefinition]:
        return AttributeDefinition.objects.all()

    def check_permissions(self, request: Request) -> None:
        super().check_permissions(request)
        if request.method != "GET" and self.organisations is not None:
            raise PermissionDenied("Attributes are defined for all organisations; this token is bound to one.")

    def remove(self, row: AttributeDefinition) -> None:
        """Developers keep its values until they are saved again; keys keep theirs."""
        row.delete()
