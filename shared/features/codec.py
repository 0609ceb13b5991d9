"""Feature symbols ↔ bytes: range coding with one integer table a channel.

Coding is `constriction`'s queue coder (range coding, Martin 1979; Bamler 2022). The tables are
integers in the bundle, so that every machine derives the same model and decodes bit-exactly.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import CodecError, MissingExtra

TABLE_BITS = 16
TABLE_TOTAL = 1 << TABLE_BITS
MAX_LIMIT = 127
LADDER = (1, 2, 3, 4, 6, 8, 12, 16, 32, 256)
"""How coarsely symbols can be sent, finest first; at the last all are zero and cost nothing."""


class Encoded(NamedTuple):
    """Feature bytes, and the coarseness that decodes them."""

    body: bytes
    coarseness: int


class CodecTables(msgspec.Struct, frozen=True):
    """What encoder and decoder must agree on.

    limit    symbols lie in -limit … +limit
    counts   a row a channel, 2·limit + 1 positive integers that add up to 2**16
    """

    limit: int
    counts: list[list[int]]

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, raw: bytes) -> CodecTables:
        """Raises CodecError where the tables don't hold together."""
        try:
            tables = msgspec.json.decode(raw, type=cls)
        except msgspec.DecodeError as error:
            raise CodecError(f"the codec tables can't be read: {error}", fix=_REBUILD) from error
        if not 1 <= tables.limit <= MAX_LIMIT:
            raise CodecError(
                f"the codec tables have the limit {tables.limit}",
                fix=f"symbols are int8, so it must lie in 1 … {MAX_LIMIT}; {_REBUILD}",
            )
        width = 2 * tables.limit + 1
        for channel, row in enumerate(tables.counts):
            if len(row) != width or min(row) < 1 or sum(row) != TABLE_TOTAL:
                raise CodecError(
                    f"codec table {channel} has {len(row)} counts that add up to {sum(row)}",
                    fix=f"{width} positive counts of {TABLE_TOTAL} in all were wanted; {_REBUILD}",
                )
        return tables


def tables_from_symbols(symbols: NDArray[np.int8], limit: int) -> CodecTables:
    """Tables fitted to symbols (n, channels, height, width), smoothed: none is impossible."""
    return tables_from_counts(symbol_counts(symbols, limit), limit)


def symbol_counts(symbols: NDArray[np.int8], limit: int) -> NDArray[np.int64]:
    """How often each symbol comes in each channel, (channels, 2·limit + 1); such counts add up.

    symbols   int8 (n, channels, height, width)
    """
    values = symbols.astype(np.int64) + limit
    rows = [np.bincount(row.ravel(), minlength=2 * limit + 1) for row in values.swapaxes(0, 1)]
    return np.stack(rows).astype(np.int64)


def tables_from_counts(counts: NDArray[np.integer], limit: int) -> CodecTables:
    """The same tables from what `symbol_counts` gave, of one set of symbols or of several."""
    rows = []
    # A tail that falls off with distance: unseen symbols near seen ones cost less.
    kernel = 0.5 ** np.abs(np.arange(-4, 5))
    for row in counts:
        seen = row.astype(np.float64)
        share = seen + 0.01 * np.convolve(seen, kernel)[4:-4] + 0.01
        rows.append(_integers(share / share.sum()))
    return CodecTables(limit, rows)


def _integers(share: NDArray[np.float64]) -> list[int]:
    counts = np.maximum(1, np.floor(share * (TABLE_TOTAL - len(share)))).astype(np.int64)
    counts[int(np.argmax(counts))] += TABLE_TOTAL - int(counts.sum())
    return [int(count) for count in counts]


