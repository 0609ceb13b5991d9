"""What a device answers about a network that nobody runs yet: from its own pictures, no picture.

Calibration looks at the parts that it trained on, the certificate's counts at `calibrate`, the
comparison at `test`. Which is which, a part's name decides (`edge.learning.labelled_parts`),
so that no part that was trained on is ever counted for the certificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edge.learner.device import LearningDevice, LearningRefused
from edge.learner.split_inference import judged_together
from edge.learning.labelled_parts import LabelledPicture
from shared.certification.gate import Gate
from shared.certification.ranking import auroc
from shared.certification.scores import Scored, by_kind
from shared.certification.system_tally import SystemTally
from shared.certification.tally import ScoreTally
from shared.errors import WireError
from shared.features.codec import symbol_counts
from shared.features.preprocessing import prepare
from shared.federation.base_network import BaseNetwork
from shared.federation.protocol import NO_LABELS, OTHER_BASE, Vector
from shared.federation.questions import MOST_MODELS, Comparison, ModelStanding, Question
from shared.runtime.base import open_runtime
from shared.splitnet.base_network import restore
from shared.splitnet.calibration import count_shifts, measure
from shared.splitnet.fusion import DeployedHead, fuse_norms
from shared.splitnet.network import Head
from shared.splitnet.rounding import input_sizes, magnitudes, moments

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class LocalMeasurement:
    """The numbers, and how many pictures they stand for where that weighs them; else 1."""

    vector: Vector
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with what came beside it. values: of the float network, in 16 bits."""

    question: Question
    models: Sequence[bytes]
    values: NDArray[np.float16]


def answer(device: LearningDevice, asked: Asked) -> LocalMeasurement:
    """Raises Refused where this device has nothing to answer from, SplitsightError elsewhere."""
    question, models = asked.question, asked.models
    labels, pictures = _pictures(device, question)
    if question.what in {"tally", "system"}:
        # Nothing to count is an answer too.
        count = _tallies if question.what == "tally" else _system
        return LocalMeasurement(count(asked, labels, pictures))
    if not pictures:
        raise LearningRefused(NO_LABELS, f"{device.name} has no parts for this ({question.use})")
    match question.what:
        case "magnitudes":
            found = magnitudes(_head(device, asked), _tensors(pictures))
            return LocalMeasurement(np.asarray(found.numpy(), np.float64))
        case "moments":
            return LocalMeasurement(
                _moments(_head(device, asked), question, pictures), len(pictures)
            )
        case "ranges":
            return LocalMeasurement(np.asarray(measure(models[0], pictures), np.float64).ravel())
        case "shifts":
            return LocalMeasurement(count_shifts(models[0], models[1], pictures).astype(np.float64))
        case _:
            return LocalMeasurement(_symbols(models[0], question.limit, pictures))


def compare(device: LearningDevice, asked: Asked) -> Comparison:
    """How this device's own parts fare with the present model, then with the candidate."""
    labels, pictures = _pictures(device, asked.question)
    part, defective = _parts(labels)
    standings = []
    for model, threshold in zip(asked.models, asked.question.gates, strict=True):
        kinds = _scored(model, part, defective, pictures)
        highest = np.concatenate([kind.first_to_reject() for kind in kinds])
        bad = np.arange(len(highest)) < kinds[0].parts
        value, gate = auroc(highest, bad), threshold.gate
        standings.append(
            ModelStanding(
                auroc=float(value) if np.isfinite(value) else None,
                escapes=kinds[0].passed(gate, with_cloud=False),
                overkill=kinds[1].rejected(gate, with_cloud=False),
                escalated=sum(int(kind.escalated(gate).sum()) for kind in kinds),
            )
        )
    before, after = standings
    bad_parts = int(defective.sum())
    return Comparison(len(defective) - bad_parts, bad_parts, len(pictures), before, after)


