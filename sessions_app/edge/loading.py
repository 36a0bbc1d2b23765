"""What the engine is given for one request: the grant of its token on its route, both equally new (rule 1.5)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sessions_app import grants, routes
from sessions_app.edge import compiling, paths
from sessions_app.edge.threads import in_thread
from sessions_app.engine.check import Freshness
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

    __slots__ = ("_given", "_seen", "request", "route", "table", "token")

    def __init__(self, request: Request, table: RouteTable, route: Route, token: str) -> None:
        self.request, self.table, self.route, self.token = request, table, route, token
        self._seen: Grant | None = None  # by is_new: looking costs a digest, and the first use follows at once
        self._given: Grant | None = None  # what the engine works with

    def kept(self, freshness: Freshness) -> Grant | None:
        """The cached grant, if it will do. To renew ours, one that was compiled for somebody else meanwhile does."""
        if freshness is Freshness.OWN:
            return None
        found, self._seen = self._seen or grants.cached(self.token, self.route.api_id), None
        return None if freshness is Freshness.RENEWED and found is self._given else found

    def given(self, found: Grant | Refusal) -> Grant | Refusal:
        """This, once our routes are as new. May read the database."""
        if self.outruns_routes(found):
            self._follow(routes.refresh())
        self._given = found if isinstance(found, Grant) else None
        return found

    def outruns_routes(self, found: Grant | Refusal) -> bool:
        """Whether this process's routes are older than this grant."""
        if isinstance(found, Refusal) or found.versions.gateway <= self.table.version:
            return False
        self._follow(routes.current())
        return found.versions.gateway > self.table.version

    def _follow(self, table: RouteTable) -> None:
        if self.request.route_in(table) != self.route:
            raise RouteChanged
        self.table = table

    @property
    def is_new(self) -> bool:
        """Nothing is known of this token in this process: judging it will ask the database."""
        self._seen = grants.cached(self.token, self.route.api_id)
        return self._seen is None

    def load(self, freshness: Freshness) -> Grant | Refusal:
        late = freshness is not Freshness.OWN
        return self.given(self.kept(freshness) or compiling.compiled(self.token, self.route.api_id, late=late))

    def snapshots(self, names: Sequence[str]) -> Mapping[str, Snapshot]:
        return snapshots(names)


class AsyncLoader:
    """As Loader, for the event loop: what reads the database goes to a thread."""

    __slots__ = ("loader",)

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    async def load(self, freshness: Freshness) -> Grant | Refusal:
        loader, late = self.loader, freshness is not Freshness.OWN
        found = loader.kept(freshness) or await compiling.compiled_async(loader.token, loader.route.api_id, late=late)
        return await in_thread(loader.given, found) if loader.outruns_routes(found) else loader.given(found)

    async def snapshots(self, names: Sequence[str]) -> Mapping[str, Snapshot]:
        return await in_thread(snapshots, names)
