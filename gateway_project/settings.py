"""Django settings. Every value that depends on where the gateway runs comes from `environment.py`."""

import os
import tomllib
from typing import Any

import django_stubs_ext
from csp.constants import NONE, SELF
from kombu import Queue

from gateway_project.celery_settings import QUEUES, beat_schedule, broker_options, task_routes
from gateway_project.environment import BASE_DIR, read_environment
from gateway_project.logs import logging_settings
from gateway_project.unfold import UNFOLD as UNFOLD  # the admin's theme

# Django's classes do not take the type parameters (`ModelForm[Key]`) that checking them strictly needs.
django_stubs_ext.monkeypatch()

ENVIRONMENT = read_environment(os.environ)

DEBUG = ENVIRONMENT.debug
SECRET_KEY = ENVIRONMENT.secret_key
SECRET_KEY_FALLBACKS = list(ENVIRONMENT.secret_key_fallbacks)
ALLOWED_HOSTS = list(ENVIRONMENT.allowed_hosts)

# --- The gateway's own ------------------------------------------------------------------------------------------------

GATEWAY_VERSION: str = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())["project"]["version"]
GATEWAY_PORT = ENVIRONMENT.port
GATEWAY_VAR_DIR = ENVIRONMENT.var_dir
GATEWAY_PUBLIC_URL = ENVIRONMENT.public_url  # no slash at the end; for links in e-mails
GATEWAY_STORE_URL = ENVIRONMENT.store_url
GATEWAY_STORE_TIMEOUT_MS = ENVIRONMENT.store_timeout_ms
GATEWAY_SNAPSHOT_SECONDS = ENVIRONMENT.snapshot_seconds
GATEWAY_MAX_HOLD_SECONDS = ENVIRONMENT.max_hold_seconds
GATEWAY_UPSTREAM_CONNECT_SECONDS = ENVIRONMENT.upstream_connect_seconds
GATEWAY_UPSTREAM_READ_SECONDS = ENVIRONMENT.upstream_read_seconds  # between two pieces of an answer
GATEWAY_EVENTS_KEPT_DAYS = ENVIRONMENT.events_kept_days  # threshold events with their deliveries and attempts
GATEWAY_BODIES_KEPT_DAYS = ENVIRONMENT.bodies_kept_days  # what was sent and answered; after that nothing is redelivered
GATEWAY_TESTS_KEPT_DAYS = ENVIRONMENT.tests_kept_days  # tests of monitors, and notices of their end
GATEWAY_KEY_PEPPER = ENVIRONMENT.key_pepper
GATEWAY_KEY_PEPPER_FALLBACKS = ENVIRONMENT.key_pepper_fallbacks
GATEWAY_ADMIN_SECRET = ENVIRONMENT.admin_secret  # "" switches the Tyk dialect and the root token off
GATEWAY_DECIDE_TOKEN = ENVIRONMENT.decide_token  # "" accepts no token
GATEWAY_DECIDE_NETS = ENVIRONMENT.decide_nets
GATEWAY_TRUSTED_PROXIES = ENVIRONMENT.trusted_proxies  # whose X-Forwarded-For is believed
GATEWAY_WEBHOOK_ALLOWED_NETS = ENVIRONMENT.webhook_allowed_nets
GATEWAY_RESPONSES = ENVIRONMENT.responses
GATEWAY_DEMO = ENVIRONMENT.demo
GATEWAY_WATCH = "monitors_app.watching.watch_of"  # which thresholds a grant carries
# First segments of paths that are ours; "" is the root page.
GATEWAY_RESERVED_PREFIXES = (
    "",
    "admin",
    "portal",
    "api",
    "tyk",
    "hello",
    "decide",
    "me",
    "healthz",
    "readyz",
    "metrics",
    "static",
    "demo",
    "favicon.ico",
    "robots.txt",
)

# --- Applications and request handling --------------------------------------------------------------------------------

INSTALLED_APPS = [
    "gateway_project",
    "tyk_migration",
    "portal_app",
    "monitors_app",
    "sessions_app",
    "policies_app",
    "organisations_app",
    "unfold",  # before the admin, whose templates it replaces
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "django_htmx",
    "csp",
    "axes",
]
if GATEWAY_DEMO:
    INSTALLED_APPS.insert(1, "demo")

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "sessions_app.edge.middleware.enforcement",  # before what costs something: who is denied costs nothing more
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "gateway_project.content_policy.ContentPolicyMiddleware",
    "gateway_project.outages.DatabaseOutageMiddleware",
    "gateway_project.outages.SavedSessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "gateway_project.urls"
ASGI_APPLICATION = "gateway_project.asgi.application"
WSGI_APPLICATION = "gateway_project.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Database ---------------------------------------------------------------------------------------------------------


