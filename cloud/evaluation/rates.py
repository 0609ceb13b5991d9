"""Bytes against accuracy: the bundle's own codec at several rates, beside JPEG and WebP."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset
from cloud.datasets.pictures import inputs_of_file
from cloud.evaluation.judgements import Judgements, ask, open_tail
from cloud.evaluation.pixels import PixelsModel
from cloud.statistics.intervals import Interval, auroc_interval
from cloud.statistics.metrics import auroc
from shared.bundles.bundle import Bundle
from shared.console import track
from shared.features.image_codecs import (
    COMPRESSIONS,
    Compression,
    compress,
    decompress,
    to_pixels,
    to_planes,
)
from shared.features.transmission import BATCH, weighed

COARSENESS = (1, 2, 3, 4, 6, 8)
QUALITIES = (5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95)
# What may be lost beside the cloud model on pixels: half a point of AUROC.
LOSS = 0.005


class Point(msgspec.Struct, frozen=True):
    """One rate of a curve.

    step       the coarseness of our codec, or the quality of JPEG or WebP
    bytes_p50  median size for a picture: features without the message's header, or a whole file
    auroc      of the cloud, were every picture sent at this rate: ours weighs the head's score,
               which travels in the message's header, as the service does
    tail_auroc of the features alone, without the head's score; None for JPEG and WebP
    """

    step: int
    bytes_p50: float
    auroc: float
    tail_auroc: float | None = None


class Match(msgspec.Struct, frozen=True):
    """One of our rates beside the JPEG that reaches the same AUROC.

    jpeg_bytes   interpolated between neighbouring qualities, in the logarithm of bytes
    ratio        our bytes over JPEG's: below 1, ours are fewer
    at_most      even the lowest quality reaches it, so JPEG needs `jpeg_bytes` at most and the
                 ratio is `ratio` at least
    """

    step: int
    jpeg_bytes: float
    ratio: float
    at_most: bool


class PictureRates(msgspec.Struct, frozen=True):
    """What the cloud model on pixels, trained on undistorted ones and not retrained, makes of
    JPEG and WebP files of the head's input.

    auroc         on undistorted pictures
    jpeg, webp    its AUROC by quality
    within_*      fewest bytes of a swept rate whose AUROC lies at most 0.5 points below `auroc`;
                  None where no rate reaches that. `tail`: our features without the head's score
    matches       our rates beside JPEG at equal AUROC; a rate that no quality reaches has none.
                  tail_matches: the same without the head's score
    """

    auroc: float
    auroc_interval: Interval
    jpeg: list[Point]
    webp: list[Point]
    within_ours: float | None
    within_tail: float | None
    within_jpeg: float | None
    within_webp: float | None
    matches: list[Match]
    tail_matches: list[Match]


class Rates(msgspec.Struct, frozen=True):
    """Bytes against AUROC; `pictures` is None where no cloud model on pixels was given."""

    ours: list[Point]
    pictures: PictureRates | None


def sweep(
    bundle: Bundle,
    dataset: Dataset,
    found: Judgements,
    *,
    runtime: str = "auto",
    threads: int = 0,
    model: PixelsModel | None = None,
) -> Rates | None:
    """Judge the samples again at each rate. None where the samples are all good or all bad.

    found   of the same samples: the head need not look again
    """
    labels = dataset.labels
    if labels.all() or not labels.any():
        return None
    tail = open_tail(bundle, runtime, threads)
    ours = []
    for coarseness in COARSENESS:
        bodies = [bundle.codec.encode(one, coarseness) for one in found.symbols]
        symbols = np.stack([bundle.codec.decode(body, coarseness) for body in bodies])
        scores = ask(tail, symbols, f"our codec, coarseness {coarseness}").scores
        ours.append(
            Point(
                step=coarseness,
                bytes_p50=float(np.median([len(body) for body in bodies])),
                auroc=auroc(weighed(bundle.manifest.gate.gate, found.edge, scores), labels),
                tail_auroc=auroc(scores, labels),
            )
        )
    return Rates(ours, None if model is None else _pictures(bundle, dataset, found, model, ours))


def _sent(bundle: Bundle, dataset: Dataset, found: Judgements, index: int) -> NDArray[np.uint8]:
    """The input whose features would be sent of a picture, uint8 (channels, height, width)."""
    inputs = inputs_of_file(dataset.samples[index].image, bundle.manifest.input)
    return np.asarray(inputs[max(int(found.spoke[index]), 0)], np.uint8)


def _pictures(
    bundle: Bundle,
    dataset: Dataset,
    found: Judgements,
    model: PixelsModel,
    ours: Sequence[Point],
) -> PictureRates:
    labels, parts = dataset.labels, np.array(dataset.parts)
    columns = {(kind, quality): _Column() for kind in COMPRESSIONS for quality in QUALITIES}
    undistorted: list[NDArray[np.float64]] = []
    starts = range(0, len(labels), BATCH)
    for start in track(starts, "JPEG and WebP through the model on pixels"):
        indices = range(start, min(start + BATCH, len(labels)))
        pictures = np.stack([_sent(bundle, dataset, found, index) for index in indices])
        undistorted.append(model.scores(pictures))
        for (kind, quality), column in columns.items():
            column.add(model, pictures, kind, quality)
    area = auroc(np.concatenate(undistorted), labels)
    jpeg, webp = (
        [column.point(q, labels) for (k, q), column in columns.items() if k == kind]
        for kind in COMPRESSIONS
    )
    return PictureRates(
        auroc=area,
        auroc_interval=auroc_interval(
            area, len(np.unique(parts[labels])), len(np.unique(parts[~labels]))
        ),
        jpeg=jpeg,
        webp=webp,
        within_ours=fewest_bytes(ours, area - LOSS),
        within_tail=fewest_bytes(tail_alone(ours), area - LOSS),
        within_jpeg=fewest_bytes(jpeg, area - LOSS),
        within_webp=fewest_bytes(webp, area - LOSS),
        matches=_matches(ours, jpeg),
        tail_matches=_matches(tail_alone(ours), jpeg),
    )


class _Column:
    """One kind and quality of picture over all batches."""

    def __init__(self) -> None:
        self._scores: list[NDArray[np.float64]] = []
        self._sizes: list[int] = []

    def add(
        self, model: PixelsModel, pictures: NDArray[np.uint8], kind: Compression, quality: int
    ) -> None:
        files = [compress(to_pixels(one), quality, kind) for one in pictures]
        channels = pictures.shape[1]
        seen = np.stack([to_planes(decompress(file, channels)) for file in files])
        self._scores.append(model.scores(seen))
        self._sizes += [len(file) for file in files]

    def point(self, quality: int, labels: NDArray[np.bool_]) -> Point:
        area = auroc(np.concatenate(self._scores), labels)
        return Point(quality, float(np.median(self._sizes)), area)


def tail_alone(ours: Sequence[Point]) -> list[Point]:
    """The curve of our features without the head's score."""
    return [
        Point(point.step, point.bytes_p50, point.tail_auroc)
        for point in ours
        if point.tail_auroc is not None
    ]


def fewest_bytes(points: Sequence[Point], wanted: float) -> float | None:
    """The bytes of the smallest rate that reaches an AUROC of `wanted`."""
    return min((point.bytes_p50 for point in points if point.auroc >= wanted), default=None)


def _matches(ours: Sequence[Point], jpeg: Sequence[Point]) -> list[Match]:
    return [found for point in ours if (found := match(point, jpeg)) is not None]


def match(ours: Point, jpeg: Sequence[Point]) -> Match | None:
    """Where JPEG's curve first reaches our AUROC. None where it never does."""
    by_size = sorted(jpeg, key=lambda point: point.bytes_p50)
    reached = next((n for n, point in enumerate(by_size) if point.auroc >= ours.auroc), None)
    if reached is None:
        return None
    above = by_size[reached]
    if reached == 0:
        return Match(ours.step, above.bytes_p50, ours.bytes_p50 / above.bytes_p50, at_most=True)
    below = by_size[reached - 1]
    along = (ours.auroc - below.auroc) / (above.auroc - below.auroc)
    needed = below.bytes_p50 * (above.bytes_p50 / below.bytes_p50) ** along
    return Match(ours.step, needed, ours.bytes_p50 / needed, at_most=False)
