"""How disturbed pictures fare, in words and as examples, for the terminal and for the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from cloud.datasets.dataset import Dataset
from cloud.datasets.pictures import eight_bits_of
from cloud.evaluation.robustness import by_kind
from cloud.evaluation.tables import Words
from shared.bundles.bundle import Bundle
from shared.bundles.robustness import (
    Adversary,
    Answers,
    CountedParts,
    Disturbance,
    Fate,
    GroupFate,
    Robustness,
)
from shared.features.optics import Pixels
from shared.features.perturbations import PERTURBATIONS, READ_NOISE
from shared.format import NONE, decimal, percent

MIDDLE = 2
NUMBERED = frozenset({"line", "lot"})
"""Groups whose name alone says little."""
SIDE = 176


class DisturbedPicture(NamedTuple):
    """One picture under one disturbance: BGR or grey uint8, at most SIDE high and wide."""

    condition: Disturbance
    pixels: Pixels


def examples(bundle: Bundle, dataset: Dataset, found: Robustness) -> list[list[DisturbedPicture]]:
    """The first defective sample, else the first, under each kind: a row each, by strength.

    Raises DataError where it can't be read.
    """
    samples, kinds = dataset.samples, by_kind(found)
    shown = next((sample for sample in samples if sample.defective), samples[0])
    pixels = eight_bits_of(shown.image, bundle.manifest.input.pixels)
    return [
        [
            DisturbedPicture(c, _small(kind.on(pixels, c.strength, found.seed)))
            for c in kinds[kind.name]
        ]
        for kind in PERTURBATIONS
        if kind.name in kinds
    ]


def disturbed(found: Robustness) -> Words:
    """Every disturbance, the worst first."""
    whole = found.clean
    names = (
        "disturbance",
        f"escapes\nof {whole.escapes.parts}",
        f"overkill\nof {whole.overkill.parts}",
        f"review\nof {whole.reviewed.parts}",
        "escalated",
    )

    def row(title: str, fate: Fate) -> dict[str, str]:
        shares = (fate.escapes, fate.overkill, fate.reviewed)
        cells = (title, *map(counted_shortly, shares), percent(fate.escalated))
        return dict(zip(names, cells, strict=True))

    return Words(
        "Disturbed pictures, the worst first",
        "Parts by edge, gate and cloud together, and the 95 % interval of their share. "
        "“Side”: the picture's shorter one. Noise is shot noise of the light and "
        f"{READ_NOISE:g} electrons of reading (EMVA 1288). Lamp and specks are the same for all "
        "pictures, other draws are each picture's own. Gate and thresholds stay as they are.",
        [row("none", whole), *(row(c.title, c.fate) for c in found.conditions)],
    )


def grouped(found: Robustness) -> Words:
    """Each group undisturbed, and under what hurts it most; no rows without groups."""
    return Words(
        "By domain, line, lot and kind of defect",
        "The worst of the disturbances of middle strength, for escapes and for overkill. In "
        "brackets what it is." + _smaller(found),
        [_group(found, index, group) for index, group in enumerate(found.groups)],
    )


def _smaller(found: Robustness) -> str:
    """What is not shown; empty where all is."""
    told = ", ".join(f"{count} by {by}" for by, count in found.smaller.items())
    return f" Not shown are the groups of the fewest parts: {told}." if told else ""


def _group(found: Robustness, index: int, group: GroupFate) -> dict[str, str]:
    middle = [c for c in found.conditions if c.strength == MIDDLE]
    fates = [(c.kind, c.groups[index].fate) for c in middle]

    def worst(shares: Sequence[tuple[str, CountedParts]]) -> str:
        if not shares or not shares[0][1].parts:
            return NONE
        kind, share = max(shares, key=lambda one: one[1].rate)
        return f"{_of(share)} ({kind})"

    return {
        "group": f"{group.by} {group.name}" if group.by in NUMBERED else group.name,
        "escapes": _of(group.fate.escapes),
        "at worst": worst([(kind, fate.escapes) for kind, fate in fates]),
        "overkill": _of(group.fate.overkill),
        "its worst": worst([(kind, fate.overkill) for kind, fate in fates]),
    }


def altered(found: Adversary) -> Words:
    """Defective pictures that are sent up, with symbols that somebody moved."""

    def row(name: str, said: Answers, lowered: float) -> dict[str, str]:
        return {
            "symbols": name,
            "passed": str(said.passed),
            "reviewed": str(said.reviewed),
            "of these novel": str(said.novel),
            "rejected": str(said.rejected),
            "score": decimal(said.score),
            "lowered": decimal(lowered),
        }

    return Words(
        "What is sent, altered by one step",
        f"The {found.pictures} defective pictures that are sent up. “By gradient”: projected "
        f"gradient descent on the tail's score, {found.steps} steps, that looks no more novel than "
        f"is allowed; it moves {percent(found.changed)} of the symbols. “By chance”: the same "
        f"symbols up or down, the worst of {found.steps} draws for each picture. “Of these novel”: "
        "would pass, were they not unlike anything seen. Score: the tail's own, median; lowered: "
        "by how much, median. The head's score, which the cloud weighs too, stays as it is.",
        [
            row("as sent", found.sent, 0.0),
            row("by chance", found.chance, found.by_chance),
            row("by gradient", found.worst, found.lowered),
        ],
    )


def tables(found: Robustness) -> list[Words]:
    """All that have rows."""
    shown = [disturbed(found), grouped(found)] if found.conditions else []
    if found.adversary is not None:
        shown.append(altered(found.adversary))
    return [table for table in shown if table.rows]


def counted_shortly(found: CountedParts) -> str:
    """`12, 5–16 %`."""
    if not found.parts:
        return NONE
    return f"{found.wrong}, {found.low * 100:.0f}–{found.high * 100:.0f} %"


def _of(found: CountedParts) -> str:
    return f"{found.wrong} of {found.parts}" if found.parts else NONE


def _small(pixels: Pixels) -> Pixels:
    scale = SIDE / max(pixels.shape[:2])
    height, width = (max(1, round(length * scale)) for length in pixels.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=how), np.uint8)
