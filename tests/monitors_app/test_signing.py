"""Our signatures, checked by the reference implementation."""

import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from monitors_app import signing

BODY = '{"event":"TriggerExceeded"}'


def signed(secret, body=BODY, timestamp=None):
    at = int(time.time()) if timestamp is None else timestamp
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(at),
        "webhook-signature": signing.signature(secret, "msg_1", at, body.encode()),
    }


def test_the_reference_implementation_accepts_our_signature():
    secret = signing.new_secret()
    assert Webhook(secret).verify(BODY, signed(secret)) == {"event": "TriggerExceeded"}


@pytest.mark.parametrize("change", ["body", "secret", "time"])
def test_the_reference_implementation_refuses_what_was_changed(change):
    secret = signing.new_secret()
    headers = signed(secret, timestamp=time.time_ns() // 10**9 - 3600) if change == "time" else signed(secret)
    receiver = Webhook(signing.new_secret() if change == "secret" else secret)
    with pytest.raises(WebhookVerificationError):
        receiver.verify(BODY + " " if change == "body" else BODY, headers)


def test_generated_secrets_are_32_random_bytes():
    assert signing.secret_error(signing.new_secret()) == ""
    assert signing.new_secret() != signing.new_secret()


@pytest.mark.parametrize(
    "secret",
    ["", "secret", "whsec_", "whsec_short", "whsec_AAAA", "whsec_" + "A" * 31 + "!", "whsec_" + "A" * 100, 7, None],
)
def test_refuses_secrets_that_are_no_24_to_64_bytes_in_base64(secret):
    assert "whsec_" in signing.secret_error(secret)
