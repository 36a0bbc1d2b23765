"""Where blocking work of the event loop goes: a few threads, with database connections that are checked before use."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import close_old_connections

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

THREADS = 4
_executor = ThreadPoolExecutor(THREADS, thread_name_prefix="tollgate-sql")


async def in_thread(
    function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Result:
    """Runs a function that reads the database. Its errors come through."""
    return await asyncio.get_running_loop().run_in_executor(_executor, _between_checks(function, *args, **kwargs))


def start_in_thread(
    function: Callable[Parameters, object], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> None:
    """Runs a function that reads the database and tells whom it concerns. Nobody who stops waiting can cancel it."""
    _executor.submit(_between_checks(function, *args, **kwargs))


def _between_checks(
    function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Callable[[], Result]:
    def run() -> Result:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    return run
