"""Judges the labels of a data set by what a bundle makes of its pictures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.account import Account
from cloud.datasets.dataset import GOOD, Dataset
from cloud.datasets.glances import glance
from cloud.datasets.likeness import group_near_identical
from cloud.disputes.confidence import disputed_labels, out_of_fold
from cloud.disputes.label_quality import (
    DisputedLabel,
    JudgedBy,
    LabelErrors,
    LabelQuality,
    UnequalTwins,
)
from cloud.disputes.lineage import LineOrigins
from cloud.disputes.opinion_agreement import opinion_agreement
from shared.certification.ranking import auroc
from shared.errors import DataError
from shared.features.novelty import summary

DEFECTIVE = "defective"


@dataclass(frozen=True, slots=True)
class LabelEvidence:
    """What a bundle makes of each sample, in order.

    scores   how surely it is defective, 0–1, (n,)
    symbols  the head's, int8 (n, channels, height, width)
    learned  whether the bundle has learned from it, bool (n,)
    """

    scores: NDArray[np.floating]
    symbols: NDArray[np.int8]
    learned: NDArray[np.bool_]


def label_quality(
    dataset: Dataset,
    evidence: LabelEvidence,
    *,
    bundle: str,
    origins: LineOrigins | None = None,
    seed: int = 0,
) -> LabelQuality:
    """Judge the labels of all samples.

    A bundle remembers labels that it has learned from: of those parts other parts are asked. Of
    the rest whoever tells good from defective better is: the bundle, or other parts' features.
    Raises DataError where a picture can't be read.
    """
    found = origins or LineOrigins({})
    ranked: list[tuple[float, DisputedLabel]] = []
    notes: list[str] = []
    judged = dict.fromkeys(("bundle", "other parts"), 0)
    for learned in (False, True):
        places = np.flatnonzero(evidence.learned == learned)
        if not len(places):
            continue
        which = "bundle learned from" if learned else "bundle has not learned from"
        given = dataset.labels[places]
        try:
            scores, name = _scores(dataset, evidence, places, seed, learned=learned)
        except DataError as error:
            notes.append(f"{len(places)} pictures that the {which}: {error.message}")
            continue
        if given.all() or not given.any():
            notes.append(
                f"all {len(places)} pictures that the {which} have one label: none is disputed"
            )
        judged[name] += len(places)
        for place in disputed_labels(given, scores):
            score = float(scores[place])
            margin = score if given[place] else 1 - score
            ranked.append((margin, _row(dataset, int(places[place]), score, name, found)))
    disputed = [row for _, row in sorted(ranked, key=lambda one: one[0])]
    return LabelQuality(
        data=dataset.name,
        bundle=bundle,
        pictures=len(dataset.samples),
        learned=int(evidence.learned.sum()),
        by_bundle=judged["bundle"],
        by_other_parts=judged["other parts"],
        disputed=disputed,
        errors=_errors(dataset, disputed),
        twins=unequal_twins(dataset),
        agreement=opinion_agreement(found.opinions),
        notes=notes,
    )


def unequal_twins(dataset: Dataset) -> list[UnequalTwins]:
    """Near-identical pictures that carry different labels. Raises DataError for one unreadable."""
    images, account = [sample.image for sample in dataset.samples], Account()
    seen = glance(images, account)
    account.close(())
    groups: dict[int, list[int]] = defaultdict(list)
    for place, name in enumerate(group_near_identical(images, seen).labels.tolist()):
        groups[name].append(place)
    twins = []
    for places in groups.values():
        samples = [dataset.samples[place] for place in places]
        if len({one.defect for one in samples}) > 1:
            twins.append(
                UnequalTwins(
                    [str(one.image) for one in samples],
                    [one.defect for one in samples],
                    [one.split for one in samples],
                )
            )
    return twins


def _errors(dataset: Dataset, disputed: Sequence[DisputedLabel]) -> list[LabelErrors]:
    carried = Counter(sample.defect for sample in dataset.samples)
    found = Counter((one.given, one.suggested) for one in disputed)
    return [
        LabelErrors(given, suggested, count, carried[given])
        for (given, suggested), count in found.most_common()
    ]


def _scores(
    dataset: Dataset,
    evidence: LabelEvidence,
    places: NDArray[np.intp],
    seed: int,
    *,
    learned: bool,
) -> tuple[NDArray[np.floating], JudgedBy]:
    """The scores of those who know the labels better, of those who have not learned them."""
    given = dataset.labels[places]
    parts = [dataset.samples[int(place)].part for place in places]
    own = evidence.scores[places]
    try:
        others = out_of_fold(summary(evidence.symbols[places]), given, parts, seed)
    except DataError:
        if learned:
            raise
        return own, "bundle"
    if learned or auroc(others, given) > auroc(own, given):
        return others, "other parts"
    return own, "bundle"


def _row(
    dataset: Dataset, place: int, score: float, name: JudgedBy, origins: LineOrigins
) -> DisputedLabel:
    sample = dataset.samples[place]
    return DisputedLabel(
        image=str(sample.image),
        part=sample.part,
        split=sample.split,
        domain=sample.domain,
        given=sample.defect,
        suggested=GOOD if sample.defective else DEFECTIVE,
        score=score,
        judged_by=name,
        origin=origins.of(sample.image),
    )
