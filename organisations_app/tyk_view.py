"""The frame of every view of the Tyk dialect: the secret first, then the method, then JSON in, Tyk's envelope out."""

import hmac
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, ValidationError
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from organisations_app.documents import MAX_BYTES, DocumentError, parse_object, problems_of

WRONG_SECRET = "Attempted administrative access with invalid or missing key!"  # noqa: S105  (Tyk's words, no secret)
WRONG_METHOD = "Method not supported"
AT_THE_SAME_TIME = "Somebody else wrote the same at this moment; nothing was changed. Read it again, then try again"

# Where a model's field stands in Tyk's documents, if not at the root under its own name.
POINTERS: Mapping[str, str] = {
    "listen_path": "/proxy/listen_path",
    "target_url": "/proxy/target_url",
    "auth_header_name": "/auth/auth_header_name",
    "trigger_limits": "/monitor/trigger_limits",
    "partition_per_api": "/partitions",
    "expires_at": "/expires",
}


class TykError(Exception):
    """The request ends with this status and message."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.message = message
        super().__init__(message)


@method_decorator([csrf_exempt, never_cache], name="dispatch")
class TykView(View):
    """Answers in Tyk's envelope. Methods raise TykError, DocumentError or ValidationError; nothing is saved then."""

    http_method_names = ["get", "post", "put", "delete"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            check_secret(request)
            check_address(request)
            return super().dispatch(request, *args, **kwargs)
        except TykError as error:
            return answer_error(error.status, error.message)
        except DocumentError as error:
            return answer_error(400, str(error))
        except ValidationError as error:
            return answer_error(400, "; ".join(map(str, problems_of(error, POINTERS))))
        except IntegrityError:
            return answer_error(409, AT_THE_SAME_TIME)

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return answer_error(405, WRONG_METHOD)


class UnknownPath(TykView):
    """Whatever Tyk may have there, this gateway does not."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            check_secret(request)
        except TykError as error:
            return answer_error(error.status, error.message)
        return answer_error(404, "Not found")


class Reload(TykView):
    """Changes hold at once here: a polite no-op."""

    def get(self, request: HttpRequest) -> JsonResponse:
        return JsonResponse({"status": "ok", "message": ""})


def check_secret(request: HttpRequest) -> None:
    """Compares `X-Tyk-Authorization` in constant time; without a configured secret all is refused. Raises TykError."""
    secret, given = settings.GATEWAY_ADMIN_SECRET.encode(), request.headers.get("X-Tyk-Authorization", "").encode()
    if not secret or not hmac.compare_digest(secret, given):
        raise TykError(403, WRONG_SECRET)


def check_address(request: HttpRequest) -> None:
    """No id, key or filter can hold NUL, and PostgreSQL does not even look for one. Raises TykError."""
    if "\0" in request.path or any("\0" in value for values in request.GET.lists() for value in values[1]):
        raise TykError(400, "The address must not hold NUL characters")


def body_of(request: HttpRequest) -> dict[str, Any]:
    """The JSON object in the body. Raises TykError if it is too large, DocumentError if it is none."""
    try:
        body = request.body
    except RequestDataTooBig:
        raise TykError(413, f"The body must have at most {MAX_BYTES} bytes") from None
    if len(body) > MAX_BYTES:
        raise TykError(413, f"The body must have at most {MAX_BYTES} bytes")
    return parse_object(body)


def flag(request: HttpRequest, name: str) -> bool:
    """A query parameter that says yes: Tyk takes `1` for most and anything for `hashed`."""
    return request.GET.get(name, "").lower() not in ("", "0", "false")


def answer_error(status: int, message: str) -> JsonResponse:
    return JsonResponse({"status": "error", "message": message}, status=status)


def answer_written(key: str, action: str, key_hash: str = "") -> JsonResponse:
    """Tyk's envelope for a write: `action` is added, modified or deleted."""
    return JsonResponse({"key": key, "status": "ok", "action": action, **({"key_hash": key_hash} if key_hash else {})})
