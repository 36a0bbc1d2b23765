"""What operators can see of the edge. Counting is cheap: children are looked up once."""

from prometheus_client import CONTENT_TYPE_LATEST, Counter, generate_latest

from sessions_app.edge.answers import Receive, Scope, Send, answer_of, send_answer
from sessions_app.engine.types import Outcome

_decisions = Counter("tollgate_decisions_total", "Requests judged, by outcome.", ["outcome"])
DECISIONS = {outcome: _decisions.labels(outcome.value) for outcome in Outcome}
UNCOUNTED = Counter(
    "tollgate_uncounted_total", "Requests that passed uncounted because the counter store did not answer."
)
RELAY_POKE_FAILURES = Counter(
    "tollgate_relay_poke_failures_total",
    "Threshold crossings whose relay waits for its schedule, because the broker did not answer.",
)
UPSTREAM_FAILURES = Counter(
    "tollgate_upstream_failures_total", "Requests that the upstream did not answer properly.", ["code"]
)


async def expose(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI: this process's numbers in Prometheus' text format."""
    await send_answer(send, answer_of(200, CONTENT_TYPE_LATEST.encode(), generate_latest()), scope["method"])
