"""Arrays in files from outside: what a header claims is checked before anything is made of it."""

from __future__ import annotations

import io
import re
from collections.abc import Collection
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.opener import Unopenable, open_zip, read_member

_KINDS = "biuf"
MOST_SIDES = 32
MOST_HEADER = 4096
_MAGIC = b"\x93NUMPY"
_WRITTEN = re.compile(
    rb"\{'descr': '(?P<descr>[<>|=][A-Za-z]\d{0,9})', 'fortran_order': (?P<columns>True|False), "
    rb"'shape': \((?P<shape>(?:-?\d{1,19}, ?)*(?:-?\d{1,19})?)\), ?\} *\n?"
)


def read_arrays(raw: bytes, most: int, text: Collection[str] = ()) -> dict[str, NDArray[Any]]:
    """The arrays of an `.npz` file by name: numbers and truth values only.

    most   bytes of all arrays together, checked against what their headers claim
    text   names of arrays that may hold text
    """
    with open_zip(io.BytesIO(raw), most) as archive:
        strange = [
            info.filename for info in archive.infolist() if not info.filename.endswith(".npy")
        ]
        if strange:
            raise Unopenable(f"{strange[0][:80]} is no array")
        return {
            info.filename.removesuffix(".npy"): _array(
                info.filename, read_member(archive, info.filename), text
            )
            for info in archive.infolist()
        }


def read_array(raw: bytes) -> NDArray[Any]:
    """One array of an `.npy` file: numbers and truth values, as large as the bytes that came."""
    return _array("the array", raw, ())


def _array(name: str, raw: bytes, text: Collection[str]) -> NDArray[Any]:
    descr, in_columns, shape, content = _header(name, raw)
    kinds = _KINDS + ("U" if name.removesuffix(".npy") in text else "")
    try:
        dtype = np.dtype(descr) if descr[1:2] in kinds else None
    except TypeError:
        dtype = None
    if dtype is None or not dtype.itemsize:
        raise Unopenable(f"{name} holds {descr}, numbers were wanted")
    if any(side < 0 for side in shape) or len(shape) > MOST_SIDES:
        raise Unopenable(f"{name} has the shape {str(shape)[:80]}")
    claimed = prod(shape) * dtype.itemsize
    if claimed != len(content):
        raise Unopenable(f"{name} claims {claimed} B of content and has {len(content)}")
    flat = np.frombuffer(content, dtype).copy()
    return flat.reshape(shape, order="F" if in_columns else "C")


def _header(name: str, raw: bytes) -> tuple[str, bool, tuple[int, ...], bytes]:
    """As numpy writes it. Its own reader evaluates the header as a Python literal, for which
    CPython 3.11 may raise SystemError where several threads do so at once.
    """
    wide = {b"\x01\x00": 2, b"\x02\x00": 4}.get(raw[6:8])
    if not raw.startswith(_MAGIC) or wide is None:
        raise Unopenable(f"{name} is no array")
    start = 8 + wide
    end = start + int.from_bytes(raw[8:start], "little")
    found = _WRITTEN.fullmatch(raw[start:end]) if end - start <= MOST_HEADER else None
    if found is None or end > len(raw):
        raise Unopenable(f"{name} is no array (its header can't be read)")
    shape = tuple(int(side) for side in found["shape"].split(b",") if side.strip())
    return found["descr"].decode(), found["columns"] == b"True", shape, raw[end:]
