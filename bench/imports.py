"""How long a move from Tyk takes: `python -m bench.imports [keys]`, into the database that DATABASE_URL names.

Half of the keys have a policy, the others rights of their own; all are known by their hashes only and have a counter.
What was imported is erased again. The counter store is one of its own.
"""

import json
import logging
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import django
from django.conf import settings

from bench.scenarios import GATEWAY_SETTINGS
from gateway_project.store import running_store

os.environ.setdefault("DJANGO_SETTINGS_MODULE", GATEWAY_SETTINGS)
django.setup()
logging.disable(logging.CRITICAL)

from django.core.management import call_command  # noqa: E402 - what imports models needs the line above
from django.db import connection  # noqa: E402

from organisations_app import dependents  # noqa: E402
from organisations_app.models import Organisation  # noqa: E402
from tyk_migration import importing  # noqa: E402
from tyk_migration.importing import Options, Sources  # noqa: E402

KEYS = 100_000
# What each session of Tyk's carries besides.
USUAL = {
    "last_check": 0,
    "allowance": 100,
    "expires": 0,
    "hmac_enabled": False,
    "is_inactive": False,
    "basic_auth_data": {"password": "", "hash_type": ""},
    "jwt_data": {"secret": ""},
    "monitor": {"trigger_limits": []},
}
QUOTA, PERIOD_SECONDS = 1_000, 2_592_000
ERASED_AT_ONCE = 10_000


def main(keys: int = KEYS) -> None:
    call_command("migrate", interactive=False, verbosity=0)
    organisation_id = f"bench-import-{time.time_ns()}"
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name, running_store(Path(name)) as store_url:
        settings.GATEWAY_STORE_URL = store_url
        sources = write_files(Path(name), organisation_id, keys)
        try:
            for what in ("imported", "imported again, unchanged"):
                seconds = imported(sources)
                rate = f"{seconds:.0f} s, {keys / seconds:,.0f}/s on {connection.vendor}"
                print(f"{keys:,} keys with counters {what}: {rate}")
        finally:
            while dependents.erase(Organisation.objects.filter(pk=organisation_id), ERASED_AT_ONCE):
                pass


def imported(sources: Sources) -> float:
    begin = time.perf_counter()
    report = importing.run(sources, Options(hashed="murmur64"))
    seconds = time.perf_counter() - begin
    assert not report.refused, report.refusals[:3]
    return seconds


def write_files(folder: Path, organisation_id: str, keys: int) -> Sources:
    rights = {
        name: {"api_id": name, "versions": ["Default"]} for name in (f"{organisation_id}-1", f"{organisation_id}-2")
    }
    policy = {"org_id": organisation_id, **_limits(), "access_rights": rights, "active": True}
    written = {
        "apis": json.dumps([_api(organisation_id, name) for name in rights]),
        "policies": json.dumps({organisation_id: policy}),
        "keys": "",
        "counters": "",
    }
    paths = {name: folder / f"{name}.json" for name in written}
    for name, text in written.items():
        paths[name].write_text(text)
    shared = {**USUAL, "org_id": organisation_id, **_limits()}
    with paths["keys"].open("w") as sessions, paths["counters"].open("w") as counters:
        for number in range(keys):
            own = {"apply_policies": [organisation_id]} if number % 2 else {"access_rights": rights}
            name = f"{random.getrandbits(64):016x}"
            session = {**shared, **own, "alias": f"key {number}", "meta_data": {"customer": number}, "tags": ["bench"]}
            sessions.write(json.dumps({"key": name, "session": session}) + "\n")
            counter = {"key": f"quota-{name}", "value": 1 + number % QUOTA, "ttl": PERIOD_SECONDS}
            counters.write(json.dumps(counter) + "\n")
    return Sources(**paths)


def _limits() -> dict[str, Any]:
    return {"quota_max": QUOTA, "quota_renewal_rate": PERIOD_SECONDS, "rate": 100, "per": 60}


def _api(organisation_id: str, name: str) -> dict[str, Any]:
    return {
        "api_id": name,
        "name": name,
        "org_id": organisation_id,
        "active": True,
        "proxy": {"listen_path": f"/{name}/", "target_url": "http://127.0.0.1:9/"},
        "version_data": {"not_versioned": True},
    }


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
