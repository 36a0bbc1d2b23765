"""Standard Webhooks signatures (standardwebhooks.com, `v1`): the receiver can tell that it is us (rule 7.8)."""

import base64
import binascii
import hashlib
import hmac
import secrets

PREFIX = "whsec_"
SECRET_BYTES = 32
MIN_BYTES, MAX_BYTES = 24, 64  # what the specification recommends


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def secret_error(secret: object) -> str:
    """Why this cannot be a signing secret; empty if it can."""
    try:
        length = len(_key(secret)) if isinstance(secret, str) and secret.startswith(PREFIX) else 0
    except (binascii.Error, ValueError):
        length = 0
    if MIN_BYTES <= length <= MAX_BYTES:
        return ""
    return (
        f"must be {PREFIX} followed by {MIN_BYTES} to {MAX_BYTES} bytes in base64; leave it out to have one generated"
    )


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`. `timestamp` is the one of this attempt, in unix seconds."""
    signed = b".".join([message_id.encode(), str(timestamp).encode(), body])
    return "v1," + base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()).decode()


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
