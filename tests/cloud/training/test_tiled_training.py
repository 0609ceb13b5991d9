"""A training on tiles, to its bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cloud.datasets.dataset import Dataset
from cloud.datasets.pictures import load_pictures
from cloud.evaluation.judgements import judge
from cloud.experiments.experiment_log import UnkeptLog
from cloud.training.bundle_training import BundleOrder, train_bundle
from cloud.training.good_only import learn_from
from cloud.training.options import Options
from shared.features.pixel_settings import PixelSettings
from shared.splitnet.network import Architecture
from tests.cloud.training.test_tiles import TILES, scene

pytestmark = pytest.mark.torch


def scenes(folder: Path) -> Dataset:
    """Every second part is defective; eight to train with and six to calibrate."""
    rows = [
        replace(
            scene(folder, str(n), *[(50, 20 + 5 * n, 12, 12)] * (n % 2)),
            split="train" if n < 8 else "calibrate",
        )
        for n in range(14)
    ]
    return Dataset("scenes", "none", tuple(rows))


def options() -> Options:
    return Options(
        architecture=Architecture(height=64, width=64),
        epochs=1,
        tail_epochs=1,
        bottleneck_epochs=1,
        pixels=PixelSettings(depth=8, tiles=TILES.tiles),
    )


def test_a_bundle_of_tiles_judges_whole_pictures(tmp_path: Path) -> None:
    dataset = scenes(tmp_path)
    where = tmp_path / "run", tmp_path / "bundle"
    order = BundleOrder(dataset, options(), *where, "tiles", "1.0.0")
    bundle = train_bundle(order, UnkeptLog(), resume=False)
    assert bundle.manifest.input.pixels.tiles == TILES.tiles
    found = judge(bundle, dataset.of("calibrate"))
    assert (found.spoke >= 0).all()
    assert len(found.summaries) == 6 * 12
    assert {one.shape for one in found.edge_maps} == {(20, 26)}
    assert found.encoded.max() <= bundle.manifest.features.cap_bytes


def test_defects_are_painted_on_tiles_of_good_parts(tmp_path: Path) -> None:
    goods = replace(
        scenes(tmp_path),
        samples=tuple(
            replace(scene(tmp_path, str(n)), split="train" if n < 10 else "calibrate")
            for n in range(15)
        ),
    )
    learned = learn_from(goods, options(), tmp_path / "run").of("calibrate")
    painted = [one for one in learned.samples if one.prepared]
    assert len(painted) == len(learned.samples) - len(painted) == 5 * 12
    found = load_pictures(learned, (1, 64, 64), tmp_path / "cache", options().pixels)
    assert found.inputs.shape == (5 * 24, 1, 64, 64)
    assert [bool(mask.any()) for mask in found.masks] == [one.prepared for one in learned.samples]
