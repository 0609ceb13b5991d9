"""How good a bundle is on a split: edge, cloud and the two together, as they will run."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from cloud.training.dataset import Dataset
from cloud.training.metrics import auroc, average_precision
from cloud.training.pictures import decode
from shared.bundle import Bundle
from shared.console import track
from shared.contracts import Decision
from shared.manifest import HEAD, TAIL
from shared.preprocess import prepare
from shared.runtime.base import RuntimeOptions
from shared.runtime.choice import choose_runtime

JPEG_QUALITY = 80


class Judge(msgspec.Struct, frozen=True):
    """One half alone: AUROC, average precision, and accuracy at its threshold; 0–1."""

    auroc: float
    average_precision: float
    accuracy: float


class System(msgspec.Struct, frozen=True):
    """Edge, gate and cloud together.

    escape_rate        share of defective parts that pass; overkill_rate, of good ones rejected
    bytes_per_part     sent up on average, escalated or not; bytes_per_escalation_p50 the median
    """

    escape_rate: float
    overkill_rate: float
    escalation_rate: float
    accuracy: float
    bytes_per_part: float
    bytes_per_escalation_p50: float


class Jpeg(msgspec.Struct, frozen=True):
    """What the network's input costs as JPEG of `quality`; the median, bytes."""

    bytes_p50: float
    quality: int = JPEG_QUALITY


class Evaluation(msgspec.Struct, frozen=True):
    """The report of `splitsight cloud evaluate`."""

    bundle: str
    data: str
    split: str
    n_images: int
    n_parts: int
    n_defects: int
    edge: Judge
    cloud: Judge
    system: System
    jpeg: Jpeg


@dataclass(frozen=True, slots=True)
class Judgements:
    """What a bundle says of each sample, in order; arrays (n,).

    cloud   head and tail together, as the service weighs them
    """

    edge: NDArray[np.float64]
    cloud: NDArray[np.float64]
    encoded: NDArray[np.int64]
    jpeg: NDArray[np.int64]


def judge(bundle: Bundle, dataset: Dataset, runtime: str = "auto", threads: int = 0) -> Judgements:
    """Run every sample through head, codec and tail, as the product does.

    threads   of each backend; 0 lets it choose
    """
    options = RuntimeOptions("cpu" if runtime == "torch" else "CPU", threads)
    head = choose_runtime(runtime, bundle.read(HEAD), options).runtime
    tail = choose_runtime(runtime, bundle.read(TAIL), options).runtime
    spec, gate = bundle.manifest.input, bundle.manifest.gate.gate
    rows = []
    for sample in track(dataset.samples, "judging"):
        picture = prepare(
            decode(sample.image, spec.channels), spec.height, spec.width, spec.channels
        )
        features, _, edge = head.run(picture[np.newaxis])
        symbols = bundle.codec.quantise(np.asarray(features[0], np.float32))
        payload = bundle.codec.encode(symbols)
        _, cloud = tail.run(symbols[np.newaxis])
        score = gate.cloud_score(float(edge[0]), float(cloud[0]))
        rows.append((float(edge[0]), score, len(payload), _jpeg_bytes(picture)))
    edge_scores, cloud_scores, encoded, jpeg = (np.array(c) for c in zip(*rows, strict=True))
    return Judgements(edge_scores, cloud_scores, encoded, jpeg)


def evaluate(bundle: Bundle, dataset: Dataset, split: str, runtime: str = "auto") -> Evaluation:
    """Judge one split's samples (`dataset` holds only those) and count."""
    found = judge(bundle, dataset, runtime)
    return report(bundle, dataset, split, found)


def report(bundle: Bundle, dataset: Dataset, split: str, found: Judgements) -> Evaluation:
    """Judgements → numbers."""
    labels = dataset.labels
    gate = bundle.manifest.gate.gate
    decisions = np.array([gate.decide(score) for score in found.edge])
    escalated = decisions == Decision.ESCALATE
    cloud_rejects = np.array([gate.conclude(score) == "reject" for score in found.cloud])
    rejected = np.where(escalated, cloud_rejects, decisions == Decision.REJECT)
    edge_threshold = bundle.manifest.training.metrics.get("edge_threshold", 0.5)
    sent = found.encoded[escalated]
    return Evaluation(
        bundle=f"{bundle.manifest.name} {bundle.manifest.version} ({bundle.id})",
        data=dataset.name,
        split=split,
        n_images=len(labels),
        n_parts=len(set(dataset.parts)),
        n_defects=int(labels.sum()),
        edge=_judge_of(found.edge, labels, found.edge >= edge_threshold),
        cloud=_judge_of(found.cloud, labels, cloud_rejects),
        system=System(
            escape_rate=_share(~rejected, labels),
            overkill_rate=_share(rejected, ~labels),
            escalation_rate=float(escalated.mean()),
            accuracy=float((rejected == labels).mean()),
            bytes_per_part=float(sent.sum() / len(labels)),
            bytes_per_escalation_p50=float(np.median(sent if len(sent) else found.encoded)),
        ),
        jpeg=Jpeg(float(np.median(found.jpeg))),
    )


def _judge_of(
    scores: NDArray[np.float64], labels: NDArray[np.bool_], rejected: NDArray[np.bool_]
) -> Judge:
    return Judge(
        auroc(scores, labels), average_precision(scores, labels), float((rejected == labels).mean())
    )


def _share(what: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    return float(what[among].mean()) if among.any() else float("nan")


def _jpeg_bytes(picture: NDArray[np.uint8]) -> int:
    pixels = picture[0] if picture.shape[0] == 1 else picture.transpose(1, 2, 0)
    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return len(encoded)
