"""Judgements of a split → the figures of its scorecard."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset
from cloud.evaluation.groups import Masks, PassMasks, groups
from cloud.evaluation.judgements import Judgements
from cloud.evaluation.scorecard import (
    AtOverkill,
    Evaluation,
    Jpeg,
    JudgeScore,
    ReviewRates,
    System,
)
from cloud.evaluation.verdicts import JudgeVerdicts, SampleVerdicts, unsure_pictures, verdicts
from cloud.statistics.intervals import auroc_interval, exact_interval, part_rate
from cloud.statistics.localisation import Localisation, MarkedMap, localise
from cloud.statistics.metrics import auroc, average_precision, threshold_at
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import Manifest
from shared.certification.gate import Gate
from shared.certification.promises import describe
from shared.console import track

OVERKILL = 0.05


def score(bundle: Bundle, dataset: Dataset, split: str, found: Judgements) -> Evaluation:
    """Count what was said of one split's samples; `dataset` holds only those."""
    manifest = bundle.manifest
    said = verdicts(manifest.gate.gate, found.edge, found.cloud, found.novel)
    labels, names = dataset.labels, np.array(dataset.parts)
    called = said.edge.scores >= manifest.training.metrics.get("edge_threshold", 0.5)
    masks = known_masks(dataset, found)
    system = _system(said, dataset, found)
    return Evaluation(
        bundle=f"{manifest.name} {manifest.version} ({bundle.id})",
        data=dataset.name,
        split=split,
        n_images=len(labels),
        n_parts=len(np.unique(names)),
        n_defects=int(labels.sum()),
        n_good_parts=len(np.unique(names[~labels])),
        n_defective_parts=len(np.unique(names[labels])),
        edge=_judge(said.edge, called, dataset, _localised(masks, found.edge_maps)),
        cloud=_judge(said.cloud, said.cloud.rejected, dataset, _localised(masks, found.cloud_maps)),
        system=system,
        groups=groups(dataset, masks, _passed(said, system)),
        escalated=unsure_pictures(found, labels, manifest.gate.gate),
        review_share=_review(manifest, said, found, dataset.parts),
        kind_accuracy=_kind_accuracy(manifest.classes, dataset, found.kinds),
        jpeg=Jpeg(float(np.median(found.jpeg))),
        novel_share=None if found.novel is None else float(found.novel.edge.mean()),
        certificate=describe(manifest.certificate) if manifest.certificate else None,
    )


def _review(
    manifest: Manifest, said: SampleVerdicts, found: Judgements, parts: Sequence[str]
) -> ReviewRates:
    everything = np.ones(len(parts), bool)
    held = part_rate(said.reviewed, everything, parts)
    certificate = manifest.certificate
    alone = None
    if certificate is not None and certificate.review is not None:
        review = certificate.review
        edge = Gate(review.pass_below, review.reject_from, 1.0, escalates=False)
        said = verdicts(edge, found.edge, found.cloud, found.novel)
        alone = part_rate(said.reviewed, everything, parts).rate
    return ReviewRates(
        with_cloud=held.wrong / held.parts,
        interval=exact_interval(held.wrong, held.parts),
        without_cloud=alone,
    )


def known_masks(dataset: Dataset, found: Judgements) -> Masks:
    """Defective pixels by sample's index: a mask of its own size; of a good part, an empty one.

    No masks at all where the data has none; a defective sample without one is left out.
    """
    if not dataset.has_masks:
        return {}
    masks: dict[int, NDArray[np.bool_]] = {}
    for index, sample in enumerate(dataset.samples):
        if sample.mask is not None:
            masks[index] = sample.mask.pixels(*found.sizes[index].tolist())
        elif not sample.defective:
            masks[index] = np.zeros(found.sizes[index], np.bool_)
    return masks


def _localised(masks: Masks, maps: Sequence[NDArray[np.float32]]) -> Localisation | None:
    watched = track(masks.items(), "comparing defect maps with masks", len(masks))
    return localise(MarkedMap(maps[index], mask) for index, mask in watched)


def _judge(
    view: JudgeVerdicts,
    called: NDArray[np.bool_],
    dataset: Dataset,
    pixels: Localisation | None = None,
) -> JudgeScore:
    """called: which samples count as called defective in the accuracy."""
    labels, parts = dataset.labels, dataset.parts
    escapes = part_rate(view.passed, labels, parts)
    overkill = part_rate(view.rejected, ~labels, parts)
    both = escapes.parts > 0 and overkill.parts > 0
    area = auroc(view.scores, labels) if both else None
    return JudgeScore(
        auroc=area,
        auroc_interval=(
            None if area is None else auroc_interval(area, escapes.parts, overkill.parts)
        ),
        average_precision=average_precision(view.scores, labels) if escapes.parts else None,
        accuracy=float((called == labels).mean()),
        escape_rate=_share(view.passed, labels),
        overkill_rate=_share(view.rejected, ~labels),
        escapes=escapes,
        overkill=overkill,
        at_overkill=_at_overkill(view, labels, parts),
        pixels=pixels,
    )


def _at_overkill(
    view: JudgeVerdicts, labels: NDArray[np.bool_], parts: Sequence[str]
) -> AtOverkill | None:
    threshold = threshold_at(view.movable, labels, OVERKILL)
    if threshold is None or not labels.any():
        return None
    passes = view.movable < threshold
    return AtOverkill(
        threshold=threshold,
        escape_rate=float(passes[labels].mean()),
        overkill_rate=float((~passes)[~labels].mean()),
        escapes=part_rate(passes, labels, parts),
    )


def _system(said: SampleVerdicts, dataset: Dataset, found: Judgements) -> System:
    sent = found.encoded[said.escalated]
    p50, p95 = np.percentile(sent, [50, 95]).tolist() if len(sent) else (None, None)
    return System(
        **msgspec.structs.asdict(_judge(said.system, said.system.rejected, dataset)),
        escalation_rate=float(said.escalated.mean()),
        bytes_per_part=float(sent.sum() / len(found.encoded)),
        bytes_per_escalation_p50=p50,
        bytes_per_escalation_p95=p95,
        sent_coarser=_share(found.coarseness > 1, said.escalated),
    )


def _passed(said: SampleVerdicts, system: System) -> PassMasks:
    moved = system.at_overkill
    return PassMasks(
        edge=said.edge.passed,
        cloud=said.cloud.passed,
        system=said.system.passed,
        system_at_overkill=None if moved is None else said.system.movable < moved.threshold,
    )


def _kind_accuracy(
    classes: Sequence[str], dataset: Dataset, kinds: NDArray[np.float32] | None
) -> float | None:
    if kinds is None:
        return None
    named = np.array(classes)[np.argmax(kinds, axis=1)]
    right = named == np.array([sample.defect for sample in dataset.samples])
    return _share(right, dataset.labels)


def _share(what: NDArray[np.bool_], among: NDArray[np.bool_]) -> float | None:
    return float(what[among].mean()) if among.any() else None
