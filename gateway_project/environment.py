"""Every environment variable of the gateway, read and checked once, with defaults that work on a fresh clone.

What is wrong is collected, not raised: `manage.py` shows it as a system check, servers call `stop_if_invalid`.
"""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from gateway_project import readers
from gateway_project.readers import Network, Problem, Reader
from sessions_app.engine.address import parse_address

BASE_DIR = Path(__file__).resolve().parent.parent
STORE_SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
BROKER_SCHEMES = ("amqp", "amqps", "redis", "rediss", "memory")

# Nobody can listen on port 0: a command that runs while no store does is refused and never meets a stranger's Redis.
NO_STORE_URL = "redis://127.0.0.1:0/0"

# A call normally takes under 1 ms, but fork, AOF rewrite or a busy machine stall a healthy store for 50 to 200 ms.
# Giving a call up lets its request pass unjudged (`open`), so the limit lies above those stalls. The circuit breaker,
# not this number, keeps answers fast while the store stays down.
DEFAULT_STORE_TIMEOUT_MS = 250


@dataclass(frozen=True)
class Environment:
    """The checked values. `problems` names each wrong variable; its value here is then the default."""

    debug: bool
    port: int
    web_workers: int
    var_dir: Path
    public_url: str
    allowed_hosts: tuple[str, ...]
    database: dict[str, Any]
    store_url: str
    broker_url: str
    email: dict[str, Any]
    email_from: str
    secret_key: str
    secret_key_fallbacks: tuple[str, ...]
    key_pepper: str
    key_pepper_fallbacks: tuple[str, ...]
    admin_secret: str
    decide_token: str
    decide_nets: tuple[Network, ...]
    trusted_proxies: tuple[Network, ...]
    webhook_allowed_nets: tuple[Network, ...]
    demo: bool
    responses: str
    store_timeout_ms: int
    snapshot_seconds: int
    max_hold_seconds: int
    upstream_connect_seconds: int
    upstream_read_seconds: int
    events_kept_days: int
    bodies_kept_days: int
    tests_kept_days: int
    problems: tuple[Problem, ...]

    def stop_if_invalid(self) -> None:
        """For processes that run no system checks. Raises ImproperlyConfigured with all problems."""
        if self.problems:
            raise ImproperlyConfigured("; ".join(str(problem) for problem in self.problems))


def read_environment(values: Mapping[str, str]) -> Environment:
    """Reads all variables. Creates the folder for local state and, in development, the secrets in it."""
    reader = Reader(values)
    debug = reader.read("DEBUG", False, readers.boolean, "true or false")
    port = reader.read("PORT", 8000, readers.whole_number(1, 65535), "a port number from 1 to 65535")
    var_dir = _var_dir(reader)
    public_url = reader.read(
        "GATEWAY_PUBLIC_URL", f"http://127.0.0.1:{port}", readers.url("http", "https"), "an http:// or https:// URL"
    ).rstrip("/")
    store_url = _store_url(reader, var_dir)
    return Environment(
        debug=debug,
        port=port,
        var_dir=var_dir,
        public_url=public_url,
        allowed_hosts=_allowed_hosts(reader, public_url),
        store_url=store_url,
        broker_url=_broker_url(reader, store_url),
        **_places(reader, var_dir),
        **_secrets(reader, var_dir, debug),
        **_behaviour(reader, debug),
        problems=tuple(reader.problems),
    )


def _places(reader: Reader, var_dir: Path) -> dict[str, Any]:
    sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(var_dir / "db.sqlite3")}
    outbox = {
        "EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend",
        "EMAIL_FILE_PATH": str(var_dir / "outbox"),
    }
    return {
        "database": reader.read("DATABASE_URL", sqlite, readers.database, "a postgres:// or sqlite:/// URL"),
        "email": reader.read(
            "EMAIL_URL",
            outbox,
            readers.email,
            "an smtp://, smtp+tls://, smtp+ssl://, filemail:///folder, consolemail:// or dummymail:// URL",
        ),
        "email_from": reader.read("EMAIL_FROM", "Tollgate <tollgate@localhost>", str, "an e-mail address"),
    }


