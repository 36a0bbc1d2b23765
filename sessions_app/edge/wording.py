"""The `detail` of a rejection: tells a stranger what happened and what to do next. Pure."""

from policies_app.durations import duration_text
from sessions_app.engine.types import Decision, LimitName, LimitState, Refusal

REFUSALS = {
    Refusal.UNKNOWN_KEY: "This key is not known here: mistyped, replaced or deleted. Check it, or ask for a new one.",
    Refusal.EXPIRED_KEY: "This key has expired. Ask the provider of this API for a new one.",
    Refusal.INACTIVE_KEY: "This key, or a plan it is on, is switched off. Ask the provider of this API why.",
    Refusal.INACTIVE_ORGANISATION: "The organisation of this key is switched off. Ask the provider of this API why.",
    Refusal.API_FORBIDDEN: "This key is valid, but not for this API. Ask its provider for a plan that includes it.",
    Refusal.TOO_MANY_UNKNOWN_KEYS: (
        "Too many unknown keys came from your address, so keys that were not used lately are not looked up now. "
        "Try again in a second."
    ),
    Refusal.UNKNOWN_API: "No API is served under this path. Check the URL.",
}


def explain_refusal(refusal: Refusal, auth_header_name: str = "") -> str:
    """`auth_header_name` is where this API wants its key; empty means the standard headers."""
    if refusal is Refusal.MISSING_KEY:
        place = (
            f"the header {auth_header_name}: <key>"
            if auth_header_name
            else "the header Authorization: Bearer <key> (or X-Api-Key: <key>)"
        )
        return f"This API needs a key. Send yours in {place}."
    return REFUSALS[refusal]


def explain_denial(decision: Decision) -> str:
    """Speaks of the first limit that denies, and of when all of them would admit again."""
    first = next(state for state in decision.states if state.name is decision.violated[0])
    return f"{_what_happened(first)} {_what_next(decision.retry_after_seconds)}"


def _what_happened(state: LimitState) -> str:
    allowance = f"{state.max} {'request' if state.max == 1 else 'requests'}{_per(state.window_seconds)}"
    match state.name:
        case LimitName.KEY_QUOTA:
            return f"The quota of this key, {allowance}, is used up."
        case LimitName.KEY_RATE:
            return f"This key may send {allowance}, and has sent more."
        case LimitName.ORG_QUOTA:
            return f"The quota of your organisation, {allowance} for all its keys together, is used up."
        case LimitName.ORG_RATE:
            return f"Your organisation may send {allowance} with all its keys together, and has sent more."


def _what_next(retry_after_seconds: int | None) -> str:
    if retry_after_seconds is None:
        return "Waiting does not help, because the quota does not renew: ask the provider of this API for a larger one."
    return f"Try again in {duration_text(max(1, retry_after_seconds))}."


def _per(window_seconds: int | None) -> str:
    return "" if window_seconds is None else f" per {duration_text(window_seconds).removeprefix('1 ')}"
