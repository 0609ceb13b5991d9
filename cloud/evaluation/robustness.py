"""Every picture again, disturbed in every way, through head, codec, gate and tail."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset
from cloud.datasets.pictures import eight_bits_of
from cloud.evaluation.judgements import (
    HeadAnswer,
    Judgements,
    look,
    open_head,
    open_tail,
    tail_scores,
)
from cloud.evaluation.part_groups import PartGroups
from cloud.evaluation.verdicts import verdicts
from shared.bundles.bundle import Bundle
from shared.bundles.picture_head import PictureHead
from shared.bundles.robustness import (
    Adversary,
    Disturbance,
    Fate,
    GroupFate,
    Robustness,
    judge_of,
    worst_first,
)
from shared.certification.scores import NovelPictures
from shared.console import track
from shared.features.optics import Pixels
from shared.features.perturbations import PERTURBATIONS, Perturbation
from shared.features.transmission import received, weighed
from shared.format import iso

STRENGTHS = (1, 2, 3)
LADDER = tuple((kind, strength) for kind in PERTURBATIONS for strength in STRENGTHS)


class PictureScores(NamedTuple):
    """Of many pictures, arrays (n,), as in `Judgements`; the cloud's only where it is asked."""

    edge: NDArray[np.float64]
    cloud: NDArray[np.float64]
    novel: NovelPictures | None

    @classmethod
    def joined(cls, found: Sequence[PictureScores]) -> PictureScores:
        novel = [one.novel for one in found if one.novel is not None]
        return cls(
            np.concatenate([one.edge for one in found]),
            np.concatenate([one.cloud for one in found]),
            NovelPictures(
                np.concatenate([one.edge for one in novel]),
                np.concatenate([one.cloud for one in novel]),
            )
            if novel
            else None,
        )


class PictureJudge:
    """Box and cloud as they are shipped, opened once for many pictures.

    threads   of each backend; 0 lets it choose
    Raises RuntimeUnavailable where no backend runs the models.
    """

    def __init__(self, bundle: Bundle, runtime: str = "auto", threads: int = 0) -> None:
        self._bundle = bundle
        self._gate = bundle.manifest.gate.gate
        self._head = PictureHead.of(bundle, open_head(bundle, runtime, threads))
        self._tail = open_tail(bundle, runtime, threads)

    def look(self, pixels: Pixels) -> HeadAnswer:
        return look(self._bundle, self._head, pixels)

    def scores(self, seen: Sequence[HeadAnswer]) -> PictureScores:
        """What becomes of pictures that the head has seen; the tail is asked about what the gate
        sends up."""
        edge = np.array([one.edge for one in seen], np.float64)
        symbols = np.stack([one.symbols for one in seen])
        novelty = self._bundle.novelty
        novel = None
        if novelty is not None:
            strange = np.array([one.novel_to(novelty) for one in seen])
            # A picture in tiles with a novel one goes to a person, whatever the cloud would say.
            tiled = np.array([one.tile is not None for one in seen])
            novel = NovelPictures(strange, strange & tiled)
        cloud = np.full(len(seen), np.nan)
        sent = np.flatnonzero(verdicts(self._gate, edge, cloud, novel).escalated)
        if len(sent):
            coarseness = np.array([one.coarseness for one in seen])[sent]
            arrived = received(self._bundle.codec, symbols[sent], coarseness)
            cloud[sent] = weighed(self._gate, edge[sent], tail_scores(self._tail, arrived))
            if novelty is not None and novel is not None:
                novel.cloud[sent] |= novelty.novel(arrived)
        return PictureScores(edge, cloud, novel)


def measure_robustness(
    bundle: Bundle,
    dataset: Dataset,
    split: str,
    found: Judgements,
    *,
    runtime: str = "auto",
    threads: int = 0,
    seed: int = 0,
    adversary: Adversary | None = None,
    ladder: Sequence[tuple[Perturbation, int]] = LADDER,
) -> Robustness:
    """Judge every picture once for each disturbance.

    dataset   the samples of one split alone
    found     what was said of them undisturbed
    seed      of what is drawn; the same gives the same figures
    ladder    disturbances with their strengths; none leaves the undisturbed ones alone
    Takes about as long as `len(ladder)` evaluations. Raises DataError for a picture that can't be
    read, RuntimeUnavailable without a backend.
    """
    gate = bundle.manifest.gate.gate
    clean = PictureScores(found.edge, found.cloud, found.novel)
    disturbed = _disturbed(bundle, dataset, (runtime, threads), seed, ladder)
    view = PartGroups(dataset)

    def fates(scores: PictureScores) -> tuple[Fate, list[GroupFate]]:
        return view.fates(verdicts(gate, *scores), scores.novel)

    whole, groups = fates(clean)
    conditions = []
    for (kind, strength), scores in zip(ladder, disturbed, strict=True):
        fate, parts = fates(scores)
        amount = kind.amounts[strength - 1]
        conditions.append(Disturbance(kind.name, strength, amount, kind.unit, fate, parts))
    return Robustness(
        judge=judge_of(bundle.manifest),
        measured=iso(),
        data=dataset.name,
        data_hash=dataset.content_hash(),
        split=split,
        pictures=len(dataset.samples),
        seed=seed,
        clean=whole,
        groups=groups,
        smaller=view.smaller,
        conditions=worst_first(conditions),
        adversary=adversary,
    )


def _disturbed(
    bundle: Bundle,
    dataset: Dataset,
    backend: tuple[str, int],
    seed: int,
    ladder: Sequence[tuple[Perturbation, int]],
) -> list[PictureScores]:
    """By disturbance, over all pictures: each is read once, and none is kept."""
    if not ladder:
        return []
    judge, settings = PictureJudge(bundle, *backend), bundle.manifest.input.pixels
    rows = []
    for sample in track(dataset.samples, f"disturbing in {len(ladder)} ways"):
        pixels = eight_bits_of(sample.image, settings)
        seen = [judge.look(kind.on(pixels, strength, seed)) for kind, strength in ladder]
        rows.append(judge.scores(seen))
    return [
        PictureScores.joined([_only(row, index) for row in rows]) for index in range(len(ladder))
    ]


def _only(scores: PictureScores, index: int) -> PictureScores:
    chosen = slice(index, index + 1)
    novel = scores.novel
    return PictureScores(
        scores.edge[chosen],
        scores.cloud[chosen],
        None if novel is None else NovelPictures(novel.edge[chosen], novel.cloud[chosen]),
    )


def by_kind(found: Robustness) -> dict[str, list[Disturbance]]:
    """In the order of PERTURBATIONS, each from the mildest on."""
    held: dict[str, list[Disturbance]] = defaultdict(list)
    for one in found.conditions:
        held[one.kind].append(one)
    return {
        kind.name: sorted(held[kind.name], key=lambda one: one.strength)
        for kind in PERTURBATIONS
        if kind.name in held
    }