def _behaviour(reader: Reader, debug: bool) -> dict[str, Any]:
    number = readers.whole_number
    no_nets: tuple[Network, ...] = ()
    nets = "addresses or networks separated by commas, such as 10.0.0.0/8,::1/128"
    return {
        "web_workers": reader.read("GATEWAY_WEB_WORKERS", 1, number(1, 64), "a number from 1 to 64"),
        "decide_nets": reader.read("GATEWAY_DECIDE_NETS", no_nets, readers.networks, nets),
        "trusted_proxies": reader.read("GATEWAY_TRUSTED_PROXIES", no_nets, readers.networks, nets),
        "webhook_allowed_nets": reader.read("GATEWAY_WEBHOOK_ALLOWED_NETS", no_nets, readers.networks, nets),
        "demo": reader.read("GATEWAY_DEMO", debug, readers.boolean, "1 or 0"),
        "responses": reader.read(
            "GATEWAY_RESPONSES", "standard", readers.one_of("standard", "tyk"), '"standard" or "tyk"'
        ),
        "store_timeout_ms": reader.read(
            "GATEWAY_STORE_TIMEOUT_MS", DEFAULT_STORE_TIMEOUT_MS, number(5, 10_000), "milliseconds from 5 to 10000"
        ),
        "snapshot_seconds": reader.read("GATEWAY_SNAPSHOT_SECONDS", 5, number(1, 3600), "whole seconds from 1 to 3600"),
        "max_hold_seconds": reader.read("GATEWAY_MAX_HOLD_SECONDS", 10, number(0, 300), "whole seconds from 0 to 300"),
        "upstream_connect_seconds": reader.read(
            "GATEWAY_UPSTREAM_CONNECT_SECONDS", 5, number(1, 300), "whole seconds from 1 to 300"
        ),
        "upstream_read_seconds": reader.read(
            "GATEWAY_UPSTREAM_READ_SECONDS", 60, number(1, 3600), "whole seconds from 1 to 3600"
        ),
        **_retention(reader),
    }


def _retention(reader: Reader) -> dict[str, int]:
    """How long threshold events, their bodies and tests of monitors are kept; what is unfinished always is."""
    defaults = {"events": 90, "bodies": 30, "tests": 7}
    allowed = readers.whole_number(1, 3650)
    return {
        f"{what}_kept_days": reader.read(f"GATEWAY_{what.upper()}_KEPT_DAYS", days, allowed, "days from 1 to 3650")
        for what, days in defaults.items()
    }


def _secrets(reader: Reader, var_dir: Path, debug: bool) -> dict[str, Any]:
    """SECRET_KEY and the pepper are needed; production switches a door off by not setting its secret or token."""

    def secret(name: str, file_name: str, needed: bool) -> str:
        value = reader.read(name, "", str, "")
        if not value and debug:
            return _generated_secret(var_dir / file_name)
        if not value and needed:
            reader.report(name, "must be set when DEBUG is false: a long random text, the same for every process")
            return secrets.token_urlsafe(48)
        return value

    no_keys: tuple[str, ...] = ()
    return {
        "secret_key": secret("SECRET_KEY", "secret_key", needed=True),
        "secret_key_fallbacks": reader.read(
            "SECRET_KEY_FALLBACKS", no_keys, readers.words, "texts separated by commas"
        ),
        "key_pepper": secret("GATEWAY_KEY_PEPPER", "key_pepper", needed=True),
        "key_pepper_fallbacks": reader.read(
            "GATEWAY_KEY_PEPPER_FALLBACKS", no_keys, readers.words, "texts separated by commas"
        ),
        "admin_secret": secret("GATEWAY_ADMIN_SECRET", "admin_secret", needed=False),
        "decide_token": secret("GATEWAY_DECIDE_TOKEN", "decide_token", needed=False),
    }


def _generated_secret(path: Path) -> str:
    """The secret kept in this file, made on first use. Processes that start together agree: a link is made once."""
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()


def _var_dir(reader: Reader) -> Path:
    path = BASE_DIR / Path(reader.read("GATEWAY_VAR_DIR", "var", str, "")).expanduser()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        reader.report("GATEWAY_VAR_DIR", f"must be a folder that can be made and written: {error.strerror}")
    return path


def _allowed_hosts(reader: Reader, public_url: str) -> tuple[str, ...]:
    default = ("localhost", "127.0.0.1", "[::1]", urlsplit(public_url).hostname or "localhost")
    return reader.read("ALLOWED_HOSTS", default, readers.host_names, "host names separated by commas, or *")


def _store_url(reader: Reader, var_dir: Path) -> str:
    """`REDIS_URL`, else the embedded store that `manage.py up` last started with this folder."""
    address = var_dir / "store" / "url"
    default = address.read_text().strip() if address.exists() else NO_STORE_URL
    allowed = "a redis://, rediss://, redis+sentinel://host/master or redis+cluster:// URL with a host"
    return reader.read("REDIS_URL", default, _store_address, allowed)


def _store_address(raw: str) -> str:
    parse_address(readers.url(*STORE_SCHEMES)(raw))
    return raw


def _broker_url(reader: Reader, store_url: str) -> str:
    broker = reader.read(
        "CELERY_BROKER_URL", "", readers.url(*BROKER_SCHEMES), "an amqp://, amqps://, redis:// or rediss:// URL"
    )
    if broker:
        return broker
    if "+" in urlsplit(store_url).scheme:
        reader.report("CELERY_BROKER_URL", "must be set when REDIS_URL names a cluster or sentinels")
        return NO_STORE_URL
    return store_url
