"""What callers see: status, headers and body of every outcome, in both dialects (section 8)."""

import json

import pytest

from sessions_app.edge import rendering
from sessions_app.engine.types import Decision, LimitName, LimitState, Outcome, Refusal

KEY_QUOTA = LimitState(LimitName.KEY_QUOTA, 10, 3, 7, 60, 42, 1_800_000_042, False)
KEY_RATE = LimitState(LimitName.KEY_RATE, 5, 1, 4, 1, 1, 1_800_000_001, False)
ORG_QUOTA = LimitState(LimitName.ORG_QUOTA, 1000, 1, 999, 86_400, 100, 1_800_000_100, False)
ORG_RATE = LimitState(LimitName.ORG_RATE, 50, 1, 49, 3600, 7, 1_800_000_007, False)
ENDLESS = LimitState(LimitName.KEY_QUOTA, 2, 2, 0, None, None, None, True)
ALL = (ORG_RATE, ORG_QUOTA, KEY_RATE, KEY_QUOTA)


def denied(*names: LimitName, states=ALL, retry: int | None = 42) -> Decision:
    return Decision(Outcome.DENIED, states, names, retry_after_seconds=retry)


def refused(refusal: Refusal) -> Decision:
    return Decision(Outcome.REFUSED, refusal=refusal)


def by_name(headers) -> dict[str, str]:
    assert len({name for name, _ in headers}) == len(headers)
    return {name.decode(): value.decode() for name, value in headers}


# --- headers (8.1) ----------------------------------------------------------------------------------------------------

HEADERS = {
    "all four limits": (
        ALL,
        {
            "ratelimit-policy": '"key-quota";q=10;w=60, "key-rate";q=5;w=1, '
            '"org-quota";q=1000;w=86400, "org-rate";q=50;w=3600',
            "ratelimit": '"key-quota";r=7;t=42, "key-rate";r=4;t=1, "org-quota";r=999;t=100, "org-rate";r=49;t=7',
            "x-ratelimit-limit": "10",
            "x-ratelimit-remaining": "7",
            "x-ratelimit-reset": "1800000042",
        },
    ),
    "no key quota, no X-RateLimit": (
        (KEY_RATE,),
        {"ratelimit-policy": '"key-rate";q=5;w=1', "ratelimit": '"key-rate";r=4;t=1'},
    ),
    "a quota that never renews has no times": (
        (ENDLESS,),
        {
            "ratelimit-policy": '"key-quota";q=2',
            "ratelimit": '"key-quota";r=0',
            "x-ratelimit-limit": "2",
            "x-ratelimit-remaining": "0",
        },
    ),
    "more than an integer of a structured field can say": (
        (LimitState(LimitName.ORG_QUOTA, 10**15, 0, 10**15, 60, 42, 1_800_000_042, False),),
        {
            "ratelimit-policy": '"org-quota";q=999999999999999;w=60',
            "ratelimit": '"org-quota";r=999999999999999;t=42',
        },
    ),
    "unlimited": ((), {}),
}


@pytest.mark.parametrize(("states", "headers"), HEADERS.values(), ids=HEADERS)
def test_limit_headers_tell_of_the_limits_that_exist(states, headers):
    assert by_name(rendering.limit_headers(states)) == headers


# --- denials (8.2, 8.4) -----------------------------------------------------------------------------------------------

ORG_QUOTA_TEXT = "This organisation quota has been exceeded, please contact your API administrator"
ORG_RATE_TEXT = "This organisation rate limit has been exceeded, please contact your API administrator"
DENIALS = {
    LimitName.KEY_QUOTA: ("quota_exceeded", 403, "Quota exceeded"),
    LimitName.KEY_RATE: ("rate_limited", 429, "Rate Limit Exceeded"),
    LimitName.ORG_QUOTA: ("quota_exceeded", 403, ORG_QUOTA_TEXT),
    LimitName.ORG_RATE: ("rate_limited", 403, ORG_RATE_TEXT),
}


