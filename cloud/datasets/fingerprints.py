"""Which pictures a bundle has seen: short hashes of their files, so that no part that shaped a
model can be used to judge it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset
from shared.bundles.manifest import TRAINED, TUNED
from shared.console import track
from shared.errors import BundleError, TrainingError

SIZE = 8
"""Bytes of a sha256 that are kept: any two of a million pictures agree with p = 3 · 10⁻⁸."""
_KIND = np.dtype(">u8")


def seen_pictures(
    dataset: Dataset, *, watched: bool, earlier: Iterable[Path] = ()
) -> dict[str, bytes]:
    """The files of a bundle that say which pictures shaped it.

    watched   whether the calibrate parts chose among networks, as early stopping does: then the
              network has learned from them too, and they can't judge it
    earlier   run folders of trainings that this one began with or followed
    Raises TrainingError where one of those does not say what it learned from.
    """
    train = [sample.image for sample in dataset.of("train").samples]
    calibrate = [sample.image for sample in dataset.of("calibrate").samples]
    learned = fingerprints(train + calibrate if watched else train)
    return {
        TRAINED: _merged([learned, *(_learned_by(run) for run in earlier)]),
        TUNED: fingerprints(calibrate),
    }


def _learned_by(run: Path) -> bytes:
    try:
        return (run / TRAINED).read_bytes()
    except OSError as error:
        raise TrainingError(
            f"{run} does not say which pictures it learned from ({TRAINED}: {error.strerror})",
            fix="give the run folder of a training that has come to its end",
        ) from error


def _merged(several: Sequence[bytes]) -> bytes:
    together = np.concatenate([np.frombuffer(one, _KIND) for one in several])
    return np.unique(together).astype(_KIND).tobytes()


def fingerprints(images: Iterable[Path]) -> bytes:
    """The files' fingerprints, sorted, each once: a bundle's `trained.bin` or `tuned.bin`."""
    return np.unique(_of(list(images))).astype(_KIND).tobytes()


def known(images: Sequence[Path], fingerprints: bytes) -> NDArray[np.bool_]:
    """Whether each file is among those that `fingerprints` were made of, (n,).

    Raises BundleError where these bytes are not what `fingerprints` wrote.
    """
    if len(fingerprints) % SIZE:
        raise BundleError(
            f"{len(fingerprints)} B of fingerprints came, want a multiple of {SIZE}",
            fix="fetch the bundle again, or train it again",
        )
    return np.isin(_of(images), np.frombuffer(fingerprints, _KIND))


def _of(images: Sequence[Path]) -> NDArray[np.uint64]:
    found = (_fingerprint(image) for image in track(images, "hashing pictures"))
    return np.fromiter(found, np.uint64, len(images))


def _fingerprint(image: Path) -> int:
    return int.from_bytes(hashlib.sha256(image.read_bytes()).digest()[:SIZE], "big")