def _pictures(
    device: LearningDevice, question: Question
) -> tuple[list[LabelledPicture], list[Picture]]:
    """Of the use that is asked for, prepared, (1, c, h, w) each; at most so many, evenly drawn."""
    index = device.parts.index()
    places = [place for place, label in enumerate(index) if label.use == question.use]
    if question.most:
        places = places[:: -(-len(places) // question.most) or 1]
    shape = device.base.architecture
    try:
        size = (shape["height"], shape["width"], shape["channels"])
    except KeyError as error:
        raise LearningRefused(OTHER_BASE, f"{device.name} has a base without {error}") from error
    pictures = [
        np.asarray(prepare(device.parts.picture(place), *size)[np.newaxis], np.uint8)
        for place in places
    ]
    return [index[place] for place in places], pictures


def _head(device: LearningDevice, asked: Asked) -> Head:
    """The float head as the server has it, norms folded."""
    order = asked.question.order
    if order is None:
        raise LearningRefused(OTHER_BASE, "the question names no network")
    arrays = {**device.base.arrays, **device.changed(order, asked.values)}
    net = restore(BaseNetwork(arrays, device.base.architecture, ""))
    head: Head = fuse_norms(DeployedHead(net.head)).head
    return head


def _moments(head: Head, question: Question, pictures: Sequence[Picture]) -> Vector:
    """Means of products, within ±1: the upper triangle of each convolution's, one after another."""
    parts = []
    found = moments(head, _tensors(pictures))
    sizes = input_sizes(head, torch.tensor(question.scales, dtype=torch.float64))
    for one, own in zip(found, sizes, strict=True):
        size = one.shape[1]
        mean = one / one[:, -1:, -1:] / own[:, :, None] / own[:, None, :]
        rows, columns = torch.triu_indices(size, size)
        parts.append(mean[:, rows, columns].flatten())
    return np.asarray(torch.cat(parts).numpy(), np.float64)


def _symbols(model: bytes, limit: int, pictures: Sequence[Picture]) -> Vector:
    head = open_runtime("onnx", model)
    features = np.concatenate([np.asarray(head.run(one)[0], np.float32) for one in pictures])
    symbols = np.clip(np.rint(features), -limit, limit).astype(np.int8)
    return symbol_counts(symbols, limit).astype(np.float64).ravel()


def _tallies(
    asked: Asked, labels: Sequence[LabelledPicture], pictures: Sequence[Picture]
) -> Vector:
    parts = _parts(labels)
    kinds = [_scored(model, *parts, pictures) for model in asked.models]
    return np.concatenate([ScoreTally.of(*one).flat() for one in kinds]).astype(np.float64)


def _system(asked: Asked, labels: Sequence[LabelledPicture], pictures: Sequence[Picture]) -> Vector:
    question, passage = asked.question, asked.question.passage
    if passage is None or len(question.gates) != 1 or len(asked.models) != MOST_MODELS:
        raise WireError("a question about edge and cloud lacks a model, a gate or the way between")
    edge = question.gates[0]
    gate = Gate(edge.pass_below, edge.reject_from, 0.5, passage.tail_weight)
    scores = judged_together(asked.models[0], asked.models[1], passage, gate, pictures)
    kinds = by_kind(*_parts(labels), *scores)
    return SystemTally.of(*kinds, gate, passage.edge_bin).flat().astype(np.float64)


def _parts(labels: Sequence[LabelledPicture]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Which part each picture shows, and which parts are defective: those with any such picture."""
    names, part = np.unique([label.part for label in labels], return_inverse=True)
    defective = np.zeros(len(names), bool)
    defective[part[[label.defective for label in labels]]] = True
    return np.asarray(part, np.intp), defective


def _scored(
    model: bytes,
    part: NDArray[np.intp],
    defective: NDArray[np.bool_],
    pictures: Sequence[Picture],
) -> tuple[Scored, Scored]:
    """Defective parts, then good ones."""
    head = open_runtime("onnx", model)
    scores = np.array([float(np.ravel(head.run(one)[2])[0]) for one in pictures], np.float64)
    return by_kind(part, defective, scores, scores)


def _tensors(pictures: Sequence[Picture]) -> list[torch.Tensor]:
    return [torch.from_numpy(picture) for picture in pictures]
