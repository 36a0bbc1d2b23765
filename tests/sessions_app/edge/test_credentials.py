"""Where a key may stand in a request (rule 1.1)."""

import pytest

from sessions_app.edge import credentials

FOUND = {
    "raw": ({b"authorization": b"k1"}, "", "k1"),
    "bearer": ({b"authorization": b"Bearer k1"}, "", "k1"),
    "bearer in any case": ({b"authorization": b"bEaReR   k1 "}, "", "k1"),
    "x-api-key": ({b"x-api-key": b"k1"}, "", "k1"),
    "authorization before x-api-key": ({b"authorization": b"k1", b"x-api-key": b"k2"}, "", "k1"),
    "an empty authorization is none": ({b"authorization": b"", b"x-api-key": b"k2"}, "", "k2"),
    "bearer without a key is none": ({b"authorization": b"Bearer", b"x-api-key": b"k2"}, "", "k2"),
    "another scheme is the key as a whole": ({b"authorization": b"Basic k1"}, "", "Basic k1"),
    "a key that only begins like the scheme": ({b"authorization": b"bearerkey"}, "", "bearerkey"),
    "nothing": ({b"accept": b"*/*"}, "", None),
    "own header": ({b"x-custom": b"k1", b"authorization": b"other"}, "X-Custom", "k1"),
    "own header with bearer": ({b"x-custom": b"Bearer k1"}, "X-Custom", "k1"),
    "own header replaces the standard ones": ({b"authorization": b"k1", b"x-api-key": b"k1"}, "X-Custom", None),
    "utf-8": ({b"x-api-key": "schlüssel".encode()}, "", "schlüssel"),
    "latin-1": ({b"x-api-key": "schlüssel".encode("latin-1")}, "", "schlüssel"),
}


@pytest.mark.parametrize(("headers", "own_name", "token"), FOUND.values(), ids=FOUND)
def test_the_key_is_found_where_it_may_stand(headers, own_name, token):
    assert credentials.token_in(headers, own_name) == token


CARRIERS = {
    "the one that carries it": ({b"authorization": b"Bearer k1", b"x-api-key": b"other"}, "", {b"authorization"}),
    "both if both do": ({b"authorization": b"Bearer k1", b"x-api-key": b"k1"}, "", {b"authorization", b"x-api-key"}),
    "only the own one": ({b"authorization": b"Bearer k1", b"x-custom": b"k1"}, "X-Custom", {b"x-custom"}),
    "none without a key": ({b"accept": b"k1"}, "", set()),
}


@pytest.mark.parametrize(("headers", "own_name", "names"), CARRIERS.values(), ids=CARRIERS)
def test_only_what_carries_the_key_is_its_header(headers, own_name, names):
    assert credentials.carriers(headers, own_name) == names
