"""Logs on stderr through structlog: one JSON object per line in production, readable lines in development."""

import logging.config
import warnings
from typing import Any

import structlog
from structlog.typing import Processor

_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def logging_settings(as_json: bool) -> dict[str, Any]:
    """The `LOGGING` setting. Plain `logging` calls and structlog's come out alike."""
    renderer: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [structlog.dev.ConsoleRenderer(colors=False)]
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "lines": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": list(_SHARED),
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
            },
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["stderr"], "level": "INFO"},
        "loggers": {
            # Named, it loses the handlers that Django gives it, and each line is written once.
            "django": {"level": "INFO"},
            # One line per start, stop and task is the text of a debugger, not of an operator.
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "celery.beat": {"level": "WARNING"},
            "axes": {"level": "WARNING"},
            "django.server": {"level": "INFO", "propagate": True},
        },
    }


def configure(settings: dict[str, Any]) -> None:
    """Called by Django with the `LOGGING` setting."""
    logging.config.dictConfig(settings)
    # WhiteNoise's files under ASGI: read by a thread at once, and small.
    warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
