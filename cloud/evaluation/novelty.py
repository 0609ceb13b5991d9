"""What is unlike anything that a network was shown: fitted to its training, calibrated on parts
that it has not seen, good and defective alike."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset
from cloud.datasets.fingerprints import known
from cloud.datasets.pictures import inputs_of_file
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import TRAINED
from shared.certification.promises import percent
from shared.console import track
from shared.errors import CertificateError
from shared.features.novelty import Novelty, summary
from shared.runtime.base import Runtime

FEWEST = 10
"""Pictures, of which fewer don't say what pictures look like."""
MOST = 2000
"""Pictures that are looked at, evenly chosen: what more of them add is little."""
EXPLAINED = 0.95
"""The share of the variance that the main directions have."""
WEIGHT = 0.1
"""Of the main directions beside the residual: there even parts that were shown lie far apart."""
FLOOR = 0.05
"""Steps: a channel that hardly ever differs counts as if it differed by so much."""
ROUNDING = 1e-4
"""So that the part that sets the limit lies within it on every machine."""


def summaries_of_shown(bundle: Bundle, shown: Dataset, head: Runtime) -> NDArray[np.float32]:
    """What the head's symbols come to in those of these pictures that the bundle was trained on.

    float32 (n, 2 · channels), at most MOST. Raises CertificateError where there are fewer pictures
    than FEWEST.
    """
    listed = known([sample.image for sample in shown.samples], bundle.read(TRAINED))
    found = np.flatnonzero(listed)
    if len(found) < FEWEST:
        raise CertificateError(
            f"the data has {len(found)} of the pictures that {bundle.path.name} was trained on; "
            f"{FEWEST} at least say what it was shown",
            fix="give the data and the --seed of its training",
        )
    some = found[np.unique(np.linspace(0, len(found) - 1, MOST).astype(int))]
    summaries = []
    for index in track(some.tolist(), "what it was shown"):
        inputs = inputs_of_file(shown.samples[index].image, bundle.manifest.input)
        for one in inputs[:: math.ceil(len(inputs) * len(some) / MOST)]:
            features = head.run(one[np.newaxis])[0]
            symbols = bundle.codec.quantise(np.asarray(features[0], np.float32))
            summaries.append(summary(symbols[np.newaxis]))
    return np.concatenate(summaries)


def fit_novelty(
    shown: NDArray[np.float32],
    unseen: NDArray[np.float32],
    part: NDArray[np.intp],
    share: float,
    pair: str,
) -> Novelty:
    """What the network was shown, and a limit that parts like the unseen ones rarely exceed.

    shown    `summary` of pictures or tiles that it was trained on, (n, 2 · channels)
    unseen   of parts that it was not; `part` (m,) says which each of them shows, 0 to parts − 1
    share    of parts like these that have a novel picture: at most so many on average over sets
             of parts (split conformal prediction, Vovk, Gammerman and Shafer 2005)
    Raises CertificateError where the parts are too few for the share.
    """
    parts = int(part.max()) + 1 if len(part) else 0
    rank = math.ceil((parts + 1) * (1 - share) - 1e-9)
    if rank > parts:
        raise CertificateError(
            f"{parts} parts are too few for a limit that at most {percent(share)} of such parts "
            f"exceed; {math.ceil(1 / share - 1e-9) - 1} are enough",
            fix=f"give more parts, or --novelty-share {1 / (parts + 1) + 5e-4:.3f}",
        )
    known_pictures = _fitted(shown.astype(np.float64), share, pair)
    farthest = np.zeros(parts)
    np.maximum.at(farthest, part, known_pictures.of_summaries(unseen))
    limit = max(float(np.sort(farthest)[rank - 1]), ROUNDING)
    scale = np.float32(1 / math.sqrt(limit * (1 + ROUNDING)))
    return Novelty(pair, share, known_pictures.directions * scale, known_pictures.centre * scale)


def _fitted(summaries: NDArray[np.float64], share: float, pair: str) -> Novelty:
    """Distances before they are scaled; summaries (n, 2 · channels)."""
    mean, spread = summaries.mean(axis=0), summaries.std(axis=0) + FLOOR
    _, sizes, rows = np.linalg.svd((summaries - mean) / spread, full_matrices=True)
    variance = np.zeros(len(rows))
    variance[: len(sizes)] = sizes**2 / len(summaries)
    explained = np.cumsum(variance)
    # Pictures that are all alike have no main direction.
    main = int((explained < EXPLAINED * explained[-1]).sum()) + bool(explained[-1] > 0)
    main = min(main, len(rows) - 1)
    weights = np.full(len(rows), 1 / max(float(variance[main:].sum()), FLOOR**2))
    weights[:main] = WEIGHT / (max(main, 1) * np.maximum(variance[:main], FLOOR**2))
    directions = np.sqrt(weights)[:, np.newaxis] * rows / spread
    return Novelty(
        pair,
        share,
        directions.astype(np.float32),
        (directions @ mean).astype(np.float32),
    )
