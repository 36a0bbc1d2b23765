"""`/api/v1/tokens`: admin tokens, shown once."""

from datetime import UTC, datetime

import django_filters
from django.db import transaction
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from organisations_app import admin_tokens
from organisations_app.models import AdminToken
from organisations_app.rest.authentication import actor_of, reach_of
from organisations_app.rest.fields import NUMBER, Choice, OrganisationField, StrictModelSerializer
from organisations_app.rest.filters import Flag
from organisations_app.rest.resources import Resource, answer


class TokenSerializer(StrictModelSerializer):
    """Without `expires_at` a token lives a year, or as long as its maker's; `null` is for ever."""

    org_id = OrganisationField(required=False, allow_null=True, help_text="null: all organisations.")
    scopes = serializers.ListField(child=Choice(choices=admin_tokens.SCOPES), min_length=1)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)

    class Meta:
        model = AdminToken
        fields = ["id", "name", "org_id", "scopes", "expires_at", "hint", "last_used_at", "created_by", "created_at"]
        read_only_fields = ["hint", "last_used_at", "created_by"]


class NewTokenShape(TokenSerializer):
    token = serializers.CharField(read_only=True, help_text="The token itself: shown this once.")

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]


class TokenFilter(django_filters.FilterSet):  # type: ignore[misc]
    org_id = django_filters.CharFilter(field_name="organisation_id")
    name = django_filters.CharFilter()
    never_used = Flag(field_name="last_used_at", lookup_expr="isnull")


class TokenViewSet(mixins.ListModelMixin, Resource[AdminToken]):
    """Ways in for programs. A token makes tokens that reach no further than itself."""

    scope = "tokens"
    queryset = AdminToken.objects.all()
    serializer_class = TokenSerializer
    filterset_class = TokenFilter
    lookup_value_regex = NUMBER
    ordering = ["-created_at"]
    ordering_fields = ["created_at", "name"]

    def retrieve(self, request: Request, pk: str) -> Response:
        return answer(self.document(self.get_object()))

    @extend_schema(responses={201: NewTokenShape})
    @transaction.atomic
    def create(self, request: Request) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        reach = reach_of(request)
        token = AdminToken(organisation_id=reach.organisation_id, expires_at=_end(reach.expires_at))
        for name, value in serializer.validated_data.items():
            setattr(token, name, value)
        text = admin_tokens.create_token(token, actor_of(request), reach)
        document = self.document(token)
        self.record("create", admin_tokens.subject_of(token), after=document)
        return answer(document, status.HTTP_201_CREATED, shown_once={"token": text})

    @transaction.atomic
    def destroy(self, request: Request, pk: str) -> Response:
        token = self.locked()
        subject, before = admin_tokens.subject_of(token), self.document(token)
        admin_tokens.delete_token(token)
        self.record("delete", subject, before=before)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _end(makers: datetime | None) -> datetime:
    end = timezone.now() + admin_tokens.DEFAULT_LIFETIME
    return min(end, makers or datetime.max.replace(tzinfo=UTC))
