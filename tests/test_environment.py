"""The environment: defaults work, wrong values are named, secrets are made once and stay private."""

import re
import stat
import subprocess
import sys
from ipaddress import ip_network
from multiprocessing import get_context
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from gateway_project.environment import BASE_DIR, NO_STORE_URL, Environment, read_environment

SECRET_FILES = ("secret_key", "key_pepper", "admin_secret", "decide_token")


def read(var_dir: Path, **values: str) -> Environment:
    return read_environment({"GATEWAY_VAR_DIR": str(var_dir), "DEBUG": "true", **values})


def wrong_names(environment: Environment) -> list[str]:
    return [problem.name for problem in environment.problems]


def test_every_default_works(tmp_path):
    environment = read(tmp_path)
    assert environment.problems == ()
    assert environment.port == 8000
    assert environment.database["NAME"] == str(tmp_path / "db.sqlite3")
    assert environment.store_url == NO_STORE_URL
    assert environment.broker_url == environment.store_url
    assert environment.email["EMAIL_FILE_PATH"] == str(tmp_path / "outbox")
    assert environment.public_url == "http://127.0.0.1:8000"
    assert environment.demo is True


def test_the_readme_names_every_variable_and_no_other(tmp_path):
    class Asked(dict[str, str]):
        def get(self, name, default=""):
            asked.add(name)
            return super().get(name, default)

    asked: set[str] = set()
    read_environment(Asked(GATEWAY_VAR_DIR=str(tmp_path), DEBUG="true"))
    table = (BASE_DIR / "README.md").read_text().partition("## Configuration")[2].partition("\n## ")[0]
    named = {name for row in re.findall(r"^\| (`.*?) \|", table, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert named == asked


def test_an_empty_variable_counts_as_unset(tmp_path):
    assert read(tmp_path, PORT="", REDIS_URL=" ") == read(tmp_path)


def test_demo_is_off_in_production_unless_asked_for(tmp_path):
    production = {"DEBUG": "false", "SECRET_KEY": "s", "GATEWAY_KEY_PEPPER": "p"}
    assert read(tmp_path, **production).demo is False
    assert read(tmp_path, **production, GATEWAY_DEMO="1").demo is True


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEBUG", "maybe"),
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("GATEWAY_WEB_WORKERS", "0"),
        ("DATABASE_URL", "mysql://localhost/x"),
        ("DATABASE_URL", "postgres://127.0.0.1/"),
        ("DATABASE_URL", "nonsense"),
        ("REDIS_URL", "http://localhost"),
        ("REDIS_URL", "redis://"),
        ("REDIS_URL", "redis://localhost:port"),
        ("CELERY_BROKER_URL", "kafka://localhost"),
        ("EMAIL_URL", "pigeon://roof"),
        ("EMAIL_URL", "smtp://"),
        ("ALLOWED_HOSTS", "https://gateway.example/"),
        ("GATEWAY_PUBLIC_URL", "gateway.example"),
        ("GATEWAY_DEMO", "2"),
        ("GATEWAY_RESPONSES", "kong"),
        ("GATEWAY_WEBHOOK_ALLOWED_NETS", "10.0.0.0/8,localhost"),
        ("GATEWAY_DECIDE_NETS", "10.0.0.0/33"),
        ("GATEWAY_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("GATEWAY_TRUSTED_PROXIES", "balancer.internal"),
        ("GATEWAY_STORE_TIMEOUT_MS", "1.5"),
        ("GATEWAY_STORE_TIMEOUT_MS", "0"),
        ("GATEWAY_SNAPSHOT_SECONDS", "-5"),
        ("GATEWAY_MAX_HOLD_SECONDS", "301"),
    ],
)
def test_a_wrong_value_is_reported_with_its_name(tmp_path, name, value):
    environment = read(tmp_path, **{name: value})
    # DEBUG itself wrong means production, which then also misses its secrets.
    expected = {"DEBUG", "SECRET_KEY", "GATEWAY_KEY_PEPPER"} if name == "DEBUG" else {name}
    assert set(wrong_names(environment)) == expected


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "EMAIL_URL"])
def test_a_wrong_address_is_reported_without_its_password(tmp_path, name, recwarn):
    environment = read(tmp_path, **{name: "wrong://me:hunter2@host/x"})
    assert wrong_names(environment) == [name]
    assert "hunter2" not in str(environment.problems)
    assert not recwarn.list


