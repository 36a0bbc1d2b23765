"""A database that is down, as people and programs are told of it (rule 9.3): 503 in words, never a stack trace."""

import logging
import sqlite3
from collections.abc import Iterator
from typing import Any

from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.deprecation import MiddlewareMixin

from gateway_project.health_checks import DATABASE_DOWN
from organisations_app.documents import Problem
from organisations_app.rest import problems
from organisations_app.tyk_view import answer_error

log = logging.getLogger(__name__)

RETRY_SECONDS = 15
CODE = "database_unavailable"
DETAIL = f"The database does not answer, so the request was not finished. Try again in {RETRY_SECONDS} seconds."
# PostgreSQL: connection exceptions, too many connections, shutting or starting up. No state at all: nobody answered.
DOWN_STATES = ("08", "53300", "57P0")
DOWN_ON_SQLITE = ("SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_NOTADB")


class DatabaseOutageMiddleware(MiddlewareMixin):
    """In MIDDLEWARE anywhere: what a view did not catch comes to all of them. Other errors stay what they are."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return unavailable(request, exception) if is_outage(exception) else None


class SavedSessionMiddleware(SessionMiddleware):
    """Django's, which saves after the view, where no other middleware can answer in its place. It takes an outage for
    somebody who has logged out meanwhile.
    """

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        try:
            return super().process_response(request, response)
        except (SessionInterrupted, OperationalError, InterfaceError) as error:
            outage = next(filter(is_outage, _with_contexts(error)), None)
            if outage is None:
                raise
            return unavailable(request, outage)


def _with_contexts(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__


def is_outage(error: BaseException) -> bool:
    """Whether the database could not be reached; not whether it refused a statement."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    cause: Any = error.__cause__ or error
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorname", "").startswith(DOWN_ON_SQLITE)
    state = getattr(cause, "sqlstate", None)
    return state is None or state.startswith(DOWN_STATES)


def unavailable(request: HttpRequest, error: BaseException) -> HttpResponse:
    """In the language of the address. Pages are rendered without the request: its login is in the database."""
    log.error("%s was answered with 503, the database does not answer: %s", request.path_info, error)
    response = _told(request.path_info)
    response["Retry-After"] = str(RETRY_SECONDS)
    response["Cache-Control"] = "no-store"
    return response


def _told(path: str) -> HttpResponse:
    if path.startswith("/api/"):
        document = problems.answer(503, CODE, [Problem("", DETAIL, CODE)], {}).data
        return JsonResponse(document, status=503, content_type=problems.CONTENT_TYPE)
    if path.startswith("/tyk/"):
        return answer_error(503, DETAIL)
    if path == "/admin/health/":
        return HttpResponse(render_to_string("admin/health.html", {"checks": [DATABASE_DOWN]}), status=503)
    advice = DATABASE_DOWN.advice if path.startswith("/admin/") else ""
    return HttpResponse(render_to_string("503.html", {"advice": advice}), status=503)
