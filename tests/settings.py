"""The project's settings for tests: development mode with state in a folder of its own that goes when the session ends.

Child processes and xdist workers inherit the folder through the environment, and with it the pepper and the secrets.
"""

import atexit
import os
import shutil
import tempfile

os.environ["DEBUG"] = "true"
os.environ.setdefault("GATEWAY_DEMO", "1")
os.environ.setdefault("CELERY_BROKER_URL", "memory://localhost")
os.environ.setdefault("EMAIL_URL", "memorymail://")
if "GATEWAY_TEST_VAR_DIR" not in os.environ:
    os.environ["GATEWAY_TEST_VAR_DIR"] = tempfile.mkdtemp(prefix="gateway-test-")
    atexit.register(shutil.rmtree, os.environ["GATEWAY_TEST_VAR_DIR"], ignore_errors=True)
os.environ["GATEWAY_VAR_DIR"] = os.environ["GATEWAY_TEST_VAR_DIR"]

from gateway_project.settings import *  # noqa: F403
from gateway_project.settings import DATABASES, GATEWAY_VAR_DIR

# A file, because threads and child processes of a test cannot share SQLite in memory.
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {"NAME": str(GATEWAY_VAR_DIR / "test.sqlite3")}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
AXES_ENABLED = False  # Client.login() has no request; the test of the lockout switches it on
