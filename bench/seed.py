"""Fills a fresh database with what is measured, and prints the keys: `python -m bench.seed <url of the upstream>`."""

import json
import sys
from dataclasses import asdict
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command

django.setup()

from bench.names import DJANGO_PATH, MEASURED_API, PROXIED_PATH  # noqa: E402 - what imports models needs the line above
from bench.scenarios import Seeded  # noqa: E402
from monitors_app.models import Monitor  # noqa: E402
from monitors_app.monitors import save_monitor  # noqa: E402
from organisations_app.models import Organisation  # noqa: E402
from organisations_app.organisations import save_organisation  # noqa: E402
from policies_app.catalogue import save_api, save_policy  # noqa: E402
from policies_app.models import Api, Policy, PolicyAccess  # noqa: E402
from sessions_app.keys import create_key, save_org_session  # noqa: E402
from sessions_app.models import Key, KeyAccess, OrgSession  # noqa: E402

QUOTA: dict[str, Any] = {"quota_max": 10**12, "quota_renewal_rate": 86_400, "trigger_limits": [80, 50]}
QUOTA_AND_RATE: dict[str, Any] = {**QUOTA, "rate": 10**9, "per": 60}
TYPICAL: dict[str, Any] = {**QUOTA, "quota_max": 1_000_000, "rate": 1000, "per": 60}


def main(upstream: str) -> Seeded:
    call_command("migrate", interactive=False, verbosity=0)
    owner = _organisation()
    apis = [
        Api(id=MEASURED_API, organisation=owner, name="Django", listen_path=DJANGO_PATH),
        Api(id="bench-proxied", organisation=owner, name="Proxied", listen_path=PROXIED_PATH, target_url=upstream),
    ]
    for api in apis:
        save_api(api)
    save_monitor(Monitor(name="Bench", target_path="https://hooks.example/bench"))
    return Seeded(
        one_limit_key=create_key(Key(organisation=owner, **QUOTA), access=[KeyAccess(api=api) for api in apis]),
        four_limits_key=_four_limits_key(apis[0]),
        typical_key=_typical_key(apis[0]),
        decide_token=settings.GATEWAY_DECIDE_TOKEN,
    )


def _four_limits_key(api: Api) -> str:
    organisation = _organisation(QUOTA_AND_RATE)
    return create_key(Key(organisation=organisation, **QUOTA_AND_RATE), access=[KeyAccess(api=api)])


def _typical_key(api: Api) -> str:
    organisation = _organisation(TYPICAL)
    policy = Policy(organisation=organisation, name="Typical", **TYPICAL)
    save_policy(policy, [PolicyAccess(api=api)])
    return create_key(Key(organisation=organisation), policies=[policy.pk])


def _organisation(session: dict[str, Any] | None = None) -> Organisation:
    organisation = Organisation(name="Bench")
    save_organisation(organisation)
    if session:
        save_org_session(OrgSession(organisation=organisation, **session))
    return organisation


if __name__ == "__main__":
    print(json.dumps(asdict(main(sys.argv[1]))))
