"""Feature symbols ↔ bytes: range coding with one integer table a channel.

Coding is `constriction`'s queue coder (range coding, Martin 1979; Bamler 2022). The tables are
integers in the bundle, so that every machine derives the same model and decodes bit-exactly.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import CodecError, MissingExtra

TABLE_BITS = 16
TABLE_TOTAL = 1 << TABLE_BITS
MAX_LIMIT = 127


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
    rows = []
    for channel in range(symbols.shape[1]):
        values = symbols[:, channel].astype(np.int64).ravel() + limit
        seen = np.bincount(values, minlength=2 * limit + 1).astype(np.float64)
        # A tail that falls off with distance: unseen symbols near seen ones cost less.
        kernel = 0.5 ** np.abs(np.arange(-4, 5))
        share = seen + 0.01 * np.convolve(seen, kernel)[4:-4] + 0.01
        rows.append(_integers(share / share.sum()))
    return CodecTables(limit, rows)


def _integers(share: NDArray[np.float64]) -> list[int]:
    counts = np.maximum(1, np.floor(share * (TABLE_TOTAL - len(share)))).astype(np.int64)
    counts[int(np.argmax(counts))] += TABLE_TOTAL - int(counts.sum())
    return [int(count) for count in counts]


@dataclass(frozen=True, slots=True)
class FeatureCodec:
    """Encodes and decodes the symbols of one bundle. Safe to share between threads."""

    shape: tuple[int, int, int]
    limit: int
    models: tuple[Any, ...]
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
        models = tuple(
            categorical(np.array(row, np.float64) / TABLE_TOTAL, perfect=False)
            for row in tables.counts
        )
        return cls(shape, tables.limit, models, constriction.stream.queue)

    def quantise(self, features: NDArray[np.float32]) -> NDArray[np.int8]:
        """Round features to symbols, clipped to the tables' range."""
        return np.clip(np.rint(features), -self.limit, self.limit).astype(np.int8)

    def encode(self, symbols: NDArray[np.int8]) -> bytes:
        """Bytes of one picture's symbols, int8 (channels, height, width).

        Raises CodecError for another shape, or for symbols beyond the limit.
        """
        if symbols.shape != self.shape:
            raise CodecError(f"symbols of shape {symbols.shape} came", fix=f"want {self.shape}")
        largest = int(np.abs(symbols.astype(np.int32)).max())
        if largest > self.limit:
            raise CodecError(
                f"a symbol of size {largest} came, the tables end at {self.limit}",
                fix="quantise features with the same bundle's codec",
            )
        encoder = self.coder.RangeEncoder()
        indices = symbols.astype(np.int32).reshape(self.shape[0], -1) + self.limit
        for row, model in zip(indices, self.models, strict=True):
            encoder.encode(row, model)
        return bytes(encoder.get_compressed().astype("<u4").tobytes())

    def decode(self, body: bytes) -> NDArray[np.int8]:
        """The symbols again. Raises CodecError for bytes that no encoder of ours wrote."""
        if len(body) % 4 or len(body) > self.largest:
            raise CodecError(
                f"{len(body)} B of features came, at most {self.largest} in words of 4 fit",
                fix="the sender's bundle differs, or the payload was damaged",
            )
        decoder = self.coder.RangeDecoder(np.frombuffer(body, "<u4").astype(np.uint32))
        channels, height, width = self.shape
        try:
            rows = [decoder.decode(model, height * width) for model in self.models]
        except (AssertionError, ValueError) as error:
            raise CodecError(f"feature bytes can't be decoded: {error}", fix=_REBUILD) from error
        symbols = np.stack(rows).reshape(channels, height, width) - self.limit
        return symbols.astype(np.int8)

    @property
    def largest(self) -> int:
        """No encoding can be larger, bytes: each symbol costs at most TABLE_BITS bits."""
        return int(np.prod(self.shape)) * (TABLE_BITS + 1) // 8 + 16


_REBUILD = "rebuild or fetch the bundle again"
