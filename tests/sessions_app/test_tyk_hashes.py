"""Tyk's hashes and token forms, against published vectors of MurmurHash3 and what Tyk's source says."""

import base64
import hashlib

import pytest

from sessions_app import tyk_hashes

# Of the MurmurHash3 implementation that Tyk uses: 32 bits, then the two halves of 128, all with seed 0.
VECTORS = [
    ("hello", "248bfa47", "cbd8a7b341bd9b02", "5b1e906a48ae1d19"),
    ("hello, world", "149bbb7f", "342fac623a5ebc8e", "4cdcbc079642414d"),
    ("19 Jan 2038 at 3:14:07 AM", "e31e8a70", "b89e5988b737affc", "664fc2950231b2cb"),
    ("The quick brown fox jumps over the lazy dog.", "d5c48bfc", "cd99481f9ee902c9", "695da1a38987b6e7"),
]


@pytest.mark.parametrize(("text", "short", "first", "second"), VECTORS)
def test_murmur_hashes_are_big_endian_hexadecimal(text, short, first, second):
    assert tyk_hashes.hash_of("murmur32", text) == short
    assert tyk_hashes.hash_of("murmur64", text) == first
    assert tyk_hashes.hash_of("murmur128", text) == first + second


def test_sha256_is_what_everybody_knows():
    assert tyk_hashes.hash_of("sha256", "abc") == hashlib.sha256(b"abc").hexdigest()


def test_a_hash_keeps_its_leading_zeros():
    assert tyk_hashes.hash_of("murmur32", "") == "00000000"


@pytest.mark.parametrize("algorithm", tyk_hashes.ALGORITHMS)
def test_the_algorithm_is_told_by_the_length(algorithm):
    assert tyk_hashes.algorithm_of(tyk_hashes.hash_of(algorithm, "a key")) == algorithm


@pytest.mark.parametrize("text", ["", "abc", "ABCDEF12", "g" * 16, "0" * 15])
def test_what_has_no_hashs_form_is_none(text):
    assert tyk_hashes.algorithm_of(text) is None


def test_a_custom_id_stands_for_tyks_tokens():
    murmur64 = base64.b64encode(b'{"org":"acme","id":"mine","h":"murmur64"}').decode()
    forms = tyk_hashes.tokens_of("mine", "acme")
    assert murmur64 in forms and forms[-1] == "acmemine" and len(forms) == 5


@pytest.mark.parametrize(
    ("token", "algorithms"),
    [
        (base64.b64encode(b'{"org":"a","id":"b","h":"sha256"}').decode(), ("sha256",)),
        (base64.b64encode(b'{"org":"a","id":"b","h":"md5"}').decode(), ("murmur64",)),
        (base64.b64encode(b'{"org":"a","id":"b"}').decode(), tuple(tyk_hashes.ALGORITHMS)),
        ("plain", tuple(tyk_hashes.ALGORITHMS)),
        ("ey no base64", tuple(tyk_hashes.ALGORITHMS)),
    ],
)
def test_a_token_says_by_what_it_was_hashed(token, algorithms):
    assert tyk_hashes.algorithms_of(token) == algorithms
