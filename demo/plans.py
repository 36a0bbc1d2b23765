"""What the demo's keys may do: the API `/echo/`, the policies Free and Pro, Acme's own quota, and the monitor.

Made once. Only addresses on this process's own port follow when the port changes.
"""

from django.conf import settings

from monitors_app.monitors import gateway_monitor, save_monitor
from organisations_app.models import Organisation
from policies_app.catalogue import save_api, save_policy
from policies_app.models import Api, Policy, PolicyAccess
from sessions_app.keys import save_org_session
from sessions_app.models import OrgSession

API_ID = "echo"
FREE_ID = "free"
PRO_ID = "pro"
PATTERN = "$tyk_meta.DeveloperID|$tyk_meta.PlanID"
EVENT_TIMEOUT_SECONDS = 1


def own_url(path: str) -> str:
    return f"http://127.0.0.1:{settings.GATEWAY_PORT}{path}"


def make_api(organisation: Organisation) -> Api:
    api = Api.objects.filter(pk=API_ID).first()
    if api is None:
        api = Api(pk=API_ID, organisation=organisation, name="Echo", listen_path="/echo/")
    elif not _is_ours(api.target_url, "/demo/upstream/"):
        return api
    api.target_url = own_url("/demo/upstream/")
    save_api(api)
    return api


def make_policies(organisation: Organisation, api: Api) -> None:
    """Free as in the README's first example; Pro counts a developer's keys of one plan together (section 5)."""
    free = Policy(
        pk=FREE_ID,
        organisation=organisation,
        name="Free",
        quota_max=10,
        quota_renewal_rate=60,
        rate=5,
        per=1,
        trigger_limits=[80, 50],
    )
    pro = Policy(
        pk=PRO_ID,
        organisation=organisation,
        name="Pro",
        quota_max=500,
        quota_renewal_rate=3600,
        rate=50,
        per=1,
        trigger_limits=[90, 75, 50],
        meta_data={"rate_limit_pattern": PATTERN, "PlanID": PRO_ID},
        tags=["paid"],
    )
    for policy in (free, pro):
        if not Policy.objects.filter(pk=policy.pk).exists():
            save_policy(policy, [PolicyAccess(api=api)])


def make_session(organisation: Organisation) -> None:
    if not OrgSession.objects.filter(organisation=organisation).exists():
        day = OrgSession(organisation=organisation, quota_max=1000, quota_renewal_rate=86_400, trigger_limits=[90, 75])
        save_org_session(day)


def make_monitor() -> None:
    """The gateway's own monitor tells the inbox, unless somebody gave it another target."""
    monitor = gateway_monitor()
    if monitor.target_path and not _is_ours(monitor.target_path, "/demo/inbox/"):
        return
    if not monitor.target_path:
        monitor.is_enabled, monitor.event_timeout = True, EVENT_TIMEOUT_SECONDS
    monitor.target_path = own_url("/demo/inbox/")
    save_monitor(monitor)


def _is_ours(url: str, path: str) -> bool:
    return url.startswith("http://127.0.0.1:") and url.endswith(path)
