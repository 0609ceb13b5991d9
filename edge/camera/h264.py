"""Which pictures of an H.264 stream did not come, by the numbers in it (ITU-T H.264, 7.3)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

SLICE, KEY_SLICE, PARAMETERS = 1, 5, 7
_START = re.compile(rb"\x00\x00\x01")
# Profiles whose parameters say more of the colours before what is wanted here.
_COLOURFUL = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 144, 244})
_HEADER_BYTES = 64


class FrameNumbers:
    """Looks at each access unit of one stream, in the order in which they come.

    A decoder that lacks a picture others refer to takes an older one for it, and says nothing.
    """

    def __init__(self) -> None:
        self._numbering: _Numbering | None = None
        self._last: int | None = None

    def read_parameters(self, data: bytes) -> None:
        """What stands before the first picture, in the SDP or the container."""
        for unit in _units(data):
            if unit[0] & 0x1F == PARAMETERS:
                self._numbering = _numbering(unit)

    def is_gap(self, access_unit: bytes) -> bool:
        """Whether a picture that this one may refer to did not come; False where nobody can say."""
        for unit in _units(access_unit):
            kind, is_reference = unit[0] & 0x1F, bool(unit[0] & 0x60)
            if kind == PARAMETERS:
                self._numbering = _numbering(unit)
            elif kind in {SLICE, KEY_SLICE}:
                return self._looked(unit, key=kind == KEY_SLICE, is_reference=is_reference)
        return False

    def _looked(self, unit: bytes, *, key: bool, is_reference: bool) -> bool:
        numbering, last = self._numbering, self._last
        if numbering is None:
            return False
        try:
            number = numbering.of(unit)
        except IndexError:
            # Cut off so early the decoder notices by itself.
            return False
        gap = not key and last is not None and number not in {last, (last + 1) % numbering.most}
        if is_reference or gap:
            self._last = number
        return gap


@dataclass(frozen=True, slots=True)
class _Numbering:
    """How a stream's pictures are numbered, from 0 up to `most`, with so many bits."""

    bits: int
    has_planes: bool

    @property
    def most(self) -> int:
        return 1 << self.bits

    def of(self, unit: bytes) -> int:
        bits = _Bits(unit[1:_HEADER_BYTES])
        for _ in range(3):  # first macroblock, kind of slice, picture's parameters
            bits.exponential()
        if self.has_planes:
            bits.take(2)
        return bits.take(self.bits)


def _numbering(unit: bytes) -> _Numbering | None:
    """None where gaps are allowed, or the parameters can't be read."""
    try:
        return _read_numbering(_Bits(unit[1:]))
    except IndexError:
        return None


def _read_numbering(bits: _Bits) -> _Numbering | None:
    profile = bits.take(8)
    bits.take(16)
    bits.exponential()
    has_planes = False
    if profile in _COLOURFUL:
        if bits.exponential() == 3:
            has_planes = bool(bits.take(1))
        bits.exponential()
        bits.exponential()
        bits.take(1)
        if bits.take(1):
            # Lists of scaling factors: no camera sends them, and nobody needs to read them here.
            return None
    length = bits.exponential() + 4
    order = bits.exponential()
    if order == 0:
        bits.exponential()
    elif order == 1:
        bits.take(1)
        bits.exponential()
        bits.exponential()
        for _ in range(bits.exponential()):
            bits.exponential()
    bits.exponential()
    gaps_allowed = bool(bits.take(1))
    return None if gaps_allowed or length > 16 else _Numbering(length, has_planes)


class _Bits:
    """Reads from the front. Raises IndexError at the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data.replace(b"\x00\x00\x03", b"\x00\x00")
        self._at = 0

    def take(self, count: int) -> int:
        value = 0
        for _ in range(count):
            byte = self._data[self._at >> 3]
            value = value << 1 | (byte >> (7 - (self._at & 7))) & 1
            self._at += 1
        return value

    def exponential(self) -> int:
        """An unsigned Exp-Golomb code; a signed one has the same length."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)


def _units(data: bytes) -> Iterator[bytes]:
    """NAL units between start codes."""
    starts = [found.end() for found in _START.finditer(data)]
    for start, end in zip(starts, [*starts, len(data) + 3][1:], strict=True):
        unit = data[start : end - 3]
        if unit:
            yield unit
