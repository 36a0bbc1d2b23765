"""What is measured, and which ratios between the measurements are promised."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.names import DJANGO_PATH, FORWARD_AUTH_PATH, PROXIED_PATH, THROTTLED_PATH

GATEWAY_SETTINGS = "gateway_project.settings"
BARE_SETTINGS = "bench.apps.bare_settings"
ENFORCED_SETTINGS = "bench.apps.enforced_settings"

Headers = Mapping[str, str]


@dataclass(frozen=True)
class Seeded:
    """What the seed made: raw keys, and the token for `/decide/*`.

    The first key has one limit (its quota), the second all four (rate and quota of key and organisation), none of which
    is ever reached. The third has limits as people set them, for the size of counters.
    """

    one_limit_key: str
    four_limits_key: str
    typical_key: str
    decide_token: str

    def decide_headers(self, key: str) -> Headers:
        """As a reverse proxy asks about a request with this key."""
        forwarded = {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": DJANGO_PATH}
        return {"Authorization": key, "X-Decide-Token": self.decide_token, **forwarded}


@dataclass(frozen=True)
class Server:
    """What Granian is told to serve, and with which settings."""

    application: str
    interface: str
    settings: str


@dataclass(frozen=True)
class Scenario:
    """One server under one load."""

    name: str
    label: str
    server: Server
    path: str
    headers: Callable[[Seeded], Headers]

    @property
    def judges(self) -> bool:
        """Whether the gateway judges and counts each request."""
        return self.server in (GATEWAY, ENFORCED)


@dataclass(frozen=True)
class Target:
    """`scenario` answers at least `at_least` times as many requests as `peer`; None: shown, nothing promised."""

    scenario: str
    peer: str
    at_least: float | None


BARE_ASGI = Server("bench.apps.bare:application", "asgi", GATEWAY_SETTINGS)
GATEWAY = Server("gateway_project.asgi:application", "asgi", GATEWAY_SETTINGS)
DJANGO = Server("gateway_project.wsgi:application", "wsgi", BARE_SETTINGS)
CONTROL = Server("gateway_project.wsgi:application", "wsgi", GATEWAY_SETTINGS)
ENFORCED = Server("gateway_project.wsgi:application", "wsgi", ENFORCED_SETTINGS)


def _no_headers(seeded: Seeded) -> Headers:
    return {}


def _one_limit(seeded: Seeded) -> Headers:
    return {"Authorization": seeded.one_limit_key}


def _decide_one(seeded: Seeded) -> Headers:
    return seeded.decide_headers(seeded.one_limit_key)


def _decide_four(seeded: Seeded) -> Headers:
    return seeded.decide_headers(seeded.four_limits_key)


# Whose ratio is promised are measured next to each other.
SCENARIOS = (
    Scenario("asgi", "Bare ASGI application", BARE_ASGI, "/", _no_headers),
    Scenario("decide", "**`/decide/forward-auth`**", GATEWAY, FORWARD_AUTH_PATH, _decide_one),
    Scenario("drf", "DRF throttling, 1000/day, on a Redis cache (WSGI)", DJANGO, THROTTLED_PATH, _one_limit),
    Scenario("middleware", "Django view behind **the middleware** (WSGI)", ENFORCED, DJANGO_PATH, _one_limit),
    Scenario("django", "Bare Django view (WSGI)", DJANGO, DJANGO_PATH, _no_headers),
    Scenario("decide-four", "**`/decide/forward-auth`**, four limits", GATEWAY, FORWARD_AUTH_PATH, _decide_four),
    Scenario("proxy", "**Proxy** to the bare ASGI application", GATEWAY, PROXIED_PATH, _one_limit),
)

TARGETS = (
    Target("middleware", "django", 0.4),
    Target("middleware", "drf", 2.5),
    Target("decide", "asgi", 0.2),
    Target("decide", "drf", 12),
    Target("decide-four", "decide", None),
    Target("proxy", "asgi", None),
)

ROUND_TRIPS_AT_MOST = 1
STATEMENTS_AT_MOST = 0
COUNTER_BYTES_AT_MOST = 300
