"""Grants, compiled by one request at a time for each credential and API, for all that wait for the same one.

Threads and event loops of a process share the flights, so the Django middleware and the data plane never do the same
work side by side.
"""

import asyncio
from concurrent.futures import wait

from sessions_app import grants, tokens
from sessions_app.edge.threads import start_in_thread
from sessions_app.engine.types import Grant, Refusal
from sessions_app.flights import Flights


def _is_verified_later(found: Grant | Refusal) -> bool:
    """The counter store says of every grant whether it is current; nobody else checks a refusal (rule 1.5)."""
    return isinstance(found, Grant)


_flights: Flights[tuple[str, str], Grant | Refusal] = Flights(serves_late=_is_verified_later)


def compiled(token: str, api_id: str, *, late: bool = True) -> Grant | Refusal:
    """As grants.compile_grant; blocks. `late`: a grant whose compile began before this call will do."""
    name = (tokens.digest(token), api_id)
    for flight, is_mine in _flights.tickets(name, late=late):
        if is_mine:
            _flights.fly(name, flight, lambda: grants.compile_grant(token, api_id))
        wait((flight,))
    return flight.result()


async def compiled_async(token: str, api_id: str, *, late: bool = True) -> Grant | Refusal:
    """As compiled, in a thread. It goes on for the others when the request that began it is cancelled."""
    name = (tokens.digest(token), api_id)
    for flight, is_mine in _flights.tickets(name, late=late):
        if is_mine:
            start_in_thread(_flights.fly, name, flight, lambda: grants.compile_grant(token, api_id))
        await asyncio.gather(asyncio.wrap_future(flight), return_exceptions=True)
    return flight.result()
