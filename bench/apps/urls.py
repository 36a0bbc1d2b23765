"""Two views that answer "ok": one as bare as Django allows, one behind the throttle of Django REST framework."""

import itertools

from django.http import HttpRequest, HttpResponse
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from bench.names import DJANGO_PATH, THROTTLED_PATH


class KeyThrottle(SimpleRateThrottle):
    """Throttles by key, at the rate that the documentation of DRF shows. A key used up gives way to the next."""

    rate = "1000/day"
    _served = itertools.count()

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return f"throttle:{request.headers['Authorization']}:{next(self._served) // 1000}"


def bare(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"ok", content_type="text/plain")


class Throttled(APIView):
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = (KeyThrottle,)

    def get(self, request: Request) -> Response:
        return Response("ok")


urlpatterns = [path(DJANGO_PATH.lstrip("/"), bare), path(THROTTLED_PATH.lstrip("/"), Throttled.as_view())]
