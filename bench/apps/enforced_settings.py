"""The settings of the Django peers with one middleware: the gateway's."""

from bench.apps.bare_settings import *  # noqa: F403

MIDDLEWARE = ["sessions_app.edge.middleware.enforcement"]
