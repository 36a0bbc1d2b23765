"""Views of `/api/v1` that belong to no resource."""

from typing import Any, NoReturn

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.views import APIView

ID = r"[^/\x00-\x1f]+"  # any id in an address; databases choke on NUL


@extend_schema(exclude=True)
class UnknownPath(APIView):
    """A problem document instead of the site's error page; who asks is checked first."""

    def get(self, request: Request, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotFound("There is no such resource.")

    post = put = patch = delete = get
