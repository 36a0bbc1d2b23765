"""Whatever stands in the files: it is taken or refused, row by row, and never ends in a traceback."""

import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tyk_migration.conftest import Desk
from tyk_migration.importing import Unreadable

pytestmark = pytest.mark.django_db
LIMIT = "quota_max quota_renewal_rate quota_remaining quota_renews rate per allowance_scope smoothing"
COMMON = f"{LIMIT} org_id access_rights meta_data monitor tags versions limit orders"
MEMBERS = {
    "key": f"{COMMON} apply_policies expires alias basic_auth_data session_lifetime key key_hash session algorithm "
    "pepper key_id other_credentials hint expires_at",
    "policy": f"{COMMON} id _id partitions active",
    "api": "api_id org_id proxy auth version_data versions extended_paths domain api_definition",
    "conf": "monitor configuration header_map template_path hash_keys enforce_org_quotas secret",
    "counter": "quota-raw-key key value ttl expires_at",
}
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-5, 10**20)
    | st.sampled_from([1.5, 1e308, "", "acme", "raw-key", "tollgate"])
)


def documents(kind: str) -> st.SearchStrategy[object]:
    names = st.sampled_from(MEMBERS[kind].split())
    return st.recursive(
        LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=5), max_leaves=8
    )


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    conf=documents("conf"),
    apis=documents("api"),
    policies=documents("policy"),
    orgs=st.lists(documents("key"), max_size=2),
    keys=st.lists(documents("key"), max_size=3),
    dump=st.lists(documents("counter"), max_size=2),
)
def test_nothing_in_a_file_breaks_the_import(tmp_path_factory, conf, apis, policies, orgs, keys, dump):
    desk = Desk(tmp_path_factory.mktemp("hostile"))
    with contextlib.suppress(Unreadable):
        report = desk.take(
            conf=desk.file("tyk.conf", conf),
            apis=desk.file("apis.json", apis),
            policies=desk.file("policies.json", policies),
            orgs=desk.lines("orgs.jsonl", orgs),
            keys=desk.lines("keys.jsonl", keys),
            counters=desk.lines("counters.jsonl", dump),
        )
        assert json.dumps(report.json)
        assert all(each.place.startswith(str(desk.folder)) and each.reason for each in report.report.refusals)
