"""A training on tiles, to its bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cloud.datasets.dataset import Dataset
from cloud.evaluation.judgements import judge
from cloud.experiments.experiment_log import UnkeptLog
from cloud.training.bundle_training import BundleOrder, train_bundle
from cloud.training.options import Options
from shared.features.pixel_settings import PixelSettings
from shared.splitnet.network import Architecture
from tests.cloud.training.test_tiles import TILES, scene

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("good_only", [False, True])
def test_a_bundle_of_tiles_judges_whole_pictures(tmp_path: Path, *, good_only: bool) -> None:
    rows = [
        scene(tmp_path, f"{split}{n}", *[(50, 20 + 5 * n, 12, 12)] * (n % 2))
        for split, count in (("train", 20), ("calibrate", 12))
        for n in range(count)
    ]
    samples = [replace(one, split="train" if n < 20 else "calibrate") for n, one in enumerate(rows)]
    dataset = Dataset("scenes", "none", tuple(samples))
    options = Options(
        architecture=Architecture(height=64, width=64),
        epochs=1,
        tail_epochs=1,
        bottleneck_epochs=1,
        pixels=PixelSettings(depth=8, tiles=TILES.tiles),
    )
    run = tmp_path / "run"
    order = BundleOrder(dataset, options, run, tmp_path / "bundle", "tiles", "1.0.0", good_only)
    bundle = train_bundle(order, UnkeptLog(), resume=False)
    assert bundle.manifest.input.pixels.tiles == TILES.tiles
    found = judge(bundle, dataset.of("calibrate"))
    assert (found.spoke >= 0).all()
    assert len(found.summaries) == 12 * 12
    assert {one.shape for one in found.edge_maps} == {(20, 26)}
    assert found.encoded.max() <= bundle.manifest.features.cap_bytes
