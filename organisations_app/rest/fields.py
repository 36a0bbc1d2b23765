"""Serializers that take JSON at its word: `5` is no text, `"5"` no number, `"yes"` no boolean.

An unknown member is a mistake, not noise.
"""

from typing import Any

from django.db import models
from django.db.models import QuerySet
from rest_framework import serializers

from organisations_app.documents import brief, is_number
from organisations_app.models import Organisation
from organisations_app.rest.authentication import organisations_of
from organisations_app.tenancy import within

NUMBER = r"[0-9]{1,18}"  # a numeric id in an address


class Text(serializers.CharField):
    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError(f"must be a text, not {brief(data)}", code="invalid")
        return super().to_internal_value(data)


class Email(Text, serializers.EmailField):
    pass


class Switch(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            raise serializers.ValidationError(f"must be true or false, not {brief(data)}", code="invalid")
        return data


class Number(serializers.FloatField):
    default_error_messages = {"overflow": "must be a smaller number"}

    def to_internal_value(self, data: Any) -> float:
        if not is_number(data):
            raise serializers.ValidationError(f"must be a number, not {brief(data)}", code="invalid")
        return super().to_internal_value(data)


class Choice(serializers.ChoiceField):
    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str) or data not in self.choices:
            raise serializers.ValidationError(
                f"must be one of {', '.join(self.choices)}, not {brief(data)}", code="invalid_choice"
            )
        return data


class OwnedField(serializers.PrimaryKeyRelatedField[Any]):
    """A row of the sender's organisation by its id; another organisation's is as good as none."""

    def __init__(self, *, rows: QuerySet[Any], tenancy: str, **options: Any) -> None:
        self.rows, self.tenancy = rows, tenancy
        super().__init__(queryset=rows, **options)

    def get_queryset(self) -> QuerySet[Any]:
        return within(self.rows.all(), organisations_of(self.context["request"]), self.tenancy)

    def to_internal_value(self, data: Any) -> Any:
        meta = self.rows.model._meta
        kind = str if isinstance(meta.pk, models.CharField) else int
        row = self.get_queryset().filter(pk=data).first() if type(data) is kind else None
        if row is None:
            name = meta.verbose_name
            raise serializers.ValidationError(f"{brief(data)} is no {name} that exists", code="does_not_exist")
        return row


class OrganisationField(OwnedField):
    """`org_id`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(rows=Organisation.objects.living(), tenancy="pk", source="organisation", **options)


def keep_identifier(identifier: str, validated_data: dict[str, Any]) -> None:
    """Raises ValidationError for an attempt to rename."""
    if validated_data.pop("id", identifier) != identifier:
        raise serializers.ValidationError({"id": [f"must stay {identifier}"]}, code="fixed")


def keep_organisation(organisation_id: str, validated_data: dict[str, Any]) -> None:
    """Raises ValidationError for an attempt to move to another organisation."""
    organisation = validated_data.pop("organisation", None)
    if organisation is not None and organisation.pk != organisation_id:
        raise serializers.ValidationError({"org_id": [f"must stay {organisation_id}"]}, code="fixed")


class KnownMembers(serializers.Serializer):  # type: ignore[type-arg]
    """Refuses members that the serializer does not have.

    Those that are only answered are passed over, so that an answer can be sent back.
    """

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := [name for name in data if name not in self.fields]):
            known = ", ".join(self.fields)
            raise serializers.ValidationError(
                {name: [f"is no member here; known are {known}"] for name in unknown}, code="unknown"
            )
        return super().to_internal_value(data)


class StrictModelSerializer(KnownMembers, serializers.ModelSerializer):  # type: ignore[type-arg]
    serializer_field_mapping = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.CharField: Text,
        models.TextField: Text,
        models.BooleanField: Switch,
        models.FloatField: Number,
    }
    serializer_choice_field = Choice
