"""A database that is down is told in words, by a real server, to people and to programs; a bug stays a 500."""

import json
import re
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import DataError, InterfaceError, OperationalError, connection
from django.http import HttpResponse
from django.test import Client, RequestFactory

from bench.scenarios import Server
from bench.servers import running_server
from gateway_project.environment import BASE_DIR
from gateway_project.outages import DatabaseOutageMiddleware, SavedSessionMiddleware, is_outage
from gateway_project.store import free_port
from tests.postgres import running_postgres

SECRET = "a-secret-that-is-long-enough-for-everybody"
SERVER = Server("gateway_project.asgi:application", "asgi", "gateway_project.settings")


def caused(error: Exception, cause: BaseException | None) -> Exception:
    error.__cause__ = cause
    return error


def of_sqlite(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("x")
    error.sqlite_errorname = name
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (caused(OperationalError(), psycopg.OperationalError("connection refused")), True),
        (caused(OperationalError(), psycopg.errors.AdminShutdown()), True),
        (caused(OperationalError(), psycopg.errors.TooManyConnections()), True),
        (caused(InterfaceError(), psycopg.InterfaceError("the connection is closed")), True),
        (caused(OperationalError(), of_sqlite("SQLITE_CANTOPEN_ISDIR")), True),
        (caused(OperationalError(), of_sqlite("SQLITE_IOERR")), True),
        (caused(OperationalError(), psycopg.errors.DeadlockDetected()), False),
        (caused(OperationalError(), psycopg.errors.QueryCanceled()), False),
        (caused(OperationalError(), of_sqlite("SQLITE_BUSY")), False),
        (caused(OperationalError(), of_sqlite("SQLITE_ERROR")), False),
        (caused(InterfaceError(), sqlite3.InterfaceError("Error binding parameter 1: unsupported type")), False),
        (DataError(), False),
        (ConnectionRefusedError(), False),
    ],
)
def test_what_refuses_a_statement_is_no_outage(error: Exception, expected: bool) -> None:
    assert is_outage(error) is expected


