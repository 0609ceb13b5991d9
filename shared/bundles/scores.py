"""The scores of the parts that a bundle's certificate was tested on: numbers, and no picture."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shared.certification.scores import Floats, NovelPictures, Scored, by_kind
from shared.errors import BundleError
from shared.opener import Unopenable
from shared.storage.arrays import read_arrays

TESTED = "tested.npz"
MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class ScoredParts:
    """What head and tail said of each picture of the tested parts.

    pair         of the head and tail whose scores they are
    tail_weight  with which the cloud's were weighed
    part         int (n,): which part a picture shows, 0 to parts − 1, each at least once
    defective    bool (parts,)
    edge, cloud  (n,): scores, 0–1; not finite where there was none
    encoded      int (n,): bytes that the features take
    novel        which are unlike anything that the network was shown
    """

    pair: str
    tail_weight: float
    part: NDArray[np.intp]
    defective: NDArray[np.bool_]
    edge: Floats
    cloud: Floats
    encoded: NDArray[np.int64]
    novel: NovelPictures

    @property
    def kinds(self) -> tuple[Scored, Scored]:
        """Defective parts, then good ones."""
        return by_kind(self.part, self.defective, self.edge, self.cloud, self.novel)

    def to_bytes(self) -> bytes:
        stream = io.BytesIO()
        np.savez_compressed(
            stream,
            pair=np.array(self.pair),
            tail_weight=np.array(self.tail_weight),
            part=self.part.astype(np.int32),
            defective=self.defective,
            edge=self.edge,
            cloud=self.cloud,
            encoded=self.encoded,
            novel_edge=self.novel.edge,
            novel_cloud=self.novel.cloud,
        )
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, raw: bytes, pair: str) -> Self | None:
        """None where they are another pair's: they say nothing of this one.

        Raises BundleError where they can't be read.
        """
        try:
            arrays = read_arrays(raw, MOST_BYTES, text=["pair"])
            found = cls(
                str(arrays["pair"]),
                float(arrays["tail_weight"]),
                np.asarray(arrays["part"], np.intp),
                np.asarray(arrays["defective"], bool),
                np.asarray(arrays["edge"], np.float64),
                np.asarray(arrays["cloud"], np.float64),
                np.asarray(arrays["encoded"], np.int64),
                NovelPictures(
                    np.asarray(arrays["novel_edge"], bool), np.asarray(arrays["novel_cloud"], bool)
                ),
            )
        except (KeyError, TypeError, ValueError, Unopenable) as error:
            raise BundleError(f"{TESTED} can't be read ({error})", fix=_AGAIN) from error
        if found.pair != pair:
            return None
        found._check()
        return found

    def _check(self) -> None:
        pictures, parts = self.part.shape, len(self.defective)
        columns = (self.edge, self.cloud, self.encoded, self.novel.edge, self.novel.cloud)
        alike = all(column.shape == pictures for column in columns)
        each = np.array_equal(np.unique(self.part), np.arange(parts))
        if len(pictures) != 1 or self.defective.ndim != 1 or not alike or not each:
            raise BundleError(f"the columns of {TESTED} do not belong together", fix=_AGAIN)


_AGAIN = "fetch the bundle again, or certify it again with `splitsight cloud certify`"
