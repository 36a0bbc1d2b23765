"""Names in the store and the address of the store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.engine import names
from sessions_app.engine.address import Kind, parse_address

anything = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)


@given(anything, anything, anything)
def test_usage_subjects_come_back_as_they_were(organisation: str, key: str, api: str) -> None:
    assert names.parse_usage_subject(names.usage_subject(organisation, key, api)) == (organisation, key, api)


@given(anything, anything)
def test_every_counter_lies_in_its_organisations_bucket(organisation: str, subject: str) -> None:
    bucket = names.bucket_of(organisation)
    for counter in (
        names.key_counter(organisation, "key_1", f"api:{subject}"),
        names.organisation_counter(organisation),
        names.subject_counter(organisation, subject),
    ):
        assert names.bucket_of_counter(counter) == bucket
        assert counter.startswith(names.prefix(bucket))


@given(st.tuples(anything, anything), st.tuples(anything, anything))
def test_subjects_are_shared_by_nobody_else(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (names.subject_counter(*one) == names.subject_counter(*other)) == (one == other)


def test_a_subject_that_continues_the_organisations_name_is_another() -> None:
    assert names.subject_counter("acme", "1x") != names.subject_counter("acme1", "x")


@pytest.mark.parametrize("name", ["", "tg:{b07}:v", "tg:{b07}:out", "other", "tg:x"])
def test_what_is_no_counter_has_no_bucket(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a counter"):
        names.bucket_of_counter(name)


def test_names_are_what_is_documented() -> None:
    bucket = names.bucket_of("acme")
    home = f"tg:{{b{bucket:02d}}}"
    assert names.gateway_version(bucket) == f"{home}:v"
    assert names.organisation_version("acme") == f"{home}:v:o:acme"
    assert names.key_version("acme", "key_1") == f"{home}:v:k:key_1"
    assert names.key_counter("acme", "key_1") == f"{home}:c:k:key_1"
    assert names.key_counter("acme", "key_1", "policy:free") == f"{home}:c:k:key_1|policy:free"
    assert names.organisation_counter("acme") == f"{home}:c:o:acme"
    assert (names.outbox(bucket), names.dirty(bucket), names.hourly(bucket)) == (
        f"{home}:out",
        f"{home}:dirty",
        f"{home}:h",
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost", (Kind.SERVER, (("localhost", 6379),), False, {})),
        ("redis://:secret@h:7000/2", (Kind.SERVER, (("h", 7000),), False, {"password": "secret", "db": 2})),
        ("rediss://u:p%40@h/0", (Kind.SERVER, (("h", 6379),), True, {"username": "u", "password": "p@", "db": 0})),
        ("redis://[::1]:7000", (Kind.SERVER, (("::1", 7000),), False, {})),
        ("redis+cluster://a:1,b:2", (Kind.CLUSTER, (("a", 1), ("b", 2)), False, {})),
        ("rediss+cluster://:p@a,b", (Kind.CLUSTER, (("a", 6379), ("b", 6379)), True, {"password": "p"})),
        ("redis+sentinel://a,b:2/master/3", (Kind.SENTINEL, (("a", 26379), ("b", 2)), False, {"db": 3})),
    ],
)
def test_addresses(url: str, expected: tuple[object, ...]) -> None:
    address = parse_address(url)
    assert (address.kind, address.hosts, address.tls, address.options) == expected


def test_a_sentinel_address_names_its_master_and_its_own_password() -> None:
    address = parse_address("redis+sentinel://u:p@a:1/main?sentinel_password=s")
    assert (address.master_name, address.sentinel_options) == ("main", {"password": "s"})
    assert address.options == {"username": "u", "password": "p"}


def test_a_unix_socket_has_a_path() -> None:
    address = parse_address("unix:///run/store.sock?db=3")
    assert (address.path, address.hosts, address.options) == ("/run/store.sock", (), {"db": 3})


@pytest.mark.parametrize("url", ["", "http://x", "redis+other://x", "unix+sentinel:///x", "redis+sentinel://a:1"])
def test_an_address_of_another_kind_is_refused_with_a_hint(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL"):
        parse_address(url)
