"""What is measured, and which ratios between the measurements are promised."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.names import DJANGO_PATH, FORWARD_AUTH_PATH, PROXIED_PATH, THROTTLED_PATH

GATEWAY_SETTINGS = "gateway_project.settings"
BARE_SETTINGS = "bench.apps.bare_settings"
ENFORCED_SETTINGS = "bench.apps.enforced_settings"


@dataclass(frozen=True)
class Seeded:
    """What the seed made: raw keys with one limit (key quota) and with all four, and the token for `/decide/*`."""

    one_limit_key: str
    four_limits_key: str
    decide_token: str


HeadersOf = Callable[[Seeded], Mapping[str, str]]


@dataclass(frozen=True)
class Scenario:
    """One server under one load."""

    name: str
    label: str
    application: str
    interface: str
    settings: str
    path: str
    headers: HeadersOf


@dataclass(frozen=True)
class Target:
    """`scenario` answers at least `at_least` times as many requests as `peer`; None: shown, nothing promised."""

    scenario: str
    peer: str
    at_least: float | None


def _no_headers(seeded: Seeded) -> Mapping[str, str]:
    return {}


def _one_limit(seeded: Seeded) -> Mapping[str, str]:
    return {"Authorization": seeded.one_limit_key}


def _decide(key: str, token: str) -> Mapping[str, str]:
    forwarded = {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": DJANGO_PATH}
    return {"Authorization": key, "X-Decide-Token": token, **forwarded}


BARE_ASGI = ("bench.apps.bare:application", "asgi", GATEWAY_SETTINGS)
GATEWAY = ("gateway_project.asgi:application", "asgi", GATEWAY_SETTINGS)
DJANGO = ("gateway_project.wsgi:application", "wsgi", BARE_SETTINGS)
ENFORCED = ("gateway_project.wsgi:application", "wsgi", ENFORCED_SETTINGS)

SCENARIOS = (
    Scenario("asgi", "Bare ASGI application", *BARE_ASGI, "/", _no_headers),
    Scenario(
        "decide", "**`/decide/forward-auth`**, one limit", *GATEWAY, FORWARD_AUTH_PATH, lambda seeded: _decide(seeded.one_limit_key, seeded.decide_token)
    ),
    Scenario(
        "decide-four", "**`/decide/forward-auth`**, four limits", *GATEWAY, FORWARD_AUTH_PATH, lambda seeded: _decide(seeded.four_limits_key, seeded.decide_token)
    ),
    Scenario("proxy", "**Proxy** to the bare ASGI application, one limit", *GATEWAY, PROXIED_PATH, _one_limit),
    Scenario("django", "Bare Django view (WSGI)", *DJANGO, DJANGO_PATH, _no_headers),
    Scenario("middleware", "The same view behind **the middleware**, one limit", *ENFORCED, DJANGO_PATH, _one_limit),
    Scenario("drf", "DRF throttling on a Redis cache (WSGI)", *DJANGO, THROTTLED_PATH, _one_limit),
)

TARGETS = (
    Target("middleware", "django", 0.4),
    Target("middleware", "drf", 2.5),
    Target("decide", "asgi", 0.2),
    Target("decide", "drf", 12),
    Target("decide-four", "decide", None),
    Target("proxy", "asgi", None),
)

COUNTER_BYTES_AT_MOST = 300