def test_all_wrong_values_are_reported_together(tmp_path):
    environment = read(tmp_path, PORT="x", GATEWAY_RESPONSES="y")
    assert set(wrong_names(environment)) == {"PORT", "GATEWAY_RESPONSES"}
    with pytest.raises(ImproperlyConfigured, match=r"PORT must be .*; GATEWAY_RESPONSES must be"):
        environment.stop_if_invalid()


def test_a_folder_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    assert "GATEWAY_VAR_DIR" in wrong_names(read_environment({"GATEWAY_VAR_DIR": str(tmp_path / "file" / "var")}))


@pytest.mark.parametrize("scheme", ["redis+cluster", "redis+sentinel"])
def test_a_cluster_cannot_be_the_broker(tmp_path, scheme):
    url = f"{scheme}://10.0.0.1:7000,10.0.0.2:7000/master"
    assert wrong_names(read(tmp_path, REDIS_URL=url)) == ["CELERY_BROKER_URL"]
    assert read(tmp_path, REDIS_URL=url, CELERY_BROKER_URL="amqp://mq").problems == ()


def test_the_embedded_store_is_found_by_the_address_it_left(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "url").write_text("redis://127.0.0.1:5555/0")
    assert read(tmp_path).store_url == "redis://127.0.0.1:5555/0"
    assert read(tmp_path, REDIS_URL="redis://other/1").store_url == "redis://other/1"


def test_networks_and_hosts_are_lists(tmp_path):
    environment = read(tmp_path, GATEWAY_WEBHOOK_ALLOWED_NETS="127.0.0.0/8, ::1", ALLOWED_HOSTS="a.example,b.example")
    assert environment.webhook_allowed_nets == (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert environment.allowed_hosts == ("a.example", "b.example")


def test_the_public_url_names_an_allowed_host(tmp_path):
    assert "gateway.example" in read(tmp_path, GATEWAY_PUBLIC_URL="https://gateway.example/").allowed_hosts


def test_production_must_set_its_secrets_and_writes_none(tmp_path):
    environment = read(tmp_path, DEBUG="false")
    assert set(wrong_names(environment)) == {"SECRET_KEY", "GATEWAY_KEY_PEPPER"}
    assert environment.secret_key
    assert environment.admin_secret == environment.decide_token == ""
    assert list(tmp_path.iterdir()) == []


def test_development_makes_secrets_once_readable_by_their_owner_only(tmp_path):
    first, second = read(tmp_path), read(tmp_path)
    assert first == second
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(SECRET_FILES)
    assert len({first.secret_key, first.key_pepper, first.admin_secret, first.decide_token}) == 4
    for name in SECRET_FILES:
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def _pepper(var_dir: str) -> str:
    return read_environment({"GATEWAY_VAR_DIR": var_dir, "DEBUG": "true"}).key_pepper


def test_processes_that_start_together_agree_on_the_secrets(tmp_path):
    with get_context("fork").Pool(4) as pool:
        assert len(set(pool.map(_pepper, [str(tmp_path)] * 12, chunksize=1))) == 1


@pytest.mark.parametrize(
    "command",
    [
        ["manage.py", "check"],
        ["manage.py", "up"],
        ["-c", "import gateway_project.asgi"],
        ["-m", "celery", "-A", "gateway_project", "worker"],
        ["-m", "celery", "-A", "gateway_project", "beat"],
    ],
    ids=lambda command: command[-1],
)
def test_a_wrong_value_stops_the_start(tmp_path, command):
    environment = {
        "DEBUG": "true",
        "GATEWAY_VAR_DIR": str(tmp_path),
        "PORT": "x",
        "DJANGO_SETTINGS_MODULE": "gateway_project.settings",
    }
    ended = subprocess.run(
        [sys.executable, *command], cwd=BASE_DIR, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode != 0
    assert "PORT must be a port number from 1 to 65535" in ended.stderr
