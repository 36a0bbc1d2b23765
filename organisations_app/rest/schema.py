"""What every operation of `/api/v1` says of itself in OpenAPI: how to log in, and how a refusal looks."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers

ONCE = "Any text of your own. Sent again within 24 hours, the same request gets the same answer and acts once."
MATCH = "The ETag that you have seen: refused with 412 if it is not the present one."


class ErrorShape(serializers.Serializer[Any]):
    """One thing that is wrong."""

    pointer = serializers.CharField(help_text="JSON pointer into the request; empty: the request itself.")
    detail = serializers.CharField(help_text="What is wrong, and what is allowed.")
    code = serializers.CharField()


class ProblemShape(serializers.Serializer[Any]):
    """A problem document (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField()
    errors = ErrorShape(many=True)  # type: ignore[assignment]  # the document's member, not the serializer's own


class RootTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "organisations_app.rest.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


class StaffSessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "rest_framework.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


class DocumentedSchema(AutoSchema):
    """Adds to every operation the problem document, and the headers that all of its kind take."""

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is not None and (header := self._header()):
            operation["parameters"] = [*operation.get("parameters", ()), header]
        return operation

    def _header(self) -> dict[str, Any] | None:
        if self.method == "POST" and getattr(self.view, "answers_once", False):
            return _text_header("Idempotency-Key", ONCE)
        return _text_header("If-Match", MATCH) if self.method in ("PUT", "PATCH", "DELETE") else None

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        return bodies | {"default": self._problem()}

    def _problem(self) -> dict[str, Any]:
        reference = self.resolve_serializer(ProblemShape, "response").ref
        return {"description": "Refused", "content": {"application/problem+json": {"schema": reference}}}


def _text_header(name: str, description: str) -> dict[str, Any]:
    return {"in": "header", "name": name, "schema": {"type": "string"}, "description": description}
