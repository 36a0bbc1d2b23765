"""Typed readers of environment variables: a wrong value becomes a problem that names the variable, never a traceback.

An empty variable counts as unset, so that `NAME= make run` means the default.
"""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from environ import Env

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
TRUE_WORDS = ("1", "true", "yes", "on")
FALSE_WORDS = ("0", "false", "no", "off")
DATABASE_SCHEMES = ("postgres", "postgresql", "sqlite")
T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """One wrong variable. The text is for the person who set it and never shows a secret."""

    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.name} {self.text}"


@dataclass
class Reader:
    """Reads variables one by one and collects what is wrong with them in `problems`."""

    values: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)

    def read(self, name: str, default: T, parse: Callable[[str], T], allowed: str) -> T:
        """The parsed value, or `default` when the variable is unset or wrong."""
        raw = self.values.get(name, "").strip()
        if not raw:
            return default
        try:
            return parse(raw)
        except (ValueError, KeyError, ImproperlyConfigured):
            self.report(name, f"must be {allowed}")
            return default

    def report(self, name: str, text: str) -> None:
        self.problems.append(Problem(name, text))


def boolean(raw: str) -> bool:
    word = raw.lower()
    if word not in TRUE_WORDS + FALSE_WORDS:
        raise ValueError(raw)
    return word in TRUE_WORDS


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """A parser of integers from `low` to `high`, both allowed."""

    def parse(raw: str) -> int:
        number = int(raw)
        if not low <= number <= high:
            raise ValueError(raw)
        return number

    return parse


def one_of(*words: str) -> Callable[[str], str]:
    def parse(raw: str) -> str:
        if raw not in words:
            raise ValueError(raw)
        return raw

    return parse


def words(raw: str) -> tuple[str, ...]:
    """Comma-separated words, blanks around them removed."""
    return tuple(word.strip() for word in raw.split(",") if word.strip())


def host_names(raw: str) -> tuple[str, ...]:
    names = words(raw)
    if any("/" in name or " " in name for name in names):
        raise ValueError(raw)
    return names


def networks(raw: str) -> tuple[Network, ...]:
    """Comma-separated addresses or networks, such as `10.0.0.0/8, ::1/128`."""
    return tuple(ipaddress.ip_network(word) for word in words(raw))


def url(*schemes: str) -> Callable[[str], str]:
    """A parser of URLs with one of these schemes and a host. A list of hosts (`a:1,b:2`) passes, for sentinels."""

    def parse(raw: str) -> str:
        parts = urlsplit(raw)
        if parts.scheme not in schemes or not parts.netloc.rpartition("@")[2].strip(":"):
            raise ValueError(raw)
        if "," not in parts.netloc and parts.port == 0:
            raise ValueError(raw)
        return raw

    return parse


def database(raw: str) -> dict[str, Any]:
    """Django's settings of a database from a `postgres://` or `sqlite:///` URL."""
    if urlsplit(raw).scheme not in DATABASE_SCHEMES:  # django-environ would warn, password included
        raise ValueError(raw)
    config: dict[str, Any] = dict(Env.db_url_config(raw))
    if not config["NAME"]:
        raise ValueError(raw)
    return config


def email(raw: str) -> dict[str, Any]:
    """Django's `EMAIL_*` settings from a URL such as `smtp+tls://user:password@host:587` or `filemail:///folder`."""
    config: dict[str, Any] = {name: value for name, value in Env.email_url_config(raw).items() if value is not None}
    if config["EMAIL_BACKEND"].endswith("smtp.EmailBackend") and not config.get("EMAIL_HOST"):
        raise ValueError(raw)
    # django-environ strips the first slash of the path, which would make it relative to wherever a process was started.
    config["EMAIL_FILE_PATH"] = "/" + config.get("EMAIL_FILE_PATH", "").lstrip("/")
    return config
