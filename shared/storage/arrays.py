"""Arrays in files from outside: what a header claims is checked before anything is made of it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Collection, Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from shared.opener import Unopenable, open_zip, read_member

_KINDS = "biuf"


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
    stream = io.BytesIO(raw)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = npy.read_magic(stream)
            read_header = _HEADERS[version]
            shape, in_columns, dtype = read_header(stream)
    except Exception as error:
        # A header is a Python literal, and there are many ways to fail to be one.
        raise Unopenable(f"{name} is no array ({type(error).__name__})") from error
    kinds = _KINDS + ("U" if name.removesuffix(".npy") in text else "")
    if dtype.kind not in kinds or not dtype.itemsize or dtype.subdtype is not None:
        raise Unopenable(f"{name} holds {dtype.str}, numbers were wanted")
    if any(not isinstance(side, int) or side < 0 for side in shape) or len(shape) > 32:
        raise Unopenable(f"{name} has the shape {str(shape)[:80]}")
    content = raw[stream.tell() :]
    claimed = prod(shape) * dtype.itemsize
    if claimed != len(content):
        raise Unopenable(f"{name} claims {claimed} B of content and has {len(content)}")
    flat = np.frombuffer(content, dtype).copy()
    return flat.reshape(shape, order="F" if in_columns else "C")


_HEADERS: Mapping[Any, Any] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}
