"""Numbers in Flower's records: what an array says of itself is checked before it is unpacked."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from shared.errors import FederationError
from shared.opener import Unopenable
from shared.storage.arrays import read_array

SERIALISED = "numpy.ndarray"


class PackedArray(Protocol):
    """`flwr.app.Array`: what it says of its numbers, and the bytes that they are packed in."""

    dtype: str
    shape: tuple[int, ...]
    stype: str
    data: bytes


def unpacked(array: PackedArray, shape: tuple[int, ...] | None = None) -> NDArray[Any]:
    """The numbers of an array. Flower's own reading raises what numpy's parsers happen to raise,
    and believes a header that claims terabytes.

    shape   what is wanted, if that is known
    Raises FederationError, which says what came.
    """
    if array.stype != SERIALISED:
        raise FederationError(f"its numbers are packed as {str(array.stype)[:40]!r}")
    if shape is not None and tuple(array.shape) != shape:
        raise FederationError(f"it has values in {tuple(array.shape)}, {shape} were wanted")
    try:
        values = read_array(array.data)
    except Unopenable as error:
        raise FederationError(f"its numbers can't be unpacked: {error}") from error
    if values.shape != tuple(array.shape) or str(values.dtype) != array.dtype:
        raise FederationError("its numbers are not of the size and kind that they claim")
    return values