def coarsened(symbols: NDArray[np.int32], coarseness: int) -> NDArray[np.int32]:
    """Symbols divided by `coarseness` and rounded in integers; halves go towards zero."""
    sizes = (np.abs(symbols) + (coarseness - 1) // 2) // coarseness
    return np.asarray(np.sign(symbols) * sizes, np.int32)


def coarse_counts(counts: list[int], coarseness: int) -> NDArray[np.int64]:
    """A table row for coarsened symbols: each count goes to what its symbol becomes.

    As in the row itself, none is below 1 and they add up to 2**16.
    """
    limit = len(counts) // 2
    becomes = coarsened(np.arange(-limit, limit + 1, dtype=np.int32), coarseness)
    joined = np.zeros(2 * int(becomes[-1]) + 1, np.int64)
    np.add.at(joined, becomes + becomes[-1], np.array(counts, np.int64))
    return joined


@dataclass(frozen=True, slots=True)
class FeatureCodec:
    """Encodes and decodes the symbols of one bundle. Safe to share between threads.

    models   by coarseness, one a channel; none where every symbol becomes zero
    """

    shape: tuple[int, int, int]
    limit: int
    models: Mapping[int, tuple[Any, ...]]
    coder: Any

    @classmethod
    def of(cls, tables: CodecTables, shape: tuple[int, int, int]) -> FeatureCodec:
        """shape: channels, height, width. Raises CodecError where the tables are for another."""
        if len(tables.counts) != shape[0]:
            raise CodecError(
                f"there are codec tables for {len(tables.counts)} channels, the features have "
                f"{shape[0]}",
                fix=_REBUILD,
            )
        try:
            constriction: Any = importlib.import_module("constriction")
        except ImportError as error:
            raise MissingExtra("edge", error) from error
        categorical = constriction.stream.model.Categorical

        def models(coarseness: int) -> tuple[Any, ...]:
            rows = [coarse_counts(row, coarseness) for row in tables.counts]
            # Shares of 2**16 are exact in floating point.
            return tuple(
                categorical(row / TABLE_TOTAL, perfect=False) for row in rows if len(row) > 1
            )

        return cls(shape, tables.limit, {k: models(k) for k in LADDER}, constriction.stream.queue)

    def quantise(self, features: NDArray[np.float32]) -> NDArray[np.int8]:
        """Round features to symbols, clipped to the tables' range."""
        return np.clip(np.rint(features), -self.limit, self.limit).astype(np.int8)

    def encode(self, symbols: NDArray[np.int8], coarseness: int = 1) -> bytes:
        """Bytes of one picture's symbols, int8 (channels, height, width).

        coarseness   a rung of LADDER; symbols come back as multiples of it, within the limit
        Raises CodecError for another shape or coarseness, or for symbols beyond the limit.
        """
        if symbols.shape != self.shape:
            raise CodecError(f"symbols of shape {symbols.shape} came", fix=f"want {self.shape}")
        models = self._models(coarseness)
        whole = symbols.astype(np.int32).reshape(self.shape[0], -1)
        largest = int(np.abs(whole).max())
        if largest > self.limit:
            raise CodecError(
                f"a symbol of size {largest} came, the tables end at {self.limit}",
                fix="quantise features with the same bundle's codec",
            )
        if not models:
            return b""
        if coarseness > 1:
            whole = coarsened(whole, coarseness)
        encoder = self.coder.RangeEncoder()
        for row, model in zip(whole + self.reach(coarseness), models, strict=True):
            encoder.encode(row, model)
        return bytes(encoder.get_compressed().astype("<u4").tobytes())

    def encode_within(self, symbols: NDArray[np.int8], cap: int) -> Encoded:
        """The finest encoding that has at most `cap` bytes. There always is one.

        Raises CodecError as `encode`.
        """
        for coarseness in LADDER[:-1]:
            body = self.encode(symbols, coarseness)
            if len(body) <= cap:
                return Encoded(body, coarseness)
        return Encoded(b"", LADDER[-1])

    def decode(self, body: bytes, coarseness: int = 1) -> NDArray[np.int8]:
        """The symbols again, as far as `coarseness` kept them.

        Raises CodecError for bytes that no encoder of ours wrote.
        """
        self.check(len(body), coarseness)
        channels, height, width = self.shape
        models = self._models(coarseness)
        if not models:
            return np.zeros(self.shape, np.int8)
        decoder = self.coder.RangeDecoder(np.frombuffer(body, "<u4").astype(np.uint32))
        try:
            rows = [decoder.decode(model, height * width) for model in models]
        except (AssertionError, ValueError) as error:
            raise CodecError(f"feature bytes can't be decoded: {error}", fix=_REBUILD) from error
        whole = np.stack(rows).reshape(channels, height, width) - self.reach(coarseness)
        return np.asarray(np.clip(whole * coarseness, -self.limit, self.limit), np.int8)

    def check(self, size: int, coarseness: int) -> None:
        """Raises CodecError where no body of ours has `size` bytes at this coarseness."""
        least, most = (4, self.largest) if self._models(coarseness) else (0, 0)
        if size % 4 or not least <= size <= most:
            raise CodecError(
                f"{size} B of features came at coarseness {coarseness}; want {least} to {most}, "
                "in words of 4",
                fix="the sender's bundle differs, or the payload was damaged",
            )

    def reach(self, coarseness: int) -> int:
        """The largest symbol after division by `coarseness`."""
        return (self.limit + (coarseness - 1) // 2) // coarseness

    @property
    def largest(self) -> int:
        """No encoding can be larger, bytes: each symbol costs at most TABLE_BITS bits."""
        return math.prod(self.shape) * (TABLE_BITS + 1) // 8 + 16

    def _models(self, coarseness: int) -> tuple[Any, ...]:
        try:
            return self.models[coarseness]
        except KeyError:
            raise CodecError(
                f"the coarseness {coarseness} came",
                fix=f"one of {', '.join(map(str, LADDER))} was wanted; update the older side",
            ) from None


_REBUILD = "rebuild or fetch the bundle again"
