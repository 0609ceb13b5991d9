"""What is too little in a data set: told before hours of training, refused where it is nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from cloud.datasets.dataset import GOOD, SPLITS, Dataset, Split
from cloud.datasets.partition import Division
from shared.errors import DataError

FEWEST = 10
"""Defective parts to choose a gate by, below which one part more or less moves it by 10 %."""
CHANCE = 0.6
SEEDS = 200


def shortages(dataset: Dataset) -> list[str]:
    """What is few or rare, each in a sentence."""
    return [*_by_split(dataset), *_by_kind(dataset)]


def doubts(calibrate: Dataset, aurocs: Mapping[str, float]) -> list[str]:
    """Why a trained bundle may be of no use, each in a sentence.

    calibrate   the samples by which its gate was chosen
    aurocs      of each judge on these, 0–1; not a number where they have one label only
    """
    count = len(_parts(calibrate, "calibrate", defective=True))
    found = []
    if count < FEWEST:
        found.append(f"its gate was chosen on {count} defective parts: more would move it")
    found += [
        f"the {judge} tells good from defective hardly better than chance (AUROC {area:.2f})"
        for judge, area in aurocs.items()
        if not area > CHANCE
    ]
    return found


def require_trainable(dataset: Dataset, *, good_only: bool, seed: int) -> None:
    """Raises DataError where a split lacks what training or the gate needs, with what would do."""
    lacking = [
        f"{split} has no {'defective' if wanted else 'good'} part"
        for split in ("train", "calibrate")
        for wanted in ((False,) if good_only else (False, True))
        if not _parts(dataset, split, defective=wanted)
    ]
    if not lacking:
        return
    better = _seed_that_divides(dataset, seed, good_only=good_only)
    advice = f"divide it with --seed {better}" if better is not None else "photograph more parts"
    if not any(sample.defective for sample in dataset.samples):
        advice = "add defective parts, or learn from good parts alone by --good-only"
    raise DataError(f"{dataset.name} can't be trained on: {', '.join(lacking)}", fix=advice)


def _by_split(dataset: Dataset) -> Iterator[str]:
    for split in SPLITS:
        for wanted, name in ((False, "good"), (True, "defective")):
            count = len(_parts(dataset, split, defective=wanted))
            if count == 0:
                yield f"{split} has no {name} part"
            elif wanted and split == "calibrate" and count < FEWEST:
                yield f"the gate is chosen on {count} defective parts; {FEWEST} are few already"


def _by_kind(dataset: Dataset) -> Iterator[str]:
    for kind in dataset.classes:
        there = Counter(s.split for s in dataset.samples if s.defect == kind)
        lacking = [split for split in SPLITS if not there[split]]
        if lacking:
            yield f"{kind} ({sum(there.values())} pictures) is not in {' and '.join(lacking)}"


def _parts(dataset: Dataset, split: Split, *, defective: bool) -> set[str]:
    return {s.part for s in dataset.samples if s.split == split and (s.defect != GOOD) == defective}


def _seed_that_divides(dataset: Dataset, seed: int, *, good_only: bool) -> int | None:
    """The first seed by which every split has what it needs; None: none has, or nothing does."""
    defective = {s.part: s.defective for s in sorted(dataset.samples, key=lambda s: s.defective)}
    divided = {s.part: s.split for s in dataset.samples}
    usual = Division(seed)
    if any(usual.split(part) != split for part, split in divided.items()):
        return None
    for other in range(SEEDS):
        division = Division(other)
        found = {(division.split(part), bad) for part, bad in defective.items()}
        if all((split, bad) in found for split in SPLITS for bad in {False, not good_only}):
            return other
    return None
