"""How far a picture's features lie from those of the pictures that the network was shown.

A principal component analysis of what each channel's symbols come to, mean and spread: the squared
residual outside its main directions (the Q statistic, Jackson and Mudholkar 1979), and within them,
with less weight, Hotelling's T² (both in one index: Yue and Qin 2001). Box and cloud ask the same
function, the box of its symbols and the cloud of those that arrived.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from shared.errors import BundleError
from shared.storage.arrays import read_arrays

NOVELTY = "novelty.npz"
USUAL_SHARE = 0.01
MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Novelty:
    """Tells the novel from what the network was shown. Safe to share between threads.

    pair        of the head and codec whose symbols it knows
    share       of parts like those that it was calibrated on, that are novel at most, 0–1
    directions  float32 (rows, 2 · channels), applied to `summary`, each weighed
    centre      float32 (rows,): what they yield of the mean picture
    """

    pair: str
    share: float
    directions: NDArray[np.float32]
    centre: NDArray[np.float32]

    def distance(self, symbols: NDArray[np.int8]) -> float:
        """Of int8 (channels, height, width) from what was shown, ≥ 0; above 1 it is novel."""
        return float(self.distances(symbols[np.newaxis])[0])

    def distances(self, symbols: NDArray[np.int8]) -> NDArray[np.float64]:
        """The same of many, int8 (n, channels, height, width) → (n,)."""
        return self.of_summaries(summary(symbols))

    def of_summaries(self, summaries: NDArray[np.float32]) -> NDArray[np.float64]:
        """The same of what `summary` makes of them, (n, 2 · channels) → (n,)."""
        apart = summaries @ self.directions.T - self.centre
        return np.asarray(np.einsum("ij,ij->i", apart, apart), np.float64)

    def novel(self, symbols: NDArray[np.int8]) -> NDArray[np.bool_]:
        """Which of many are, int8 (n, channels, height, width) → bool (n,)."""
        return self.distances(symbols) > 1.0

    def to_bytes(self) -> bytes:
        stream = io.BytesIO()
        np.savez_compressed(
            stream,
            pair=np.array(self.pair),
            share=np.array(self.share),
            directions=self.directions,
            centre=self.centre,
        )
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, raw: bytes, pair: str, channels: int) -> Self | None:
        """None where it is another pair's: like a certificate, it says nothing of this one.

        Raises BundleError where it can't be read, or is not of so many channels.
        """
        try:
            arrays = read_arrays(raw, MOST_BYTES, text=["pair"])
            found = cls(
                str(arrays["pair"]),
                float(arrays["share"]),
                np.asarray(arrays["directions"], np.float32),
                np.asarray(arrays["centre"], np.float32),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{NOVELTY} can't be read ({error})", fix=_AGAIN) from error
        if found.pair != pair:
            return None
        found._check(channels)
        return found

    def _check(self, channels: int) -> None:
        rows = self.centre.size
        if self.centre.shape != (rows,) or self.directions.shape != (rows, 2 * channels):
            raise BundleError(
                f"{NOVELTY} has directions of shape {self.directions.shape} and a centre of shape "
                f"{self.centre.shape}, the features have {channels} channels",
                fix=_AGAIN,
            )
        numbers = bool(np.isfinite(self.directions).all() and np.isfinite(self.centre).all())
        if not numbers or not 0 < self.share < 1:
            raise BundleError(f"{NOVELTY} holds what is not a number", fix=_AGAIN)


def summary(symbols: NDArray[np.int8]) -> NDArray[np.float32]:
    """Mean and standard deviation of each channel over its places.

    symbols   int8 (n, channels, height, width)
    Returns float32 (n, 2 · channels): the means first.
    """
    flat = symbols.reshape(*symbols.shape[:2], -1).astype(np.float32)
    mean = flat.mean(axis=2)
    squares = np.einsum("ijk,ijk->ij", flat, flat) / np.float32(flat.shape[2])
    spread = np.sqrt(np.maximum(squares - mean * mean, 0))
    return np.concatenate([mean, spread], axis=1)


_AGAIN = "fetch the bundle again, or certify it again with `splitsight cloud certify`"
