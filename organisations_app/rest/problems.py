"""Errors of `/api/v1` as problem documents (RFC 9457): always with `errors`, each with a pointer into what was sent."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.db.models import ProtectedError
from django.http import Http404
from rest_framework import status
from rest_framework.exceptions import ErrorDetail, NotFound
from rest_framework.exceptions import ValidationError as SerializerError
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

from organisations_app.documents import DocumentError, Problem, escape, problems_of
from organisations_app.rest.refusals import Conflict

CONTENT_TYPE = "application/problem+json"
# Where a model's field stands in the documents of this API, if not at the root under its own name.
POINTERS = {
    "organisation": "/org_id",
    "developer": "/developer_id",
    "trigger_limits": "/monitor/trigger_limits",
    "partition_per_api": "/partitions",
    "expires": "/expires",
}


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler. None lets the error through: that is a bug, and a 500."""
    if isinstance(error, DocumentError):
        return _refused(list(error.problems))
    if isinstance(error, ValidationError):
        return _refused(problems_of(error, POINTERS))
    if isinstance(error, Http404):
        error = NotFound()
    if isinstance(error, ProtectedError):
        error = Conflict("Something else still needs it; remove that first.")
    if isinstance(error, IntegrityError):
        error = Conflict(
            "Somebody else wrote the same at this moment; nothing was changed. Read it again, then try again."
        )
    response = exception_handler(error, context)
    if response is None:
        return None
    problems = list(_flatten(getattr(error, "detail", str(error)), ""))
    if isinstance(error, SerializerError):
        return _refused(problems)
    return answer(response.status_code, problems[0].code, problems, response.headers)


def _refused(problems: list[Problem]) -> Response:
    """What is wrong by itself, or, if it only exists already, with what is there."""
    set_rollback()
    codes = {each.code for each in problems}
    if codes == {"unique"}:
        return answer(status.HTTP_409_CONFLICT, Conflict.default_code, problems, {})
    code = "malformed" if problems and problems[0].code == "malformed" else "invalid"
    return answer(status.HTTP_400_BAD_REQUEST, code, problems, {})


def answer(status_code: int, code: str, problems: list[Problem], headers: Any) -> Response:
    """The problem document. `detail` is for people: all that is wrong in one text."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status_code).phrase,
        "status": status_code,
        "detail": "; ".join(map(str, problems)),
        "code": code,
        "errors": [{"pointer": each.pointer, "detail": each.detail, "code": each.code} for each in problems],
    }
    kept = {name: value for name, value in headers.items() if name in ("WWW-Authenticate", "Retry-After", "Allow")}
    return Response(document, status=status_code, headers=kept, content_type=CONTENT_TYPE)


def _flatten(detail: Any, pointer: str) -> Iterator[Problem]:
    """DRF nests error texts as the document is nested; `non_field_errors` are about the object itself."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from _flatten(inner, pointer if name == "non_field_errors" else f"{pointer}/{escape(str(name))}")
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            yield from _flatten(inner, pointer if isinstance(inner, str) else f"{pointer}/{index}")
    else:
        yield Problem(pointer, str(detail), (detail.code if isinstance(detail, ErrorDetail) else None) or "error")
