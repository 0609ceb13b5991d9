"""Feature symbols ↔ bytes."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from shared.errors import CodecError
from shared.features.codec import (
    LADDER,
    TABLE_TOTAL,
    CodecTables,
    FeatureCodec,
    coarse_counts,
    tables_from_symbols,
)

Symbols = NDArray[np.int8]


class Fitted(NamedTuple):
    """A codec, the symbols that its tables were fitted to, and others within its limit."""

    codec: FeatureCodec
    seen: Symbols
    unseen: Symbols


@st.composite
def fitted(draw: st.DrawFn) -> Fitted:
    limit = draw(st.integers(1, 127))
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5)))
    within = st.integers(-limit, limit)
    seen = draw(hnp.arrays(np.int8, (draw(st.integers(1, 3)), *shape), elements=within))
    unseen = draw(hnp.arrays(np.int8, shape, elements=within))
    codec = FeatureCodec.of(tables_from_symbols(seen, limit), shape)
    return Fitted(codec, seen, unseen)


@given(fitted())
def test_symbols_come_back_and_never_cost_more_than_promised(case: Fitted) -> None:
    for symbols in (*case.seen, case.unseen):
        encoded = case.codec.encode(symbols)
        np.testing.assert_array_equal(case.codec.decode(encoded), symbols)
        assert len(encoded) <= case.codec.largest


def as_sent(symbols: Symbols, coarseness: int, limit: int) -> Symbols:
    """Symbols rounded to multiples of `coarseness`, halves towards zero, and clipped."""
    sizes = np.ceil(np.abs(symbols.astype(np.float64)) / coarseness - 0.5) * coarseness
    return np.asarray(np.clip(np.sign(symbols) * sizes, -limit, limit), np.int8)


@given(fitted(), st.sampled_from(LADDER))
def test_coarser_symbols_come_back_rounded_and_no_further_off_than_half_a_step(
    case: Fitted, coarseness: int
) -> None:
    exact = len(case.codec.encode(case.unseen))
    encoded = case.codec.encode(case.unseen, coarseness)
    found = case.codec.decode(encoded, coarseness)
    np.testing.assert_array_equal(found, as_sent(case.unseen, coarseness, case.codec.limit))
    assert np.abs(found.astype(int) - case.unseen).max() <= coarseness / 2
    # Each coarse symbol is at least as likely as what it stands for; the coder ends on a word.
    assert len(encoded) <= exact + 4


@given(fitted(), st.integers(0, 200))
def test_what_is_sent_has_the_finest_coarseness_that_fits_and_always_fits(
    case: Fitted, cap: int
) -> None:
    for symbols in (*case.seen, case.unseen):
        body, coarseness = case.codec.encode_within(symbols, cap)
        assert len(body) <= cap
        np.testing.assert_array_equal(
            case.codec.decode(body, coarseness), as_sent(symbols, coarseness, case.codec.limit)
        )
        finer = LADDER[: LADDER.index(coarseness)]
        assert all(len(case.codec.encode(symbols, k)) > cap for k in finer)


@given(fitted(), st.sampled_from(LADDER))
def test_coarse_tables_are_integers_without_holes(case: Fitted, coarseness: int) -> None:
    for row in tables_from_symbols(case.seen, case.codec.limit).counts:
        joined = coarse_counts(row, coarseness)
        assert joined.min() >= 1
        assert joined.sum() == TABLE_TOTAL
        assert len(joined) == 2 * case.codec.reach(coarseness) + 1
        assert joined[len(joined) // 2] >= row[case.codec.limit]


@pytest.mark.parametrize("limit", [1, 2, 31, 127])
def test_the_last_coarseness_costs_nothing_and_makes_every_symbol_zero(limit: int) -> None:
    symbols = np.array([[[-limit, limit, 0]]], np.int8)
    codec = FeatureCodec.of(tables_from_symbols(symbols[np.newaxis], limit), (1, 1, 3))
    assert codec.encode_within(symbols, 0).body == b""
    assert codec.encode(symbols, LADDER[-1]) == b""
    assert not codec.decode(b"", LADDER[-1]).any()


@given(fitted(), st.binary(max_size=400), st.sampled_from(LADDER))
def test_any_bytes_decode_to_symbols_or_are_a_codec_error(
    case: Fitted, body: bytes, coarseness: int
) -> None:
    try:
        symbols = case.codec.decode(body, coarseness)
    except CodecError:
        return
    assert symbols.shape == case.codec.shape
    assert symbols.dtype == np.int8
    assert np.abs(symbols.astype(int)).max() <= case.codec.limit


@given(fitted())
def test_tables_are_integers_without_holes_that_survive_json(case: Fitted) -> None:
    tables = tables_from_symbols(case.seen, case.codec.limit)
    assert all(sum(row) == TABLE_TOTAL and min(row) >= 1 for row in tables.counts)
    assert CodecTables.from_json(tables.to_json()) == tables
    assert tables_from_symbols(case.seen.copy(), case.codec.limit) == tables


def test_features_near_zero_cost_a_fraction_of_their_raw_size() -> None:
    rng = np.random.default_rng(0)
    symbols = np.rint(rng.laplace(0, 0.4, (20, 16, 14, 14))).astype(np.int8)
    codec = FeatureCodec.of(tables_from_symbols(symbols, 31), symbols.shape[1:])
    sizes = [len(codec.encode(one)) for one in symbols]
    assert max(sizes) < 0.25 * symbols[0].nbytes


def test_coding_comes_within_two_percent_of_the_entropy() -> None:
    rng = np.random.default_rng(1)
    symbols = np.rint(rng.normal(0, 2, (1, 2, 64, 64))).astype(np.int8)
    bits = 0.0
    for channel in symbols[0]:
        _, counts = np.unique(channel, return_counts=True)
        share = counts / counts.sum()
        bits -= float((counts * np.log2(share)).sum())
    codec = FeatureCodec.of(tables_from_symbols(symbols, 16), symbols.shape[1:])
    assert len(codec.encode(symbols[0])) * 8 < bits * 1.02 + 64


@given(fitted(), hnp.arrays(np.float32, 6, elements=st.floats(-1e6, 1e6, width=32)))
def test_quantised_features_lie_within_the_limit_and_are_the_nearest(
    case: Fitted, features: NDArray[np.float32]
) -> None:
    symbols = case.codec.quantise(features).astype(np.float64)
    nearest = np.clip(features, -case.codec.limit, case.codec.limit)
    assert (np.abs(symbols - nearest) <= 0.5).all()


def rows(*counts: int) -> bytes:
    return CodecTables(1, [list(counts)]).to_json()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "can't be read"),
        (b"\xff\xfe", "can't be read"),
        (b"[1]", "can't be read"),
        (rows(0, TABLE_TOTAL - 1, 1), "table 0"),
        (rows(-1, TABLE_TOTAL, 1), "table 0"),
        (rows(1, TABLE_TOTAL, 1), r"add up to 65538"),
        (rows(TABLE_TOTAL - 1, 1), "has 2 counts"),
        (CodecTables(0, [[TABLE_TOTAL]]).to_json(), "limit 0"),
        (CodecTables(128, [[1] * 256 + [TABLE_TOTAL - 256]]).to_json(), "limit 128"),
    ],
)
def test_tables_that_do_not_hold_together_are_refused(raw: bytes, said: str) -> None:
    with pytest.raises(CodecError, match=said):
        CodecTables.from_json(raw)


@given(st.binary(max_size=80))
def test_any_bytes_are_tables_or_a_codec_error(raw: bytes) -> None:
    for candidate in (raw, b'{"limit":1,"counts":' + raw + b"}"):
        try:
            tables = CodecTables.from_json(candidate)
        except CodecError:
            continue
        assert isinstance(msgspec.to_builtins(tables), dict)


CODEC = FeatureCodec.of(CodecTables(1, [[1, TABLE_TOTAL - 2, 1]] * 2), (2, 3, 3))


def test_tables_for_other_channels_are_refused() -> None:
    with pytest.raises(CodecError, match="tables for 2 channels, the features have 3"):
        FeatureCodec.of(CodecTables(1, [[1, TABLE_TOTAL - 2, 1]] * 2), (3, 3, 3))


def test_symbols_of_another_shape_are_refused() -> None:
    with pytest.raises(CodecError, match=r"\(3, 3, 2\) came; want \(2, 3, 3\)"):
        CODEC.encode(np.zeros((3, 3, 2), np.int8))


@pytest.mark.parametrize("symbol", [2, -2, 127, -128])
def test_a_symbol_beyond_the_tables_is_refused(symbol: int) -> None:
    with pytest.raises(CodecError, match=f"a symbol of size {abs(symbol)} came"):
        CODEC.encode(np.full((2, 3, 3), symbol, np.int8))


@pytest.mark.parametrize(
    ("size", "coarseness"), [(0, 1), (1, 1), (3, 1), (6, 1), (1000, 1), (4, 2), (4, 256)]
)
def test_a_body_of_impossible_size_is_refused(size: int, coarseness: int) -> None:
    with pytest.raises(CodecError, match=f"{size} B of features came at coarseness {coarseness}"):
        CODEC.decode(bytes(size), coarseness)


@pytest.mark.parametrize("coarseness", [0, -1, 5, 255, 2**63])
def test_a_coarseness_that_is_no_rung_is_refused_by_name(coarseness: int) -> None:
    said = f"the coarseness {coarseness} came; one of 1, 2, 3, 4, 6, 8, 12, 16, 32, 256 was wanted"
    with pytest.raises(CodecError, match=said):
        CODEC.decode(bytes(4), coarseness)
    with pytest.raises(CodecError, match=said):
        CODEC.encode(np.zeros((2, 3, 3), np.int8), coarseness)
