"""Section 3: how a key's own limits and its policies become one answer."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies_app.limits import KeyTerms, Limits, PolicyTerms, effective_terms, merged_meta_data, merged_tags

SMALL = Limits(quota_max=10, quota_renewal_rate=60, rate=1, per=1)
LARGE = Limits(quota_max=50, quota_renewal_rate=600, rate=5, per=1)
OWN = Limits(quota_max=3, quota_renewal_rate=30)


def key(*policies: str, **changes: Any) -> KeyTerms:
    return KeyTerms(**{"id": "k", "limits": OWN, "rights": {}, "policies": policies, **changes})


def policy(name: str, limits: Limits = SMALL, **changes: Any) -> PolicyTerms:
    return PolicyTerms(**{"id": name, "limits": limits, "rights": {"a": None}, **changes})


def test_a_key_without_policies_counts_for_itself():
    terms = effective_terms(key(rights={"a": None}), [], "a")
    assert (terms.quota.limits, terms.quota.scope, terms.quota.owner) == (OWN, "", "key:k")


def test_an_access_right_with_limits_replaces_all_of_them_on_its_api_only():
    terms = key(rights={"a": Limits(quota_max=7), "b": None}, limits=Limits(quota_max=50, rate=1, per=60))
    on_a, on_b = effective_terms(terms, [], "a"), effective_terms(terms, [], "b")
    assert (on_a.quota.limits.quota_max, on_a.quota.scope, on_a.rate.limits.has_rate) == (7, "api:a", False)
    assert (on_b.quota.limits.quota_max, on_b.quota.scope, on_b.rate.limits.has_rate) == (50, "", True)


def test_an_api_that_nobody_grants_is_forbidden():
    assert effective_terms(key(rights={"a": None}), [], "b") is None
    assert effective_terms(key("p"), [policy("p")], "b") is None


def test_a_policy_supplies_limits_and_rights_instead_of_the_key():
    terms = effective_terms(key("p", rights={"b": None}), [policy("p")], "a")
    assert (terms.quota.limits, terms.quota.scope) == (SMALL, "policy:p")
    assert effective_terms(key("p", rights={"b": None}), [policy("p")], "b") is None


def test_a_key_whose_policies_are_gone_has_no_access_whatever_its_own_rights():
    assert effective_terms(key("gone", rights={"a": None}), [], "a") is None


def test_an_unknown_policy_among_several_is_skipped():
    assert effective_terms(key("gone", "p"), [policy("p")], "a") is not None


def test_each_policy_keeps_its_own_bucket():
    policies = [policy("p1"), policy("p2", LARGE, rights={"b": None})]
    terms = key("p1", "p2")
    assert effective_terms(terms, policies, "a").quota.scope == "policy:p1"
    assert effective_terms(terms, policies, "b").quota.scope == "policy:p2"


@pytest.mark.parametrize("order", list(itertools.permutations(["small", "large", "endless"])))
def test_the_more_generous_quota_wins_as_a_pair_in_any_order(order):
    known = {
        "small": policy("small"),
        "large": policy("large", LARGE),
        "endless": policy("endless", Limits(quota_max=50)),
    }
    terms = effective_terms(key(*order), [known[name] for name in order], "a")
    assert (terms.quota.owner, terms.quota.limits.quota_renewal_rate) == (
        "large",
        600,
    )  # the tie goes to the shorter renewal
    assert terms.rate.owner == "endless"  # no rate limit is the fastest


def test_unlimited_is_the_greatest_quota():
    terms = effective_terms(key("p", "q"), [policy("p", LARGE), policy("q", Limits(quota_max=-1))], "a")
    assert not terms.quota.limits.has_quota


def test_throttle_is_the_maximum_of_each():
    one, two = Limits(throttle_interval=1, throttle_retry_limit=9), Limits(throttle_interval=3, throttle_retry_limit=2)
    terms = effective_terms(key("p", "q"), [policy("p", one), policy("q", two)], "a")
    assert (terms.throttle_interval, terms.throttle_retry_limit) == (3, 9)


@pytest.mark.parametrize(
    ("partition", "quota_owner", "rate_owner", "granted"),
    [
        ("quota", "p", "key:k", "own"),
        ("rate_limit", "key:k", "p", "own"),
        ("acl", "key:k", "key:k", "policy"),
        ("per_api", "p", "p", "policy"),
    ],
)
def test_a_partitioned_policy_supplies_only_its_part(partition, quota_owner, rate_owner, granted):
    terms = key("p", rights={"own": None})
    policies = [policy("p", rights={"policy": None}, partitions=frozenset([partition]))]
    effective = effective_terms(terms, policies, granted)
    assert (effective.quota.owner, effective.rate.owner) == (quota_owner, rate_owner)
    assert effective_terms(terms, policies, "policy" if granted == "own" else "own") is None


def test_policies_thresholds_in_union_replace_the_keys_own():
    terms = key("p", "q", trigger_limits=(99.0,))
    with_limits = [policy("p", trigger_limits=(90.0, 50.0)), policy("q", trigger_limits=(75.0, 50.0))]
    assert effective_terms(terms, with_limits, "a").trigger_limits == (90.0, 75.0, 50.0)
    assert effective_terms(terms, [policy("p")], "a").trigger_limits == (99.0,)


def test_metadata_of_policies_overwrites_the_keys_in_policy_order_and_tags_are_the_union():
    terms = key("p", "q", meta_data={"plan": "own", "team": "red"}, tags=("x",))
    policies = [
        policy("p", meta_data={"plan": "p"}, tags=("y", "x")),
        policy("q", meta_data={"plan": "q"}, tags=("z",)),
    ]
    assert merged_meta_data(terms, policies) == {"plan": "q", "team": "red"}
    assert merged_tags(terms, policies) == ("x", "y", "z")
    assert terms.meta_data == {"plan": "own", "team": "red"}


LIMITS = st.builds(
    Limits,
    quota_max=st.sampled_from([-1, 1, 5, 100]),
    quota_renewal_rate=st.sampled_from([0, 1, 60]),
    quota_period=st.sampled_from(["rolling", "day", "week", "month"]),
    rate=st.sampled_from([0, 1, 2.5]),
    per=st.sampled_from([0, 1, 10]),
)
PARTITIONS = st.sampled_from(
    [(), ("quota",), ("rate_limit",), ("acl",), ("quota", "acl"), ("quota", "rate_limit"), ("per_api",)]
)


@st.composite
def policy_sets(draw: st.DrawFn) -> list[PolicyTerms]:
    rights = st.dictionaries(st.sampled_from("abc"), st.none() | LIMITS, min_size=1)
    return [
        policy(f"p{number}", draw(LIMITS), rights=draw(rights), partitions=frozenset(draw(PARTITIONS)))
        for number in range(draw(st.integers(1, 4)))
    ]


@given(policy_sets(), st.randoms(use_true_random=False), LIMITS)
def test_the_order_of_policies_never_matters(policies, random, own):
    shuffled = random.sample(policies, len(policies))
    terms = key(*(p.id for p in policies), limits=own, rights={"a": None, "b": own})
    for api in "abc":
        assert effective_terms(terms, policies, api) == effective_terms(terms, shuffled, api)


@given(policy_sets(), LIMITS)
def test_adding_a_policy_never_takes_quota_or_access_away(policies, own):
    full = [p for p in policies if not p.partitions]
    terms = key(*(p.id for p in policies), limits=own)
    for api in "abc":
        fewer, more = effective_terms(terms, full[:1], api), effective_terms(terms, full, api)
        if fewer is not None:
            assert more is not None
            assert not more.quota.limits.has_quota or more.quota.limits.quota_max >= fewer.quota.limits.quota_max > 0
