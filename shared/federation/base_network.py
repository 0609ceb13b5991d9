"""The base network of federated rounds: every array of its state in one file, read with numpy.

A device fetches it once and knows it by its sha256; rounds carry only what they train.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shared.errors import FederationError
from shared.storage.arrays import read_arrays
from shared.storage.files import replacing

ARCHITECTURE = "architecture"
MOST_BYTES = 200_000_000


@dataclass(frozen=True, slots=True)
class BaseNetwork:
    """arrays        the state's entries by name, float32 or integers
    architecture  what is needed to build the network again
    sha256        of the file
    """

    arrays: dict[str, NDArray[Any]]
    architecture: dict[str, Any]
    sha256: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises FederationError where it can't be read."""
        try:
            if path.stat().st_size > MOST_BYTES:
                raise FederationError(f"{path} is larger than any base network", fix=_EXPORT)
            raw = path.read_bytes()
            arrays = read_arrays(raw, 2 * MOST_BYTES)
            architecture = json.loads(arrays.pop(ARCHITECTURE).tobytes())
        except _UNREADABLE as error:
            raise FederationError(f"{path} is no base network ({error})", fix=_EXPORT) from error
        return cls(arrays, architecture, hashlib.sha256(raw).hexdigest())


def write_base(
    path: Path, arrays: Mapping[str, NDArray[Any]], architecture: Mapping[str, Any]
) -> None:
    """The same arrays give the same bytes, on any day."""
    text = np.frombuffer(json.dumps(dict(architecture), sort_keys=True).encode(), np.uint8)
    with replacing(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in {**arrays, ARCHITECTURE: text}.items():
            member = io.BytesIO()
            np.save(member, np.asarray(array, order="C"), allow_pickle=False)
            # A ZipInfo made by hand has no time of today in it.
            info = zipfile.ZipInfo(f"{name}.npy")
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue())


_EXPORT = "write it with `splitsight cloud base --run RUN --out FILE`"
_UNREADABLE = (OSError, ValueError, KeyError, TypeError)
