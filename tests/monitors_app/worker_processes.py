"""Real Celery workers on the test's own database and store, to be killed at will."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from celery import Celery
from django.conf import settings
from django.db import connection

from gateway_project.environment import BASE_DIR
from tests.sessions_app.edge.conftest import database_url

ALL_QUEUES = "relay,deliveries,mail,housekeeping"


class WorkerProcess:
    """One worker of all queues, as `manage.py up` starts its own. Ready when it says so in its log. The broker is the
    store unless another one is given.
    """

    def __init__(self, log: Path, threads: int = 8, *, broker: str = "", queues: str = ALL_QUEUES) -> None:
        command = [
            *(sys.executable, "-m", "celery", "--quiet", "--app", "gateway_project", "worker"),
            *("--pool", "threads", "--concurrency", str(threads), "--queues", queues),
            *("--without-gossip", "--without-mingle", "--loglevel", "INFO"),
        ]
        environment = {
            **os.environ,
            "DATABASE_URL": database_url(),
            "CELERY_BROKER_URL": broker or settings.GATEWAY_STORE_URL,
            "DJANGO_SETTINGS_MODULE": "gateway_project.settings",
            "GATEWAY_WEBHOOK_ALLOWED_NETS": "127.0.0.0/8",
            "GATEWAY_DEMO": "0",
        }
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=BASE_DIR, env=environment, stdout=output, stderr=subprocess.STDOUT
            )

    @property
    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return " ready." in self.log.read_text()

    def kill(self) -> None:
        """As the kernel does when memory runs out: nothing is cleaned up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()


def publish(task: str, *arguments: int, queue: str, app: str = "monitors_app", broker: str = "") -> None:
    """Into the real broker: the tests' own is in memory."""
    url = broker or settings.GATEWAY_STORE_URL
    publisher = Celery("publisher", broker=url, set_as_current=False)
    with publisher.connection_for_write(url) as connection:
        publisher.send_task(f"{app}.tasks.{task}", args=arguments, queue=queue, connection=connection)


def look_again() -> None:
    """A read transaction that is still open would show an old state."""
    connection.close()
