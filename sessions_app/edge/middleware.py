"""The Django face: requests to APIs that views of this project serve are judged before any view, sync or async.

`request.tollgate` is the Decision of a judged request. A path reserved for the gateway itself costs one look into a
set; a request that the data plane has judged already is not judged again.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from sessions_app.edge import callers
from sessions_app.edge.answers import Answer
from sessions_app.edge.data_plane import VERDICT
from sessions_app.edge.judging import Verdict, judge, judge_async
from sessions_app.edge.loading import Request
from sessions_app.edge.rendering import LIMIT_HEADERS, limit_headers, rejection

View = Callable[[HttpRequest], HttpResponseBase]
AsyncView = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@sync_and_async_middleware
def enforcement(get_response: Any) -> View | AsyncView:
    """Django's middleware factory: name it in MIDDLEWARE, above all that costs something."""
    reserved = frozenset(settings.GATEWAY_RESERVED_PREFIXES)
    return (
        _asynchronous(get_response, reserved)
        if iscoroutinefunction(get_response)
        else _synchronous(get_response, reserved)
    )


def _synchronous(get_response: View, reserved: frozenset[str]) -> View:
    def middleware(request: HttpRequest) -> HttpResponseBase:
        if _first_segment(request) in reserved:
            return get_response(request)
        verdict = _given_verdict(request) or judge(_asked(request))
        return _rejected(request, verdict) or _marked(get_response(request), verdict)

    return middleware


def _asynchronous(get_response: AsyncView, reserved: frozenset[str]) -> AsyncView:
    async def middleware(request: HttpRequest) -> HttpResponseBase:
        if _first_segment(request) in reserved:
            return await get_response(request)
        verdict = _given_verdict(request) or await judge_async(_asked(request))
        return _rejected(request, verdict) or _marked(await get_response(request), verdict)

    return middleware


def _first_segment(request: HttpRequest) -> str:
    return request.path_info[1:].partition("/")[0]


def _given_verdict(request: HttpRequest) -> Verdict | None:
    """What the data plane has said of this very request, when it came that way."""
    scope: Mapping[str, Any] = getattr(request, "scope", {})
    return scope.get(VERDICT)


def _asked(request: HttpRequest) -> Request:
    """The path as Django's URL resolver will see it."""
    return Request(request.path_info, _MetaHeaders(request.META), address=_caller(request))


def _caller(request: HttpRequest) -> str:
    peer, claims = str(request.META.get("REMOTE_ADDR") or ""), str(request.META.get("HTTP_X_FORWARDED_FOR") or "")
    return callers.address_behind(peer, claims, tuple(settings.GATEWAY_TRUSTED_PROXIES))


def _rejected(request: HttpRequest, verdict: Verdict) -> HttpResponse | None:
    """The rejection, or None when a view may answer. Of a path that is no API's, Django has to know what it is."""
    request.tollgate = verdict.decision  # type: ignore[attr-defined]
    if verdict.passes or verdict.route is None:
        return None
    return _response(rejection(verdict.decision, settings.GATEWAY_RESPONSES, verdict.route.auth_header_name))


def _response(answer: Answer) -> HttpResponse:
    headers = {name.decode().title(): value.decode() for name, value in answer.headers}
    return HttpResponse(answer.body, status=answer.status, headers=headers)


def _marked(response: HttpResponseBase, verdict: Verdict) -> HttpResponseBase:
    """The view's response with the caller's limits; what the view says of limits itself is replaced (rule 8.1)."""
    if verdict.route is None:
        return response
    for name in [name for name in response.headers if name.lower().encode() in LIMIT_HEADERS]:
        del response[name]
    for header, value in limit_headers(verdict.decision.states):
        response[header.decode()] = value.decode()
    return response


class _MetaHeaders(Mapping[bytes, bytes]):
    """Django's request headers by lower-case name, without building what is not asked for."""

    def __init__(self, meta: Mapping[str, Any]) -> None:
        self._meta = meta

    def __getitem__(self, name: bytes) -> bytes:
        value: str = self._meta[f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}"]
        return value.encode("latin-1", "replace")

    def __iter__(self) -> Iterator[bytes]:
        return (name[5:].lower().replace("_", "-").encode("latin-1") for name in self._meta if name.startswith("HTTP_"))

    def __len__(self) -> int:
        return sum(1 for _ in self)
