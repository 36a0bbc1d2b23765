"""The ASGI application: the data plane for APIs, the edge's own addresses, and Django for all the rest."""

import gc
import os
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.urls import get_resolver
from django.utils.module_loading import import_string

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")

django: Any = get_asgi_application()
settings.ENVIRONMENT.stop_if_invalid()
get_resolver().url_patterns  # noqa: B018 - imports all views now: not while the first caller waits

# Django's registry has to be ready before what uses its models.
from gateway_project import health_metrics  # noqa: E402
from sessions_app.edge import callers, metrics  # noqa: E402
from sessions_app.edge.answers import Receive, Scope, Send  # noqa: E402
from sessions_app.edge.data_plane import Application, DataPlane, refuse_websocket  # noqa: E402
from sessions_app.edge.decide import decide  # noqa: E402
from sessions_app.edge.proxy import Proxy  # noqa: E402
from sessions_app.edge.usage import me  # noqa: E402

DEMO_APPLICATION = "demo.asgi.application"


async def control_plane(scope: Scope, receive: Receive, send: Send) -> None:
    """Django, which locks out who guesses passwords by the address of the caller."""
    await django(callers.from_caller(scope), receive, send)


async def expose_metrics(scope: Scope, receive: Receive, send: Send) -> None:
    """Health and backlog are asked for in a thread: whoever looks pays for it, the event loop does not."""
    await sync_to_async(health_metrics.measure, thread_sensitive=False)()
    await metrics.expose(scope, receive, send)


def _faces() -> dict[str, Application]:
    """Who serves which reserved first segment of a path."""
    faces: dict[str, Application] = dict.fromkeys(settings.GATEWAY_RESERVED_PREFIXES, control_plane)
    faces |= {"decide": decide, "me": me, "metrics": expose_metrics}
    if settings.GATEWAY_DEMO:
        faces["demo"] = import_string(DEMO_APPLICATION)
    return faces


proxy = Proxy(settings.GATEWAY_UPSTREAM_CONNECT_SECONDS, settings.GATEWAY_UPSTREAM_READ_SECONDS)
data_plane = DataPlane(control_plane, proxy)
faces = _faces()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """By the first segment of the path: reserved ones are ours, all others are APIs'."""
    if scope["type"] == "http":
        segment = scope["path"][1:].partition("/")[0]
        await faces.get(segment, data_plane)(scope, receive, send)
    elif scope["type"] == "lifespan":
        await _live(receive, send)
    else:
        await refuse_websocket(scope, receive, send)


async def _live(receive: Receive, send: Send) -> None:
    """Everything is opened by its first use, in the loop that uses it; only closing needs the server's word."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await proxy.close()
    await send({"type": "lifespan.shutdown.complete"})


# What start-up made lives as long as the process. A request makes next to no cycles, so looking for them less often
# frees as much, and costs a sixth less per request.
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 20)
