"""A box and an evaluation make the same of a file, whatever the bundle says of its pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cloud.datasets.dataset import Dataset
from cloud.evaluation.judgements import judge
from edge.camera.checks import checked
from edge.camera.folder import FolderCamera, FolderSettings
from edge.inspection.inspector import Inspector
from edge.inspection.model import LiveModel
from edge.pictures.maps import SecondHead
from shared.bundles.bundle import Bundle, amend_bundle
from shared.bundles.manifest import HEAD
from shared.clock import ManualClock
from shared.contracts import Frame
from shared.runtime.base import open_runtime
from tests.bundles import make_bundle
from tests.cloud.datasets.makers import sample

SIDE = 64
LEFT = {"crop": (0, 0, 0.5, 1)}
SLANTED = {"corners": ((0.1, 0.1), (0.6, 0.2), (0.55, 0.9), (0.05, 0.8)), "turn": 90}
SAID: dict[str, tuple[dict[str, Any], Any]] = {
    "8 bits": ({}, np.uint8),
    "12 bits": ({"depth": 12}, np.uint16),
    "half of it": (LEFT, np.uint8),
    "12 bits, slanted": ({"depth": 12, **SLANTED}, np.uint16),
    "a mosaic": ({"bayer": "gb"}, np.uint8),
    "in tiles": ({"tiles": {"height": 48, "width": 64, "overlap": 8}}, np.uint8),
    "slanted, in tiles": (
        {"tiles": {"height": 32, "width": 32, "overlap": 4}, **SLANTED},
        np.uint8,
    ),
    "something ignored": ({"ignored": [((0.5, 0), (1, 0), (1, 1), (0.5, 1))]}, np.uint8),
}


def saying(folder: Path, said: dict[str, Any]) -> Bundle:
    """The tiny bundle, as if it had been trained on such pictures."""
    bundle = make_bundle(folder / "tiny")
    spec = bundle.manifest.input.model_dump() | {"pixels": said}
    return amend_bundle(bundle, {"input": spec}, folder / "said")


def inspector(bundle: Bundle) -> Inspector:
    manifest = bundle.manifest
    head = open_runtime("onnx", bundle.read(HEAD))
    seen = manifest.input
    return Inspector(head, bundle.codec, manifest.gate.gate, seen.shape, pixels=seen.pixels)


def halves() -> NDArray[np.uint8]:
    """Dark on the left, bright on the right."""
    pixels = np.full((90, 120), 40, np.uint8)
    pixels[:, 60:] = 220
    return pixels


@pytest.mark.parametrize(("said", "kind"), SAID.values(), ids=SAID.keys())
def test_a_box_and_an_evaluation_see_the_same_of_a_file(
    tmp_path: Path, said: dict[str, Any], kind: Any
) -> None:
    bundle = saying(tmp_path, said)
    noise = np.random.default_rng(0).integers(60, 180, (90, 120)).astype(kind)
    path = tmp_path / "0.png"
    assert cv2.imwrite(str(path), noise << 4 if kind == np.uint16 else noise)
    (event,) = FolderCamera(FolderSettings(path=tmp_path), ManualClock()).frames(1, 0.5)
    frame = checked(event, 1, 0.0, 0.5, LiveModel.of(bundle, inspector(bundle), "onnx").pixels)
    assert isinstance(frame, Frame)
    assert frame.pixels.dtype == np.uint8
    box = inspector(bundle).look(frame)
    found = judge(bundle, Dataset("one", "none", (sample(path, part="a"),)), "onnx")
    assert float(found.edge[0]) == box.score
    np.testing.assert_array_equal(found.symbols[0], box.symbols)


def test_a_map_is_laid_over_the_whole_picture_and_says_nothing_of_what_was_cut_off(
    tmp_path: Path,
) -> None:
    bundle = saying(tmp_path, {"crop": (0.5, 0, 1, 1)})
    model = LiveModel.of(bundle, inspector(bundle), "onnx")
    kept = cv2.imencode(".png", halves())[1].tobytes()
    seen = SecondHead(lambda: model, ManualClock()).look(kept)
    assert seen.pixels.shape == (90, 120)
    assert seen.defect_map.shape == (8, 16)
    assert seen.defect_map[:, :7].max() == 0
    assert seen.defect_map[:, 9:15].min() > 0
