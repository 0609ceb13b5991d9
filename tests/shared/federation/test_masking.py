"""Shares, masks, words: the parts that a secure sum is made of."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import FederationError
from shared.federation import shamir
from shared.federation.fixed_point import MODULUS, FixedPoint, pack, unpack
from shared.federation.masking import (
    DevicePair,
    KeyPair,
    degree,
    masked,
    neighbours,
    stream,
    threshold,
    unmasked,
)

SECRETS = st.binary(min_size=32, max_size=32)


def test_the_field_is_a_field() -> None:
    """PRIME passes Fermat's test for forty bases, and fits a share's bytes."""
    assert all(pow(base, shamir.PRIME - 1, shamir.PRIME) == 1 for base in range(2, 42))
    assert 2**256 < shamir.PRIME < 2 ** (8 * shamir.SHARE_BYTES)


@given(SECRETS, st.integers(1, 6), st.integers(0, 4), st.randoms())
def test_any_enough_shares_give_the_secret(secret: bytes, enough: int, more: int, random) -> None:  # type: ignore[no-untyped-def]
    holders = random.sample(range(1, 200), enough + more)
    shares = shamir.split(secret, holders, enough)
    chosen = random.sample(holders, enough)
    assert shamir.join({one: shares[one] for one in chosen}, enough) == secret


@given(SECRETS, SECRETS)
def test_too_few_shares_fit_any_secret(secret: bytes, other: bytes) -> None:
    """Two shares of three: for any other secret there is a third share that leads to it."""
    shares = shamir.split(secret, [1, 2, 3], 3)
    with pytest.raises(FederationError, match="2 of 3 shares are too few"):
        shamir.join({1: shares[1], 2: shares[2]}, 3)
    weights = shamir._weights((1, 2, 3))
    known = sum(int.from_bytes(shares[x], "big") * weights[x - 1] for x in (1, 2))
    missing = (int.from_bytes(other, "big") - known) * pow(weights[2], -1, shamir.PRIME)
    forged = (missing % shamir.PRIME).to_bytes(33, "big")
    assert shamir.join({1: shares[1], 2: shares[2], 3: forged}, 3) == other


def test_what_is_no_share_is_refused() -> None:
    shares = shamir.split(b"k" * 32, [1, 2, 3], 2)
    with pytest.raises(FederationError, match="no share"):
        shamir.join({1: shares[1], 2: b"\xff" * 33}, 2)
    with pytest.raises(FederationError, match="no share"):
        shamir.join({1: shares[1], 2: shares[2][:-1]}, 2)
    with pytest.raises(FederationError, match="can't keep"):
        shamir.split(b"k" * 32, [1, 1], 2)
    with pytest.raises(FederationError, match="has 5 bytes"):
        shamir.split(b"short", [1, 2], 2)


@given(st.integers(1, 200), st.integers(1, 2000), st.data())
def test_sums_of_full_updates_never_wrap(devices: int, cap: int, data: st.DataObject) -> None:
    encoding = FixedPoint(devices, cap)
    limits = np.array([0.25, 4.0], np.float32)
    value = data.draw(st.floats(-8, 8, width=32))
    words = encoding.encode(np.full(2, value, np.float32), limits, data.draw(st.integers(1, 3000)))
    total = np.zeros(3, np.uint32)
    for _ in range(devices):
        total += words
    mean, weight = encoding.decode(total & np.uint32(MODULUS - 1), limits)
    wanted = np.clip(value, -limits, limits)
    assert weight == devices * words[0]
    for got, want, limit in zip(mean, wanted, limits, strict=True):
        assert abs(got - want) <= encoding.error(float(limit), weight, devices)


def test_too_many_examples_for_the_ring_are_refused() -> None:
    with pytest.raises(FederationError, match="can't be summed"):
        FixedPoint(4096, 4096)
    encoding, limits = FixedPoint(3, 10), np.ones(1, np.float32)
    with pytest.raises(FederationError, match="not finite"):
        encoding.encode(np.array([np.nan], np.float32), limits, 1)
    with pytest.raises(FederationError, match="weight 0"):
        encoding.encode(np.zeros(1, np.float32), limits, 0)
    with pytest.raises(FederationError, match="add up to 31, of 30 at most"):
        encoding.decode(np.array([31, 0], np.uint32), limits)


@given(st.lists(st.integers(0, MODULUS - 1), max_size=50))
def test_words_survive_packing(values: list[int]) -> None:
    words = np.array(values, np.uint32)
    assert len(pack(words)) == 3 * len(words)
    assert np.array_equal(unpack(pack(words), len(words)), words)


@given(st.sets(st.integers(1, 2**63), min_size=3, max_size=6), st.data())
def test_masks_cancel_and_those_of_the_missing_come_off(
    devices: set[int], data: st.DataObject
) -> None:
    seeds = {one: bytes([place]) * 32 for place, one in enumerate(sorted(devices))}
    pairs = {
        frozenset(pair): bytes([100 + place]) * 32
        for place, pair in enumerate(itertools.combinations(sorted(devices), 2))
    }
    gone = data.draw(st.sampled_from(sorted(devices)))
    rng = np.random.default_rng(0)
    plain = {one: rng.integers(0, MODULUS, 20).astype(np.uint32) for one in devices}
    total, wanted = np.zeros(20, np.uint32), np.zeros(20, np.uint32)
    for one in devices - {gone}:
        around = {other: pairs[frozenset((one, other))] for other in devices - {one}}
        total += masked(plain[one], seeds[one], around, one)
        wanted += plain[one]
    stayed = devices - {gone}
    broken = [(one, gone, pairs[frozenset((one, gone))]) for one in stayed]
    result = unmasked(total, [seeds[one] for one in stayed], broken)
    assert np.array_equal(result, wanted & np.uint32(MODULUS - 1))


def test_both_of_a_pair_derive_one_mask_and_sessions_differ() -> None:
    mine, theirs = KeyPair.new(), KeyPair.new()
    here, there = DevicePair(b"a" * 32, 1, 2), DevicePair(b"a" * 32, 2, 1)
    seed = here.mask_seed(mine.private, theirs.public)
    assert seed == there.mask_seed(theirs.private, mine.public)
    assert seed != DevicePair(b"b" * 32, 1, 2).mask_seed(mine.private, theirs.public)
    parcel = here.seal(mine.private, theirs.public, b"shares")
    assert there.open(theirs.private, mine.public, parcel) == b"shares"
    with pytest.raises(FederationError, match="parcel of device 1 was changed"):
        there.open(theirs.private, mine.public, parcel[:-1] + b"\0")
    with pytest.raises(FederationError, match="device 2 has sent a key that is none"):
        here.mask_seed(mine.private, bytes(32))


def test_a_stream_is_its_seeds_alone() -> None:
    assert np.array_equal(stream(b"a" * 32, 100), stream(b"a" * 32, 200)[:100])
    assert not np.array_equal(stream(b"a" * 32, 100), stream(b"b" * 32, 100))


@given(st.integers(3, 300))
def test_neighbours_are_mutual_and_as_many_as_said(count: int) -> None:
    around = neighbours(range(1, count + 1), b"s" * 32)
    for one, others in around.items():
        assert len(others) == degree(count)
        assert one not in others
        assert all(one in around[other] for other in others)
    assert threshold(degree(count) + 1) <= degree(count)
