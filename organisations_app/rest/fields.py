"""Serializers that take JSON at its word: `5` is no text, `"5"` no number, `"yes"` no boolean.

An unknown member is a mistake, not noise.
"""

from typing import Any

from django.db import models
from rest_framework import serializers

from organisations_app.documents import brief


class Text(serializers.CharField):
    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError(f"must be a text, not {brief(data)}", code="invalid")
        return super().to_internal_value(data)


class Switch(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            raise serializers.ValidationError(f"must be true or false, not {brief(data)}", code="invalid")
        return data


class Choice(serializers.ChoiceField):
    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str) or data not in self.choices:
            raise serializers.ValidationError(
                f"must be one of {', '.join(self.choices)}, not {brief(data)}", code="invalid_choice"
            )
        return data


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
    }
    serializer_choice_field = Choice
