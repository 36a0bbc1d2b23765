"""Lists of `/api/v1` in pages that stay right while rows come and go."""

from rest_framework.pagination import CursorPagination


class Pages(CursorPagination):
    """`page_size` 1 to 200; `next` and `previous` are whole addresses."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
