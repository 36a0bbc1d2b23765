"""What is written to stderr: see gateway_project/logs.py."""

import logging
import logging.config
from collections.abc import Iterator

import pytest
from django.utils.log import DEFAULT_LOGGING

from gateway_project.logs import logging_settings

NAMES = ("", "django", "django.request", "django.server")


@pytest.fixture
def loggers() -> Iterator[None]:
    """As they were before, afterwards."""
    before = {name: list(logging.getLogger(name).handlers) for name in NAMES}
    yield
    for name, handlers in before.items():
        logging.getLogger(name).handlers[:] = handlers


@pytest.mark.parametrize("name", NAMES[1:])
def test_each_line_is_written_once(loggers: None, name: str) -> None:
    logging.config.dictConfig(DEFAULT_LOGGING)  # Django does so before it asks for our settings
    logging.config.dictConfig(logging_settings(as_json=False))
    logger: logging.Logger | None = logging.getLogger(name)
    reached: list[logging.Handler] = []
    while logger is not None:
        reached += logger.handlers
        logger = logger.parent if logger.propagate else None
    assert len(reached) == 1
