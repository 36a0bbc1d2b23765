"""Every page of the admin on a big database: `python -m bench.admin_pages [name]`, after `manage.py seed_scale`.

Prints the milliseconds that the server takes (the best of up to three) and the SQL statements; `!` marks what is too
slow or asks too often. The database is the one that DATABASE_URL names; the counter store is one of its own.
"""

import logging
import os
import sys
import tempfile
import time
from pathlib import Path

import django
from django.conf import settings

from bench.scenarios import GATEWAY_SETTINGS
from gateway_project.store import StoreError, running_store

os.environ.setdefault("DJANGO_SETTINGS_MODULE", GATEWAY_SETTINGS)
django.setup()
logging.disable(logging.CRITICAL)

from django.contrib.auth.models import User  # noqa: E402 - what imports models needs the line above
from django.db import DatabaseError, connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from demo import scale  # noqa: E402
from organisations_app.models import Organisation  # noqa: E402
from tests.admin_addresses import Address, addresses  # noqa: E402

MOST_MS, MOST_STATEMENTS, ROUNDS, SLOW = 300, 12, 3, 5


def main(wanted: str = "") -> int:
    try:
        if not _is_seeded():
            print("This database is not filled: run manage.py migrate and manage.py seed_scale first.", file=sys.stderr)
            return 1
        with tempfile.TemporaryDirectory(prefix="gateway-bench-") as name, running_store(Path(name)) as store_url:
            settings.GATEWAY_STORE_URL = store_url
            measure(wanted)
    except (DatabaseError, StoreError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _is_seeded() -> bool:
    """Raises DatabaseError if the database does not answer."""
    tables = connection.introspection.table_names()
    return Organisation._meta.db_table in tables and scale.is_there()


def measure(wanted: str) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    client = Client()
    client.force_login(User.objects.filter(is_superuser=True).first() or User.objects.create_superuser("measuring"))
    for address in addresses(client):
        if wanted in address.name:
            print(measured(client, address), flush=True)


def measured(client: Client, address: Address) -> str:
    best, best_sql = float("inf"), 0.0
    for _ in range(ROUNDS):
        with CaptureQueriesContext(connection) as queries:
            began = time.perf_counter()
            status = client.get(address.url).status_code
            ms = 1000 * (time.perf_counter() - began)
        if ms < best:
            best, best_sql = ms, 1000 * sum(float(query["time"]) for query in queries.captured_queries)
        if best > SLOW * MOST_MS or best < MOST_MS / SLOW:
            break  # once more would tell nothing new
    mark = "!" if best > MOST_MS or len(queries) > MOST_STATEMENTS or status >= 500 else " "
    numbers = f"{best:7.0f} ms  {best_sql:7.0f} ms SQL  {len(queries):3} statements  {status}"
    return f"{mark} {numbers}  {address.name}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
