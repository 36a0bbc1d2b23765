"""Liveness and readiness, for whoever restarts or routes to a gateway process."""

from functools import lru_cache

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException

from monitors_app.backlog import backlog
from organisations_app.commands import unapplied_migrations
from sessions_app.engine.store_sync import open_store
from sessions_app.engine.types import StoreUnavailable

OK = "ok"
PASS, FAIL = "pass", "fail"
STORE_TIMEOUT_MS = 1000  # longer than a request's: a slow store is still there


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 while the process answers at all."""
    return JsonResponse({"status": OK})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when store, database and migrations are ready, else 503. `checks` says "ok" or what is wrong."""
    store, warnings = store_state()
    checks = {"store": store, "database": _database()}
    checks["migrations"] = _migrations() if checks["database"] == OK else "unknown: the database does not answer"
    ready = all(result == OK for result in checks.values())
    warnings += _backlog() if ready else []
    body = {"status": OK if ready else "unavailable", "checks": checks, "warnings": warnings}
    return JsonResponse(body, status=200 if ready else 503)


@csrf_exempt
@never_cache
def hello(request: HttpRequest) -> JsonResponse:
    """Tyk's health page: open to all and always 200; `status` is pass or fail."""
    if request.method not in ("GET", "HEAD"):
        return JsonResponse({"status": "error", "message": "Method Not Allowed"}, status=405)
    store, _ = store_state()
    found = {"redis": ("datastore", store), "database": ("datastore", _database())}
    now = timezone.now().isoformat(timespec="seconds")
    details = {
        name: {"status": PASS if result == OK else FAIL, "componentType": kind, "time": now}
        | ({} if result == OK else {"output": result})
        for name, (kind, result) in found.items()
    }
    status = PASS if all(detail["status"] == PASS for detail in details.values()) else FAIL
    return JsonResponse(
        {"status": status, "version": f"v{settings.GATEWAY_VERSION}", "description": "Tollgate", "details": details}
    )


def store_state() -> tuple[str, list[str]]:
    """ "ok" or what is wrong, and warnings about its settings."""
    try:
        client = _store_client(settings.GATEWAY_STORE_URL)
        client.ping()
        memory = client.info("memory")
    except (redis.RedisError, RedisClusterException, OSError) as error:
        return f"does not answer: {type(error).__name__}", []
    # A cluster answers for each node.
    nodes = [memory] if "maxmemory_policy" in memory else [node for node in memory.values() if isinstance(node, dict)]
    policies = {str(node.get("maxmemory_policy", "noeviction")) for node in nodes} - {"noeviction"}
    return OK, [f"the store's maxmemory-policy is {policy}: eviction deletes counters" for policy in sorted(policies)]


def _backlog() -> list[str]:
    """A queue that is stuck does not make this process unready: requests are unaffected (rule 9.4)."""
    try:
        return list(backlog(timezone.now()).warnings())
    except (StoreUnavailable, DatabaseError) as error:
        return [f"the backlog of monitors cannot be measured: {type(error).__name__}"]


@lru_cache(maxsize=1)
def _store_client(store_url: str) -> redis.Redis | RedisCluster:
    """Not the client of the enforcement: its circuit breaker would answer instead of the store."""
    return open_store(store_url, STORE_TIMEOUT_MS).client


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
