"""Which API a path belongs to: the listen paths of all active APIs, held in the process and compared by version.

The table is as new as every grant that was compiled in this process, because whoever finds a newer gateway version
refreshes it (rule 1.5).
"""

from dataclasses import dataclass, field

from django.db.models import QuerySet

from organisations_app import versions
from policies_app.models import Api


@dataclass(frozen=True, slots=True)
class Route:
    """One API as the edge needs it. Without `target_url` a Django view of this project serves the path."""

    api_id: str
    listen_path: str
    target_url: str
    strip_listen_path: bool
    auth_header_name: str
    fail_open: bool


@dataclass(frozen=True, slots=True)
class RouteTable:
    """Routes by first path segment, the longest listen path first. `version` -1 was never loaded."""

    version: int = -1
    by_segment: dict[str, tuple[Route, ...]] = field(default_factory=dict)

    def match(self, path: str) -> Route | None:
        """The route with the longest listen path that `path` is under; `/orders` is under `/orders/`."""
        for route in self.by_segment.get(path[1:].partition("/")[0], ()):
            if path.startswith(route.listen_path) or path == route.listen_path[:-1]:
                return route
        return None


_table = RouteTable()


def current() -> RouteTable:
    """The table of this process. Its owner decides from `version` whether it is new enough."""
    return _table


def refresh() -> RouteTable:
    """Reads the table from the database: two queries. The version is read first, so the table is never older than it
    says.
    """
    global _table
    number = versions.numbers([versions.GATEWAY])[versions.GATEWAY]
    loaded = RouteTable(number, _by_segment(Api.objects.filter(is_active=True)))
    if loaded.version >= _table.version:
        _table = loaded
    return _table


def forget() -> None:
    """Back to an empty table: for tests, whose databases come and go."""
    global _table
    _table = RouteTable()


def _by_segment(apis: "QuerySet[Api]") -> dict[str, tuple[Route, ...]]:
    segments: dict[str, list[Route]] = {}
    for api in apis:
        segments.setdefault(api.listen_path.split("/")[1], []).append(_route(api))
    return {name: tuple(sorted(routes, key=lambda route: -len(route.listen_path))) for name, routes in segments.items()}


def _route(api: Api) -> Route:
    return Route(
        api.pk,
        api.listen_path,
        api.target_url,
        api.strip_listen_path,
        api.auth_header_name,
        api.on_store_failure == Api.OnStoreFailure.OPEN,
    )
