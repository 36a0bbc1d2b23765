"""A change moves its version in its own transaction, and none is forgotten (rule 1.5)."""

import pytest
from django.db import transaction

from organisations_app import versions


@pytest.fixture
def told(monkeypatch):
    published: list[list[str]] = []
    monkeypatch.setattr(versions, "_publisher", published.append)
    return published


@pytest.mark.django_db(transaction=True)
def test_a_committed_change_is_published_and_stays_marked_until_the_store_knows(told):
    versions.bump(versions.GATEWAY, "org:acme")
    assert told == [[versions.GATEWAY, "org:acme"]]
    assert set(versions.unpublished()) == {versions.GATEWAY, "org:acme"}
    versions.mark_published(versions.numbers([versions.GATEWAY]))
    assert versions.unpublished() == ["org:acme"]


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_never_happened(told):
    with transaction.atomic():
        versions.bump("org:acme")
        transaction.set_rollback(True)
    assert (told, versions.numbers(["org:acme"]), versions.unpublished()) == ([], {"org:acme": 0}, [])


@pytest.mark.django_db
def test_a_late_publication_does_not_hide_a_newer_change(told):
    versions.bump("org:acme")
    before = versions.numbers(["org:acme"])
    versions.bump("org:acme")
    versions.mark_published(before)
    assert versions.unpublished() == ["org:acme"]


@pytest.mark.django_db
def test_numbers_only_grow():
    seen = []
    for _ in range(3):
        versions.bump("org:acme", "org:acme")
        seen.append(versions.numbers(["org:acme"])["org:acme"])
    assert seen == [1, 2, 3]


# --- one publication for a transaction --------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_a_transaction_tells_the_store_once_of_all_that_it_changed(told):
    with transaction.atomic():
        versions.bump("org:b")
        with transaction.atomic():
            versions.bump("org:a", versions.GATEWAY)
        versions.bump("org:b")
    assert told == [[versions.GATEWAY, "org:a", "org:b"]]


def undone(*scopes: str) -> None:
    with transaction.atomic():
        versions.bump(*scopes)
        transaction.set_rollback(True)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("before", [True, False])
def test_what_a_savepoint_undid_keeps_nothing_else_from_being_told(told, before):
    with transaction.atomic():
        if before:
            versions.bump("org:before")
        undone("org:undone")
        with transaction.atomic():
            versions.bump("org:inside")
        undone("org:undone")
        versions.bump("org:after")
    [scopes] = told
    assert set(scopes) - {"org:undone"} == {"org:inside", "org:after"} | ({"org:before"} if before else set())
    assert versions.numbers(["org:undone"]) == {"org:undone": 0}


@pytest.mark.django_db(transaction=True)
def test_what_is_changed_inside_an_undone_savepoint_is_not_told_in_its_place(told):
    with transaction.atomic():
        with transaction.atomic():
            with transaction.atomic():
                versions.bump("org:inner")
            versions.bump("org:outer")
            transaction.set_rollback(True)
        versions.bump("org:kept")
    assert told == [["org:kept"]]


@pytest.mark.django_db(transaction=True)
def test_each_transaction_tells_of_its_own(told):
    versions.bump("org:a")
    versions.bump("org:b")
    assert told == [["org:a"], ["org:b"]]
