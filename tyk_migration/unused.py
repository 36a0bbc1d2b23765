"""Members of Tyk's documents that this gateway keeps and gives back, but does not act on; and why not. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

SINCE = "kept and given back"
NOT_HERE = "not known here"
WHY: Mapping[str, Mapping[str, str]] = {
    "apis": {
        "use_keyless": "every request needs a key",
        "version_data": "versions and paths are not told apart",
        "definition": "versions are not told apart",
        "enable_context_vars": "requests are passed on as they are",
        "do_not_track": "analytics are not kept; usage per hour always is",
        "enable_batch_request_support": "no batches",
        "response_processors": "answers are passed on as they are",
        "expire_analytics_after": "analytics are not kept",
        "cache_options": "nothing is cached",
        "CORS": "left to the upstream or the proxy in front",
        "session_lifetime": "sessions are kept until they are deleted",
        "global_rate_limit": "no rate limit of a whole API",
        "domain": "the listen path alone leads to the API",
        "event_handlers": "events are thresholds of quotas only",
        "custom_middleware": "plugins do not run",
        "proxy": "only listen_path, target_url and strip_listen_path count",
        "auth": "only auth_header_name counts",
    },
    "policies": {
        "active": "is_inactive says it",
        "max_query_depth": "GraphQL is not looked into",
        "hmac_enabled": "signatures are not checked",
        "partitions": "only quota, rate_limit, acl and per_api count",
        "smoothing": "rate limits are not smoothed",
    },
    "keys": {
        "allowance": "a mirror of Tyk's own",
        "data_expires": "analytics are not kept",
        "session_lifetime": "sessions are kept until they are deleted",
        "max_query_depth": "GraphQL is not looked into",
        "hmac_enabled": "signatures are not checked",
        "basic_auth_data": "passwords are not checked",
        "jwt_data": "tokens are not checked",
        "certificate": "client certificates are not checked",
        "enable_detail_recording": "requests are not recorded",
        "enable_detailed_recording": "requests are not recorded",
        "smoothing": "rate limits are not smoothed",
    },
}
WHY = {**WHY, "organisations": {**WHY["keys"], "apply_policies": "policies are applied to keys"}}
DIRECT_EMPTY = (None, "", 0, False)


def members(kind: str, extra: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Members that say something, with the reason why it has no effect."""
    for name, value in extra.items():
        if value not in DIRECT_EMPTY and value != {} and value != []:
            yield name, WHY[kind].get(name, NOT_HERE)
