"""Liveness and readiness, for whoever restarts or routes to a gateway process."""

from functools import lru_cache

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

OK = "ok"


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 while the process answers at all."""
    return JsonResponse({"status": OK})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when store, database and migrations are ready, else 503. `checks` says "ok" or what is wrong, `warnings` what to mend."""
    store, warnings = _store()
    checks = {"store": store, "database": _database()}
    checks["migrations"] = _migrations() if checks["database"] == OK else "unknown: the database does not answer"
    ready = all(result == OK for result in checks.values())
    body = {"status": OK if ready else "unavailable", "checks": checks, "warnings": warnings}
    return JsonResponse(body, status=200 if ready else 503)


def unapplied_migrations() -> list[str]:
    """Names of the migrations that the database still lacks. Raises DatabaseError."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def _store() -> tuple[str, list[str]]:
    try:
        client = _store_client(settings.GATEWAY_STORE_URL)
        client.ping()
        policy = client.info("memory").get("maxmemory_policy", "noeviction")
    except redis.RedisError as error:
        return f"does not answer: {type(error).__name__}", []
    if policy != "noeviction":
        return OK, [f"the store's maxmemory-policy is {policy}: eviction deletes counters, set noeviction"]
    return OK, []


@lru_cache(maxsize=1)
def _store_client(store_url: str) -> redis.Redis:
    return redis.Redis.from_url(store_url, socket_timeout=1, socket_connect_timeout=1)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return f"does not answer: {type(error).__name__}"
    return OK


# Migrations do not become unapplied while a process runs, and looking costs 50 ms: only the good answer is kept.
_migrated = False


def _migrations() -> str:
    global _migrated
    if not _migrated:
        try:
            missing = unapplied_migrations()
        except DatabaseError as error:
            return f"unknown: {type(error).__name__}"
        if missing:
            return f"not applied: {', '.join(missing[:5])}"
        _migrated = True
    return OK
