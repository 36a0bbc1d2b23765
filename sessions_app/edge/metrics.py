"""What operators can see of the edge. Counting is cheap: children are looked up once."""
from prometheus_client import Counter

from sessions_app.engine.types import Outcome

_decisions = Counter("tollgate_decisions_total", "Requests judged, by outcome.", ["outcome"])
DECISIONS = {outcome: _decisions.labels(outcome.value) for outcome in Outcome}
UNCOUNTED = Counter("tollgate_uncounted_total", "Requests that passed uncounted because the counter store did not answer.")
RELAY_POKE_FAILURES = Counter("tollgate_relay_poke_failures_total", "Threshold crossings whose relay waits for its schedule, because the broker did not answer.")
UPSTREAM_FAILURES = Counter("tollgate_upstream_failures_total", "Requests that the upstream did not answer properly.", ["code"])
