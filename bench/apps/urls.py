"""Two views that answer "ok": one as bare as Django allows, one behind the throttle of Django REST framework."""

from django.http import HttpRequest, HttpResponse
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from bench.names import DJANGO_PATH, THROTTLED_PATH


class KeyThrottle(SimpleRateThrottle):
    """Throttles by key. Its base keeps a list of all requests of the window: one second is the kindest window."""

    rate = "1000000000/s"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return f"throttle:{request.headers['Authorization']}"


def bare(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"ok", content_type="text/plain")


class Throttled(APIView):
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = (KeyThrottle,)

    def get(self, request: Request) -> Response:
        return Response("ok")


urlpatterns = [path(DJANGO_PATH.lstrip("/"), bare), path(THROTTLED_PATH.lstrip("/"), Throttled.as_view())]