def _database() -> dict[str, Any]:
    """The configured database with the options that its engine needs here."""
    config = dict(ENVIRONMENT.database)
    options = dict(config.get("OPTIONS", {}))
    if config["ENGINE"].endswith("sqlite3"):
        # Web, worker and beat share the file: readers never wait (WAL), and writers queue from their first statement
        # (IMMEDIATE) instead of failing when a read turns into a write.
        options |= {
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=20000",
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
        }
    else:
        from gateway_project.database_pool import POOL  # its driver takes 0.1 s to load: nothing for SQLite

        # Persistent connections do not fit ASGI, where each request may use another thread; a pool does.
        options = {"pool": POOL, "connect_timeout": 3} | options
    return config | {"OPTIONS": options}


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- People -----------------------------------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # first: refuses before a password is even looked at
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "/portal/login/"
LOGIN_REDIRECT_URL = "/portal/"
LOGOUT_REDIRECT_URL = "/portal/login/"

AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False
AXES_ENABLE_ADMIN = False  # its pages know nothing of confined staff, nor of the theme

# --- Security ---------------------------------------------------------------------------------------------------------

_https = GATEWAY_PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = _https
CSRF_COOKIE_SECURE = _https
CSRF_TRUSTED_ORIGINS = [GATEWAY_PUBLIC_URL]
SESSION_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    },
}

# --- Time, language, static files -------------------------------------------------------------------------------------

USE_TZ = True
TIME_ZONE = "UTC"
USE_I18N = True
LANGUAGE_CODE = "en-gb"
FORMAT_MODULE_PATH = ["gateway_project.formats"]

STATIC_URL = "/static/"
STATIC_ROOT = GATEWAY_VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"] if (BASE_DIR / "static").is_dir() else []
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = DEBUG
WHITENOISE_AUTOREFRESH = DEBUG
WHITENOISE_MANIFEST_STRICT = False  # a file that collectstatic has not seen yet is a missing picture, not a 500

# --- E-mail -----------------------------------------------------------------------------------------------------------

EMAIL_BACKEND = ENVIRONMENT.email["EMAIL_BACKEND"]
EMAIL_FILE_PATH = ENVIRONMENT.email.get("EMAIL_FILE_PATH")
EMAIL_HOST = ENVIRONMENT.email.get("EMAIL_HOST", "localhost")
EMAIL_PORT = ENVIRONMENT.email.get("EMAIL_PORT", 25)
EMAIL_HOST_USER = ENVIRONMENT.email.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = ENVIRONMENT.email.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = ENVIRONMENT.email.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL = ENVIRONMENT.email.get("EMAIL_USE_SSL", False)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = ENVIRONMENT.email_from
SERVER_EMAIL = ENVIRONMENT.email_from

# --- Celery -----------------------------------------------------------------------------------------------------------

CELERY_BROKER_URL = ENVIRONMENT.broker_url
CELERY_BROKER_TRANSPORT_OPTIONS = broker_options(CELERY_BROKER_URL)
CELERY_BROKER_CONNECTION_TIMEOUT = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for its broker for ever; supervisors see it by its log
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1}
CELERY_TASK_SERIALIZER = "json"
CELERY_EVENT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
# Without a routing key of its own each queue would get a copy of every message.
CELERY_TASK_QUEUES = [Queue(name, routing_key=name) for name in QUEUES]
CELERY_TASK_ROUTES = (task_routes,)
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_BEAT_SCHEDULE = beat_schedule(GATEWAY_SNAPSHOT_SECONDS)
CELERY_BEAT_SCHEDULE_FILENAME = str(GATEWAY_VAR_DIR / "beat-schedule")
CELERY_TIMEZONE = "UTC"

# --- REST API ---------------------------------------------------------------------------------------------------------

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_SCHEMA_CLASS": "organisations_app.rest.schema.DocumentedSchema",
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "organisations_app.rest.authentication.TokenAuthentication",  # first: its challenge goes with a 401
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["organisations_app.rest.authentication.MayUse"],
    "EXCEPTION_HANDLER": "organisations_app.rest.problems.handle",
    "DEFAULT_PAGINATION_CLASS": "organisations_app.rest.pagination.Pages",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["organisations_app.rest.parsing.DocumentParser"],
    "DEFAULT_FILTER_BACKENDS": [
        "organisations_app.rest.filters.StrictFilters",
        "organisations_app.rest.filters.StrictOrdering",
    ],
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Tollgate API",
    "DESCRIPTION": (
        "Everything that the admin can do, for programs. Send `Authorization: Bearer <admin token>`; tokens are made "
        "under `tokens`, the first one with the gateway's admin secret. Errors are problem documents (RFC 9457), each "
        "with JSON pointers into what was sent. Lists are paged by `next` and `previous`. Every object has an `ETag`; "
        "send it as `If-Match` to change only what you have seen. Send an `Idempotency-Key` with a POST to be able to "
        "send it again. The id of an API, policy or organisation is the same in the Tyk-compatible API."
    ),
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_NO_READ_ONLY_REQUIRED": True,  # live numbers are left out while the counter store does not answer
    "ENUM_NAME_OVERRIDES": {
        "DeliveryStatusEnum": "monitors_app.models.Delivery.Status",
        "JobStatusEnum": "organisations_app.models.Job.STATUSES",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "organisations_app.rest.examples.add_examples",
        "organisations_app.rest.schema.share_refusals",
    ],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# --- Logs -------------------------------------------------------------------------------------------------------------

LOGGING_CONFIG = "gateway_project.logs.configure"
LOGGING = logging_settings(as_json=not DEBUG)
