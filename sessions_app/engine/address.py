"""Where the counter store is: one server, a master that sentinels know, or a cluster. Read from REDIS_URL."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from redis.connection import parse_url

DEFAULT_PORT = 6379
DEFAULT_SENTINEL_PORT = 26379
_OF_SENTINELS = ("sentinel_username", "sentinel_password")


class Kind(Enum):
    SERVER = ""
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class Address:
    """`hosts` are the server, the sentinels or some cluster nodes; none for a unix socket (`path`).

    `options` are redis-py's names for the rest of the URL: username, password, db, ssl_ca_certs, …
    """

    kind: Kind
    hosts: tuple[tuple[str, int], ...]
    tls: bool
    path: str = ""
    master_name: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    sentinel_options: dict[str, Any] = field(default_factory=dict)


def parse_address(url: str) -> Address:
    """Understands `redis[s]://host:port/db`, `unix://path`, `redis[s]+sentinel://host:port,host:port/master/db`,
    `redis[s]+cluster://host:port,host:port`, each with `user:password@` and redis-py's query arguments.

    Raises ValueError.
    """
    parts = urlsplit(url)
    scheme, _, suffix = parts.scheme.partition("+")
    if scheme == "unix" and not suffix:
        options = _options(url)
        return Address(Kind.SERVER, (), tls=False, path=options.pop("path", ""), options=options)
    if scheme not in ("redis", "rediss") or suffix not in [kind.value for kind in Kind]:
        raise ValueError(
            "the counter store's URL begins with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"
        )
    kind = Kind(suffix)
    user, at, hosts = parts.netloc.rpartition("@")
    master_name, _, database = (
        parts.path.strip("/").partition("/") if kind is Kind.SENTINEL else ("", "", parts.path.strip("/"))
    )
    if kind is Kind.SENTINEL and not master_name:
        raise ValueError(
            "a redis+sentinel:// URL names the master after the hosts: redis+sentinel://host:26379/mymaster"
        )
    query = dict(parse_qsl(parts.query))
    sentinel_options = {name.removeprefix("sentinel_"): query.pop(name) for name in _OF_SENTINELS if name in query}
    return Address(
        kind,
        _hosts(hosts, DEFAULT_SENTINEL_PORT if kind is Kind.SENTINEL else DEFAULT_PORT),
        tls=scheme == "rediss",
        master_name=master_name,
        options=_options(f"{scheme}://{user}{at}host/{database}?{urlencode(query)}"),
        sentinel_options=sentinel_options,
    )


def _hosts(netloc: str, default_port: int) -> tuple[tuple[str, int], ...]:
    found = []
    for item in netloc.split(","):
        parts = urlsplit(f"//{item}")
        found.append((parts.hostname or "localhost", default_port if parts.port is None else parts.port))
    return tuple(found)


def _options(url: str) -> dict[str, Any]:
    options: dict[str, Any] = parse_url(url)
    for name in ("host", "port", "connection_class"):
        options.pop(name, None)
    return options
