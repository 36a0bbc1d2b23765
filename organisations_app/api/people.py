"""`/api/v1/developers` and `/api/v1/applications`."""

from typing import Any

import django_filters
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from organisations_app import developers
from organisations_app.models import Application, Developer
from organisations_app.rest.authentication import actor_of
from organisations_app.rest.fields import (
    NUMBER,
    Email,
    OrganisationField,
    OwnedField,
    StrictModelSerializer,
    Text,
    keep_organisation,
)
from organisations_app.rest.filters import IdFilter
from organisations_app.rest.resources import ModelResource
from organisations_app.tenancy import living


class DeveloperSerializer(StrictModelSerializer):
    """A portal user. Without `username` the e-mail address is the login; without `password` it waits for a reset."""

    org_id = OrganisationField()
    username = Text(source="user.username", required=False, max_length=150)
    email = Email(source="user.email", max_length=254)
    first_name = Text(source="user.first_name", required=False, allow_blank=True, max_length=150)
    last_name = Text(source="user.last_name", required=False, allow_blank=True, max_length=150)
    password = Text(write_only=True, required=False, max_length=128, trim_whitespace=False)
    attributes = serializers.DictField(required=False, help_text="Custom attributes, as admins define them.")

    class Meta:
        model = Developer
        fields = [
            "id",
            "org_id",
            "username",
            "email",
            "first_name",
            "last_name",
            "password",
            "role",
            "attributes",
        ]

    def create(self, validated_data: dict[str, Any]) -> Developer:
        return self._save(Developer(), validated_data)

    def update(self, instance: Developer, validated_data: dict[str, Any]) -> Developer:
        keep_organisation(instance.organisation_id, validated_data)
        return self._save(instance, validated_data)

    def _save(self, developer: Developer, values: dict[str, Any]) -> Developer:
        login, password = values.pop("user", {}), values.pop("password", None)
        for name, value in values.items():
            setattr(developer, name, value)
        developers.save_developer(developer, login, password)
        return developer


class DeveloperFilter(django_filters.FilterSet):  # type: ignore[misc]
    org_id = django_filters.CharFilter(field_name="organisation_id")
    email = django_filters.CharFilter(field_name="user__email", lookup_expr="iexact")
    username = django_filters.CharFilter(field_name="user__username")
    role = django_filters.ChoiceFilter(choices=Developer.Role.choices)


class DeveloperViewSet(ModelResource[Developer]):
    """Users of the portal. Deleting one deletes the login and the applications; keys stay, without application."""

    scope = "developers"
    kind = "developer"
    queryset = Developer.objects.select_related("user")
    serializer_class = DeveloperSerializer
    filterset_class = DeveloperFilter
    lookup_value_regex = NUMBER
    ordering = ["id"]
    ordering_fields = ["id", "role"]

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Deletes the login and the applications, too; keys stay, without application. Who was sent more than 1,000
        e-mails is locked out at once and erased by a worker; until then it may still be listed.
        """
        return super().destroy(request, *args, **kwargs)

    def remove(self, row: Developer) -> None:
        developers.delete_developer(row, actor_of(self.request))


class ApplicationSerializer(StrictModelSerializer):
    """Belongs to a developer, and with it to an organisation."""

    org_id = serializers.CharField(source="organisation_id", read_only=True)
    developer_id = OwnedField(source="developer", rows=living(Developer.objects.all()), tenancy="organisation")

    class Meta:
        model = Application
        fields = ["id", "org_id", "developer_id", "name", "description"]
        validators: list[Any] = []  # the unique name is checked with everything else

    def create(self, validated_data: dict[str, Any]) -> Application:
        return self.update(Application(), validated_data)

    def update(self, instance: Application, validated_data: dict[str, Any]) -> Application:
        developer = validated_data.get("developer")
        if instance.pk and developer and developer.organisation_id != instance.organisation_id:
            raise serializers.ValidationError({"developer_id": [f"must be a developer of {instance.organisation_id}"]})
        for name, value in validated_data.items():
            setattr(instance, name, value)
        developers.save_application(instance)
        return instance


class ApplicationFilter(django_filters.FilterSet):  # type: ignore[misc]
    org_id = django_filters.CharFilter(field_name="organisation_id")
    developer_id = IdFilter()
    name = django_filters.CharFilter()


class ApplicationViewSet(ModelResource[Application]):
    """What developers build; owns keys."""

    scope = "applications"
    kind = "application"
    queryset = Application.objects.all()
    serializer_class = ApplicationSerializer
    filterset_class = ApplicationFilter
    lookup_value_regex = NUMBER
    ordering = ["id"]
    ordering_fields = ["id", "name"]

    def remove(self, row: Application) -> None:
        developers.delete_application(row)
