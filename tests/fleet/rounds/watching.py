"""Looks for pictures in bytes: as files, as pixels, and packed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import zstandard
from numpy.typing import NDArray

RUN = 64
"""Bytes of a picture, one after another, that count as a piece of it."""
MOST = 16 << 20
FILES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*", b"RIFF")
"""Of a bitmap the pixels lie open."""
ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"\x1f\x8b")
ZSTD = b"\x28\xb5\x2f\xfd"


class Watch:
    """Knows pictures, uint8 each, and says where bytes hold one."""

    def __init__(self, pictures: Sequence[NDArray[np.uint8]]) -> None:
        every = [np.ascontiguousarray(one).ravel() for one in pictures]
        pieces = [np.lib.stride_tricks.sliding_window_view(one, 8) for one in every]
        words = np.concatenate([np.ascontiguousarray(one).view("<u8").ravel() for one in pieces])
        # A run of one value is in everything.
        self._known = np.unique(words[words != (words & 0xFF) * 0x0101010101010101])
        self._begins = np.zeros(1 << 16, bool)
        self._begins[self._known >> 48] = True

    def found(self, raw: bytes) -> list[str]:
        """What is in it; empty where nothing is."""
        told = [f"a picture file at byte {at}" for at in _files(raw)]
        if self._pixels(raw):
            told.append("pixels")
        for what, at, inflated in _inflated(raw):
            if self._pixels(inflated) or any(True for _ in _files(inflated)):
                told.append(f"a picture packed with {what} at byte {at}")
        return told

    def _pixels(self, raw: bytes) -> bool:
        # A run of RUN bytes holds at least so many whole words, wherever it begins.
        least = RUN // 8 - 1
        if len(raw) < 8 * least:
            return False
        words = np.frombuffer(raw, "<u8", len(raw) // 8)
        # Few words begin as one of a picture does: only those are looked up.
        hits = self._begins[words >> 48]
        likely = words[hits]
        nearest = np.searchsorted(self._known, likely).clip(max=len(self._known) - 1)
        hits[hits] = self._known[nearest] == likely
        upto = np.cumsum(np.concatenate([[0], hits]))
        return bool((upto[least:] - upto[:-least] == least).any())


def _files(raw: bytes) -> Iterator[int]:
    for magic in FILES:
        for at in _places(raw, magic):
            pixels = cv2.imdecode(np.frombuffer(raw, np.uint8, offset=at), cv2.IMREAD_UNCHANGED)
            if pixels is not None:
                yield at


def _inflated(raw: bytes) -> Iterator[tuple[str, int, bytes]]:
    view = memoryview(raw)
    for magic in ZLIB:
        for at in _places(raw, magic):
            try:
                inflated = zlib.decompressobj(47).decompress(view[at : at + MOST], MOST)
            except zlib.error:
                continue
            yield "zlib", at, inflated
    for at in _places(raw, ZSTD):
        try:
            packed = zstandard.ZstdDecompressor().decompressobj()
            yield "zstd", at, packed.decompress(view[at:])
        except zstandard.ZstdError:
            continue


def _places(raw: bytes, magic: bytes) -> Iterator[int]:
    at = raw.find(magic)
    while at >= 0:
        yield at
        at = raw.find(magic, at + 1)
