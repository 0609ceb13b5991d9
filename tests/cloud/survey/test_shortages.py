"""What is too little in a data set is told before anybody trains on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.datasets.dataset import SPLITS, Dataset
from cloud.datasets.partition import Division
from cloud.datasets.readers import read
from cloud.survey.shortages import doubts, require_trainable, shortages
from shared.errors import DataError
from tests.cloud.datasets.makers import good_and_bad, part, sample, save


def of(*rows: tuple[str, float]) -> Dataset:
    """Samples without pictures, by split and target."""
    found = tuple(
        sample(Path(f"/{n}.png"), part=str(n), split=split, target=target)
        for n, (name, target) in enumerate(rows)
        for split in SPLITS
        if split == name
    )
    return Dataset("made up", "none", found)


def test_splits_and_kinds_that_lack_something_are_named() -> None:
    told = shortages(of(("train", 0), ("train", 1), ("calibrate", 0), ("test", 0)))
    assert "calibrate has no defective part" in told
    assert "test has no defective part" in told
    assert "blot (1 pictures) is not in calibrate and test" in told


def test_a_gate_of_few_defects_is_told_and_one_of_many_is_not() -> None:
    few = [("calibrate", 1.0)] * 3
    assert any("chosen on 3 defective parts" in text for text in shortages(of(*few)))
    assert not any("chosen on" in text for text in shortages(of(*few * 5)))


def test_a_set_that_another_seed_divides_well_names_it(tmp_path: Path) -> None:
    good_and_bad(tmp_path, 12, 0)
    for kind in range(10):
        for number in range(3):
            seed = 1000 + 10 * kind + number
            save(tmp_path / f"kind-{kind}" / f"{number}.png", part(seed, defective=True))
    bad = {s.part for s in read(str(tmp_path)).samples if s.defective}
    poor = next(
        seed
        for seed in range(1000)
        if not any(Division(seed).split(part) == "calibrate" for part in bad)
    )
    dataset = read(str(tmp_path), seed=poor)
    with pytest.raises(DataError, match=r"calibrate has no defective part.*--seed (\d+)") as caught:
        require_trainable(dataset, good_only=False, seed=poor)
    better = int(str(caught.value).rpartition(" ")[2])
    require_trainable(read(str(tmp_path), seed=better), good_only=False, seed=better)


def test_good_parts_alone_need_to_be_asked_for(tmp_path: Path) -> None:
    dataset = read(str(good_and_bad(tmp_path, 20, 0)))
    with pytest.raises(DataError, match="--good-only"):
        require_trainable(dataset, good_only=False, seed=0)
    require_trainable(dataset, good_only=True, seed=0)


def test_a_bundle_that_tells_nothing_apart_is_doubted_by_name() -> None:
    calibrate = of(*[("calibrate", 1.0)] * 3, ("calibrate", 0.0))
    assert doubts(calibrate, {"edge": 0.0, "cloud": 0.9}) == [
        "its gate was chosen on 3 defective parts: more would move it",
        "the edge tells good from defective hardly better than chance (AUROC 0.00)",
    ]
    assert doubts(of(*[("calibrate", 1.0)] * 10), {"edge": 0.9, "cloud": 0.9}) == []
    assert len(doubts(of(*[("calibrate", 1.0)] * 10), {"edge": float("nan")})) == 1
