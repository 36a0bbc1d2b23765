"""What a test needs from the machine: missing, the test skips and says so; in CI (`CI=true`) that is a failure."""

import os

import pytest


def need(present: object, what: str) -> None:
    """Goes on when `present` is true. `what` completes the sentence "This test needs …"."""
    if present:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"This test needs {what}, and CI must have it.")
    pytest.skip(f"This test needs {what}.")
