"""Death at any moment: kill -9 in the middle of real functions, and a network that remembers what it was sent."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from monitors_app.transports import Answer, TransportError, Webhook

# The shortest wait before a retry (rule 7.10). A message that comes sooner was sent by two workers at once.
LEAST_GAP = timedelta(seconds=4)


class Killed(BaseException):
    """kill -9: no handler of ours runs; the database rolls back what was not committed."""


class Fuse:
    """Kills before or after one of the steps that it was wrapped around."""

    def __init__(self) -> None:
        self.left: int | None = None

    @contextmanager
    def burning(self, steps: int | None, on_death: Callable[[], None]) -> Iterator[None]:
        """The process that runs inside lives for this many half steps; None: to its end."""
        self.left = steps
        try:
            yield
        except Killed:
            on_death()
        self.left = None

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            self._tick()
            result = function(*args, **kwargs)
            self._tick()
            return result

        return step

    def unless_dead(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """For what runs while an exception passes: a killed process would not."""
        return lambda *args: None if self.left == -1 else function(*args)

    def _tick(self) -> None:
        if self.left is None:
            return
        self.left -= 1
        if self.left < 0:
            self.left = -1
            raise Killed


class Network:
    """Takes webhooks and remembers them; answers what it is told to."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now, self.is_well = now, True
        self.times: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self.forgotten: Counter[str] = Counter()
        self.bodies: dict[str, set[bytes]] = defaultdict(set)
        self.first_at: dict[str, datetime] = {}
        self.meanwhile: Callable[[], None] | None = None
        self.complaints: list[str] = []
        self._last_at: dict[str, datetime] = {}
        self._of_this_process: set[str] = set()

    def send(self, webhook: Webhook) -> Answer:
        message_id, now = webhook.headers["webhook-id"], self.now()
        if message_id in self._last_at and now < self._last_at[message_id] + LEAST_GAP:
            # An exception would be taken for a fault of the sender's, and survived.
            self.complaints.append(f"{message_id} was sent by two at once, or too soon again")
        self._last_at[message_id] = now
        self._of_this_process.add(message_id)
        self.times[message_id] += 1
        self.bodies[message_id].add(webhook.body)
        self.first_at.setdefault(message_id, now)
        self._let_others_work()
        if not self.is_well:
            raise TransportError("out of order", answer=Answer(500))
        self.accepted[message_id] += 1
        return Answer(200)

    def _let_others_work(self) -> None:
        """What happens while the first message is under way."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()

    def a_process_begins(self) -> None:
        self._of_this_process = set()

    def its_process_died(self) -> None:
        """What it sent it may not have written down: each of these may come once more."""
        self.forgotten.update(self._of_this_process)

    def documents(self, message_id: str) -> list[Any]:
        return [json.loads(body) for body in self.bodies[message_id]]