@pytest.mark.parametrize(("name", "expected"), DENIALS.items(), ids=DENIALS)
def test_a_denial_is_a_problem_that_names_the_limit(name, expected):
    answer = rendering.rejection(denied(name), "standard")
    headers, body = by_name(answer.headers), json.loads(answer.body)
    assert answer.status == body["status"] == 429
    assert headers["content-type"] == "application/problem+json"
    assert headers["retry-after"] == "42"
    assert headers["cache-control"] == "no-store"
    assert headers["content-length"] == str(len(answer.body))
    assert headers.items() >= by_name(rendering.limit_headers(ALL)).items()
    assert body["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert (body["code"], body["violated-policies"]) == (expected[0], [name.value])
    assert "Try again in 42 seconds." in body["detail"]


@pytest.mark.parametrize(("name", "expected"), DENIALS.items(), ids=DENIALS)
def test_a_denial_in_tyks_words_keeps_the_headers(name, expected):
    answer = rendering.rejection(denied(name), "tyk")
    assert (answer.status, json.loads(answer.body)) == (expected[1], {"error": expected[2]})
    headers = by_name(answer.headers)
    assert headers["content-type"] == "application/json"
    assert headers.items() >= by_name(rendering.limit_headers(ALL)).items()


def test_the_code_is_that_of_the_first_of_all_that_deny():
    body = json.loads(rendering.rejection(denied(LimitName.ORG_RATE, LimitName.KEY_QUOTA), "standard").body)
    assert (body["code"], body["violated-policies"]) == ("rate_limited", ["org-rate", "key-quota"])


def test_waiting_for_what_never_renews_is_not_suggested():
    answer = rendering.rejection(denied(LimitName.KEY_QUOTA, states=(ENDLESS,), retry=None), "standard")
    assert "retry-after" not in by_name(answer.headers)
    assert "does not renew" in json.loads(answer.body)["detail"]


# --- other rejections (1.4, 8.3, 8.4) ---------------------------------------------------------------------------------

INACTIVE_ORGANISATION = "this organisation access has been disabled, please contact your API administrator"
REFUSALS = {
    Refusal.MISSING_KEY: (401, 401, "Authorization field missing"),
    Refusal.UNKNOWN_KEY: (401, 403, "Access to this API has been disallowed"),
    Refusal.EXPIRED_KEY: (401, 401, "Key has expired, please renew"),
    Refusal.INACTIVE_KEY: (403, 403, "Key is inactive, please renew"),
    Refusal.INACTIVE_ORGANISATION: (403, 403, INACTIVE_ORGANISATION),
    Refusal.API_FORBIDDEN: (403, 403, "Access to this API has been disallowed"),
    Refusal.UNKNOWN_API: (404, 404, "Not Found"),
    Refusal.TOO_MANY_UNKNOWN_KEYS: (429, 429, "Rate Limit Exceeded"),
}


def test_every_refusal_is_in_the_table():
    assert set(REFUSALS) == set(Refusal)


@pytest.mark.parametrize(("refusal", "expected"), REFUSALS.items(), ids=REFUSALS)
def test_a_refusal_is_a_problem_with_its_code(refusal, expected):
    answer = rendering.rejection(refused(refusal), "standard")
    body = json.loads(answer.body)
    assert (answer.status, body["status"], body["code"]) == (expected[0], expected[0], refusal.value)
    assert body["detail"].endswith(".")
    assert ("www-authenticate" in by_name(answer.headers)) == (expected[0] == 401)
    assert ("retry-after" in by_name(answer.headers)) == (expected[0] == 429)


@pytest.mark.parametrize(("refusal", "expected"), REFUSALS.items(), ids=REFUSALS)
def test_a_refusal_in_tyks_words(refusal, expected):
    answer = rendering.rejection(refused(refusal), "tyk")
    assert (answer.status, json.loads(answer.body)) == (expected[1], {"error": expected[2]})
    assert ("www-authenticate" in by_name(answer.headers)) == (expected[1] == 401)


def test_who_sent_no_key_is_told_where_this_api_wants_it():
    missing = refused(Refusal.MISSING_KEY)
    assert "Authorization: Bearer <key>" in json.loads(rendering.rejection(missing, "standard").body)["detail"]
    assert "X-Custom: <key>" in json.loads(rendering.rejection(missing, "standard", "X-Custom").body)["detail"]


def test_what_cannot_be_judged_is_503_with_a_time_to_come_back():
    answer = rendering.rejection(Decision(Outcome.UNAVAILABLE), "standard")
    assert (answer.status, json.loads(answer.body)["code"]) == (503, "store_unavailable")
    assert int(by_name(answer.headers)["retry-after"]) >= 1


def test_a_pass_is_no_rejection():
    with pytest.raises(ValueError, match="passed"):
        rendering.rejection(Decision(Outcome.PASSED), "standard")


# --- words ------------------------------------------------------------------------------------------------------------

DETAILS = {
    LimitName.KEY_QUOTA: "The quota of this key, 10 requests per minute, is used up.",
    LimitName.KEY_RATE: "This key may send 5 requests per second, and has sent more.",
    LimitName.ORG_QUOTA: "The quota of your organisation, 1000 requests per day for all its keys together, is used up.",
    LimitName.ORG_RATE: "Your organisation may send 50 requests per hour with all its keys together, "
    "and has sent more.",
}


@pytest.mark.parametrize(("name", "text"), DETAILS.items(), ids=DETAILS)
def test_the_detail_tells_a_stranger_what_happened(name, text):
    detail = json.loads(rendering.rejection(denied(name), "standard").body)["detail"]
    assert detail == f"{text} Try again in 42 seconds."
