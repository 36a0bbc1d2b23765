"""Fills a fresh database with what is measured, and prints the keys: `python -m bench.seed <url of the upstream>`."""

import json
import sys

import django
from django.conf import settings
from django.core.management import call_command

django.setup()

from organisations_app.models import Organisation  # noqa: E402 - models need the line above
from organisations_app.organisations import save_organisation  # noqa: E402
from policies_app.catalogue import save_api  # noqa: E402
from policies_app.models import Api  # noqa: E402
from sessions_app.keys import create_key, save_org_session  # noqa: E402
from sessions_app.models import Key, KeyAccess, OrgSession  # noqa: E402

from bench.names import DJANGO_PATH, PROXIED_PATH  # noqa: E402

QUOTA = {"quota_max": 10**12, "quota_renewal_rate": 86_400}
QUOTA_AND_RATE = {**QUOTA, "rate": 10**9, "per": 60}
THRESHOLDS = [90, 75]


def main(upstream: str) -> None:
    call_command("migrate", interactive=False, verbosity=0)
    owner = _organisation("bench-one")
    apis = [
        Api(id="bench-django", organisation=owner, name="Django", listen_path=DJANGO_PATH),
        Api(id="bench-proxied", organisation=owner, name="Proxied", listen_path=PROXIED_PATH, target_url=upstream),
    ]
    for api in apis:
        save_api(api)
    limited = _organisation("bench-four")
    save_org_session(OrgSession(organisation=limited, trigger_limits=THRESHOLDS, **QUOTA_AND_RATE))
    one = Key(organisation=owner, trigger_limits=THRESHOLDS, **QUOTA)
    four = Key(organisation=limited, trigger_limits=THRESHOLDS, **QUOTA_AND_RATE)
    keys = [create_key(key, access=[KeyAccess(api=api) for api in apis]) for key in (one, four)]
    seeded = {"one_limit_key": keys[0], "four_limits_key": keys[1], "decide_token": settings.GATEWAY_DECIDE_TOKEN}
    print(json.dumps(seeded))


def _organisation(identifier: str) -> Organisation:
    organisation = Organisation(id=identifier, name=identifier)
    save_organisation(organisation)
    return organisation


if __name__ == "__main__":
    main(sys.argv[1])
