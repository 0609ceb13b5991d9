"""What a bundle's features give away: pictures made again from what is sent, and how good."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import mean_squared_error, structural_similarity

from cloud.datasets.dataset import Dataset
from cloud.datasets.pictures import load_pictures
from cloud.leakage.inverter import Fit, fit_inverter, reconstruct
from cloud.statistics.metrics import auroc
from cloud.training.tiles import tiled
from shared.bundles.bundle import Bundle
from shared.bundles.leakage import Leakage, Reconstruction
from shared.bundles.manifest import HEAD, HEAD_FLOAT
from shared.bundles.runtime_choice import choose_runtime
from shared.console import track
from shared.features.codec import LADDER
from shared.features.image_codecs import to_pixels
from shared.format import iso
from shared.runtime.base import Runtime, RuntimeOptions

NOTHING = LADDER[-1]
RATES = (1, 2, 4, 8)
MOST_DB = 100.0


@dataclass(frozen=True, slots=True)
class Sent:
    """A split's pictures and what of them arrives; in order, n of each.

    pictures  the head's inputs, uint8 (n, channels, height, width)
    symbols   decoded, by coarseness, int8 (n, c, h, w)
    sizes     of the encoded features, by coarseness, bytes (n,)
    """

    pictures: NDArray[np.uint8]
    symbols: Mapping[int, NDArray[np.int8]]
    sizes: Mapping[int, NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Inverted:
    """The test split's pictures beside what was made of their features, by coarseness."""

    leakage: Leakage
    pictures: NDArray[np.uint8]
    made: Mapping[int, NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Classifier:
    """Finds defects in pictures: the bundle's own float head, at its edge threshold.

    It was trained on true pictures, and is not adapted to reconstructions.
    """

    head: Runtime
    threshold: float

    def judge(
        self, pictures: NDArray[np.uint8], labels: NDArray[np.bool_]
    ) -> tuple[float, float | None]:
        """Accuracy and AUROC, None where there is only one label."""
        scores = np.array(
            [float(self.head.run(one[np.newaxis])[2].reshape(-1)[0]) for one in pictures]
        )
        area = auroc(scores, labels)
        return float(((scores >= self.threshold) == labels).mean()), (
            None if math.isnan(area) else area
        )


def measure_leakage(
    bundle: Bundle, dataset: Dataset, how: Fit, runtime: str = "auto", threads: int = 0
) -> Inverted:
    """Train an inverter on the training split, and invert the test split with it.

    runtime, threads   of the heads
    Raises DataError or TrainingError for data that does not allow it.
    """
    pixels = bundle.manifest.input.pixels
    # What is sent of a picture in tiles is one of them.
    train, test = tiled(dataset.of("train"), pixels), tiled(dataset.of("test"), pixels)
    options = RuntimeOptions(threads=threads)
    head = choose_runtime(runtime, bundle.read(HEAD), options).runtime
    classifier = Classifier(
        choose_runtime(runtime, bundle.read(HEAD_FLOAT), options).runtime,
        bundle.manifest.training.metrics.get("edge_threshold", 0.5),
    )
    with TemporaryDirectory() as folder:
        seen = send(bundle, head, train, Path(folder))
        inverter = fit_inverter(seen.symbols, seen.pictures, how)
        sent = send(bundle, head, test, Path(folder))
        pictures = np.array(sent.pictures)
    made = {k: reconstruct(inverter, symbols, k) for k, symbols in sent.symbols.items()}
    labels = test.labels
    found = {
        k: compare(pictures, again, k, sent.sizes[k], classifier.judge(again, labels))
        for k, again in made.items()
    }
    accuracy, area = classifier.judge(pictures, labels)
    leakage = Leakage(
        pair=bundle.manifest.pair,
        measured=iso(),
        data=dataset.name,
        data_hash=dataset.content_hash(),
        trained=len(train.samples),
        tested=len(test.samples),
        epochs=how.epochs,
        accuracy=accuracy,
        auroc=area,
        nothing=found[NOTHING],
        rates=[found[k] for k in RATES],
    )
    return Inverted(leakage, pictures, made)


def send(bundle: Bundle, head: Runtime, dataset: Dataset, cache: Path) -> Sent:
    """Every picture through the head and, at each coarseness, through the codec and back."""
    spec, codec = bundle.manifest.input, bundle.codec
    inputs = load_pictures(dataset, spec.shape, cache, spec.pixels).inputs
    ladder = (*RATES, NOTHING)
    symbols: dict[int, list[NDArray[np.int8]]] = {k: [] for k in ladder}
    sizes: dict[int, list[int]] = {k: [] for k in ladder}
    for picture in track(inputs, "sending"):
        features = np.asarray(head.run(picture[np.newaxis])[0][0], np.float32)
        exact = codec.quantise(features)
        for k in ladder:
            body = codec.encode(exact, k)
            symbols[k].append(codec.decode(body, k))
            sizes[k].append(len(body))
    return Sent(
        inputs,
        {k: np.stack(found) for k, found in symbols.items()},
        {k: np.array(found, np.int64) for k, found in sizes.items()},
    )


def compare(
    pictures: NDArray[np.uint8],
    made: NDArray[np.uint8],
    coarseness: int,
    sizes: NDArray[np.int64],
    judged: tuple[float, float | None],
) -> Reconstruction:
    """How close reconstructions come to their pictures, both uint8 (n, channels, h, w).

    Structural similarity is that of Wang et al. (2004), with their Gaussian window.
    """
    decibels, alike = [], []
    for one, again in track(zip(pictures, made, strict=True), "comparing", len(pictures)):
        error = float(mean_squared_error(one, again))
        decibels.append(min(MOST_DB, 10 * math.log10(255**2 / error)) if error else MOST_DB)
        alike.append(similarity(one, again))
    accuracy, area = judged
    return Reconstruction(
        coarseness=coarseness,
        bytes_p50=float(np.median(sizes)),
        psnr=float(np.mean(decibels)),
        ssim=float(np.mean(alike)),
        accuracy=accuracy,
        auroc=area,
    )


def similarity(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Structural similarity of two network inputs (channels, h, w)."""
    return float(
        structural_similarity(
            to_pixels(one),
            to_pixels(other),
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=None if len(one) == 1 else 2,
        )
    )
