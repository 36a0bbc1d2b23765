"""Liveness and readiness, for whoever restarts or routes to a gateway process."""

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from gateway_project.health_checks import OK, store_state, warnings
from organisations_app.commands import unapplied_migrations

PASS, FAIL = "pass", "fail"


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 while the process answers at all."""
    return JsonResponse({"status": OK})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when store, database and migrations are ready, else 503. `checks` says "ok" or what is wrong; `warnings` are
    what the home of the admin shows yellow or red beside, and change no status: requests are unaffected (rule 9.4).
    """
    store, evicting = store_state()
    checks = {"store": store, "database": _database()}
    checks["migrations"] = _migrations() if checks["database"] == OK else "unknown: the database does not answer"
    ready = all(result == OK for result in checks.values())
    told = _warnings(evicting) if ready else []
    body = {"status": OK if ready else "unavailable", "checks": checks, "warnings": told}
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


def _warnings(evicting: list[str]) -> list[str]:
    try:
        return warnings(evicting, timezone.now())
    except DatabaseError as error:
        return [f"The database stopped answering in between: {type(error).__name__}."]


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