@pytest.mark.django_db
def test_a_statement_that_is_wrong_stays_an_error(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(_user: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT nothing FROM nowhere")

    monkeypatch.setattr("portal_app.views.developer_of", wrong)
    client.raise_request_exception = False
    assert client.get("/portal/").status_code == 500


def test_what_went_wrong_is_in_the_log(
    rf: RequestFactory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also what only looks like an outage, such as a cursor that was closed."""
    middleware = DatabaseOutageMiddleware(lambda _: HttpResponse())
    answer = middleware.process_exception(rf.get("/portal/"), InterfaceError("the cursor is closed"))
    assert answer is not None and answer.status_code == 503
    assert "/portal/ was answered with 503" in caplog.text and "the cursor is closed" in caplog.text


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/admin/", "DATABASE_URL"),
        ("/portal/", "The database does not answer"),
        ("/api/v1/keys", '"code": "database_unavailable"'),
        ("/tyk/keys", '"status": "error"'),
    ],
)
def test_a_session_that_cannot_be_saved_is_told_in_the_words_of_the_address(
    rf: RequestFactory, monkeypatch: pytest.MonkeyPatch, path: str, words: str
) -> None:
    gone = caused(OperationalError(), psycopg.errors.AdminShutdown())
    monkeypatch.setattr(SessionStore, "save", _raising(gone))
    answer: Any = SavedSessionMiddleware(_remembering)(rf.get(path))
    assert (answer.status_code, answer["Retry-After"]) == (503, "15") and words in answer.content.decode()


@pytest.mark.parametrize(
    ("error", "told_as"),
    [
        (caused(OperationalError(), psycopg.errors.DeadlockDetected()), OperationalError),
        (UpdateError(), SessionInterrupted),
    ],
)
def test_a_session_that_is_refused_or_gone_is_no_outage(
    rf: RequestFactory, monkeypatch: pytest.MonkeyPatch, error: Exception, told_as: type[Exception]
) -> None:
    monkeypatch.setattr(SessionStore, "save", _raising(error))
    with pytest.raises(told_as):
        SavedSessionMiddleware(_remembering)(rf.get("/portal/"))


def _remembering(request: Any) -> HttpResponse:
    request.session["seen"] = True
    return HttpResponse()


def _raising(error: Exception) -> Any:
    def save(*_: Any, **__: Any) -> None:
        raise error

    return save


# --- a real server ----------------------------------------------------------------------------------------------------


def environment_of(database_url: str, store_url: str, folder: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": store_url,
        "CELERY_BROKER_URL": "memory://localhost",
        "GATEWAY_VAR_DIR": str(folder),
        "GATEWAY_ADMIN_SECRET": SECRET,
        "GATEWAY_DEMO": "0",
        "DEBUG": "true",
    }


@pytest.fixture(scope="module", params=["postgres", "sqlite"])
def url(request: pytest.FixtureRequest, store_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a gateway in developers' mode, whose database refuses connections or is a file in no folder."""
    folder = tmp_path_factory.mktemp("down")
    database = {
        "postgres": f"postgres://nobody@127.0.0.1:{free_port()}/nothing",
        "sqlite": f"sqlite:///{folder}/gone/db.sqlite3",
    }
    environment = environment_of(database[request.param], store_url, folder)
    with running_server(SERVER, environment, Path(folder / "log"), "/healthz", {}) as alive:
        yield alive.removesuffix("/healthz")


def get(url: str, data: bytes | None = None, /, **headers: str) -> tuple[int, str, dict[str, str]]:
    """Or post."""
    request = urllib.request.Request(url, data, headers={"Cookie": "sessionid=of-somebody-who-is-logged-in", **headers})
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), {name.lower(): value for name, value in error.headers.items()}
    raise AssertionError(f"{url} is answered without a database")


def test_pages_say_that_the_database_is_down_and_admins_what_to_do(url: str) -> None:
    for path, has_advice in (("/admin/", True), ("/portal/", False)):
        status, html, headers = get(f"{url}{path}")
        assert (status, headers["retry-after"], headers["cache-control"]) == (503, "15", "no-store"), path
        assert "The database does not answer" in html and "Traceback" not in html
        assert ("DATABASE_URL" in html) == has_advice


def test_health_on_the_admins_home_turns_red(url: str) -> None:
    status, html, _ = get(f"{url}/admin/health/")
    assert status == 503 and 'class="bad"' in html and "DATABASE_URL" in html and "<html" not in html


def test_readiness_names_the_part_that_is_down(url: str) -> None:
    status, text, _ = get(f"{url}/readyz")
    checks = json.loads(text)["checks"]
    assert (status, checks["store"]) == (503, "ok")
    assert checks["database"].startswith("does not answer")


def test_programs_are_told_in_their_own_words(url: str) -> None:
    status, text, headers = get(f"{url}/api/v1/keys", Authorization=f"Bearer {SECRET}")
    assert (status, json.loads(text)["code"]) == (503, "database_unavailable")
    assert (headers["content-type"], headers["retry-after"]) == ("application/problem+json", "15")
    status, text, _ = get(f"{url}/tyk/keys", **{"X-Tyk-Authorization": SECRET})
    assert (status, json.loads(text)["status"]) == (503, "error")


LOSES_ITS_CONNECTION = """
CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
CREATE TRIGGER lose BEFORE UPDATE ON django_session FOR EACH ROW EXECUTE FUNCTION lose();
"""


def test_a_database_that_goes_away_while_a_session_is_saved(store_url: str, tmp_path: Path) -> None:
    """Who logs in has a session made by the view, and written once more after it."""
    with running_postgres() as postgres:
        environment = environment_of(postgres.url, store_url, tmp_path)
        manage(environment, "migrate", "-v0")
        manage(environment, "createsuperuser", "--noinput", "--username", "a")
        postgres.do(LOSES_ITS_CONNECTION)
        with running_server(SERVER, environment, tmp_path / "log", "/healthz", {}) as alive:
            url = alive.removesuffix("/healthz")
            for path, has_advice in (("/admin/login/", True), ("/portal/login/", False)):
                status, html, headers = log_in(url + path)
                assert (status, headers["retry-after"]) == (503, "15"), path
                assert "The database does not answer" in html and "Traceback" not in html
                assert ("DATABASE_URL" in html) == has_advice


def manage(environment: dict[str, str], *command: str) -> None:
    superuser = {"DJANGO_SUPERUSER_EMAIL": "a@example.com", "DJANGO_SUPERUSER_PASSWORD": SECRET}
    subprocess.run([sys.executable, "manage.py", *command], cwd=BASE_DIR, env=environment | superuser, check=True)


def log_in(url: str) -> tuple[int, str, dict[str, str]]:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=30) as page:
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)', page.read().decode())
        cookie = page.headers["Set-Cookie"].partition(";")[0]
    assert token is not None
    form = {"username": "a", "password": SECRET, "csrfmiddlewaretoken": token[1]}
    return get(url, urllib.parse.urlencode(form).encode(), Cookie=cookie)
