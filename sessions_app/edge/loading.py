"""What the engine is given for one request: the grant of its token on its route, both equally new (rule 1.5)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sessions_app import grants, routes
from sessions_app.edge import paths
from sessions_app.edge.threads import in_thread
from sessions_app.engine.types import Grant, Refusal, Snapshot
from sessions_app.routes import Route, RouteTable
from sessions_app.usage import snapshots

Headers = Mapping[bytes, bytes]


class RouteChanged(Exception):
    """The path leads elsewhere since the request was matched: it has to be judged anew. Nothing was counted."""


class Request(NamedTuple):
    """What is judged. `path` is decoded. `raw_path`, as it came, is given when the request will be passed on."""

    path: str
    headers: Headers
    raw_path: str | None = None
    address: str = ""  # of the caller, for the brake of rule 1.6; empty: unknown, not braked

    def route_in(self, table: RouteTable) -> Route | None:
        route = table.match(self.path)
        if route is None or self.raw_path is None or paths.rest_of(self.raw_path, route.listen_path) is not None:
            return route
        return None


class Loader:
    """One credential on one route. A grant is only handed out while the route is as new as the grant."""

    __slots__ = ("_seen", "request", "route", "table", "token")

    def __init__(self, request: Request, table: RouteTable, route: Route, token: str) -> None:
        self.request, self.table, self.route, self.token = request, table, route, token
        self._seen: Grant | None = None  # by is_new: looking costs a digest, and the first use follows at once

    def cached(self) -> Grant | None:
        found, self._seen = self._seen or grants.cached(self.token, self.route.api_id), None
        if found is None or found.versions.gateway <= self.table.version:
            return found
        self._follow(routes.current())
        return found if found.versions.gateway <= self.table.version else None

    def compiled(self) -> Grant | Refusal:
        found = grants.compile_grant(self.token, self.route.api_id)
        if isinstance(found, Grant) and found.versions.gateway > self.table.version:
            newest = routes.current()
            self._follow(newest if found.versions.gateway <= newest.version else routes.refresh())
        return found

    def _follow(self, table: RouteTable) -> None:
        if self.request.route_in(table) != self.route:
            raise RouteChanged
        self.table = table

    @property
    def is_new(self) -> bool:
        """Nothing is known of this token in this process: judging it will ask the database."""
        self._seen = grants.cached(self.token, self.route.api_id)
        return self._seen is None

    def load(self, refresh: bool) -> Grant | Refusal:
        if not refresh and (found := self.cached()):
            return found
        return self.compiled()

    def snapshots(self, names: Sequence[str]) -> Mapping[str, Snapshot]:
        return snapshots(names)


class AsyncLoader:
    """As Loader, for the event loop: what reads the database goes to a thread."""

    __slots__ = ("loader",)

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    async def load(self, refresh: bool) -> Grant | Refusal:
        if not refresh and (found := self.loader.cached()):
            return found
        return await in_thread(self.loader.compiled)

    async def snapshots(self, names: Sequence[str]) -> Mapping[str, Snapshot]:
        return await in_thread(snapshots, names)
