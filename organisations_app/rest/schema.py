"""What every operation of `/api/v1` says of itself in OpenAPI: how to log in, and how a refusal looks."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers

ONCE = "Any text of your own. Sent again within 24 hours, the same request gets the same answer and acts once."
MATCH = "The ETag that you have seen: refused with 412 if it is not the present one."


REFUSALS = {
    400: "What was sent is wrong; `errors` point at each wrong member or parameter.",
    401: "No token, or one that is not known or has expired.",
    403: "The token lacks a scope, or is bound to an organisation where that must not be.",
    404: "There is no such object, or it belongs to another organisation; of a list: no such page.",
    409: "What it is about stands against it, or somebody else wrote the same at this moment.",
    412: "`If-Match` names another state than the present one.",
    413: "The body has more than 1 MiB.",
    415: "The body must be `application/json`.",
    422: "This `Idempotency-Key` came with another request before.",
    429: "The same was asked for a moment ago; `Retry-After` says how long to wait.",
    503: "The counter store does not answer; nothing was done.",
}


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
        return bodies | {str(status): self._problem(status) for status in self._refusals()}

    def _refusals(self) -> list[int]:
        """Statuses that this operation can refuse with, by what it takes."""
        is_list = self._is_list_view()
        found = {401, 403, *getattr(self.view, "may_refuse", ())}
        if self.method not in ("GET", "HEAD"):
            found |= {409}  # somebody else wrote the same at that moment
        if self.method in ("POST", "PUT", "PATCH") and self.get_request_serializer():
            found |= {400, 413, 415}
        if is_list or self.get_override_parameters() or self.method == "POST":
            found |= {400}
        if "{" in self.path or is_list:  # a list's cursor leads nowhere
            found |= {404}
        header = self._header()
        found |= {"If-Match": {412}, "Idempotency-Key": {422}}.get(header["name"], set()) if header else set()
        return sorted(found)

    def _problem(self, status: int) -> dict[str, Any]:
        reference = self.resolve_serializer(ProblemShape, "response").ref
        return {"description": REFUSALS[status], "content": {"application/problem+json": {"schema": reference}}}


def share_refusals(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A postprocessing hook of drf-spectacular: refusals stand in the document once, not with each operation."""
    shared = result["components"].setdefault("responses", {})
    for path in result["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                if "application/problem+json" in response.get("content", {}):
                    shared[f"Refused{status}"] = response
                    operation["responses"][status] = {"$ref": f"#/components/responses/Refused{status}"}
    return result


def _text_header(name: str, description: str) -> dict[str, Any]:
    return {"in": "header", "name": name, "schema": {"type": "string"}, "description": description}
