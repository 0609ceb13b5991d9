"""What the network was never shown, from the camera to the cloud's answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cloud.evaluation.novelty import fit_novelty
from cloud.inference.tail import LoadedTail, open_tail
from cloud.records.database import Database
from edge.inspection.inspector import Inspector
from hardware_sim.line.drawing.parts import DrawingSettings, DrawnParts
from hardware_sim.line.drawing.surface import SurfaceName
from shared.bundles.bundle import Bundle, amend_bundle
from shared.bundles.manifest import HEAD
from shared.contracts import Decision, Finding, Frame
from shared.errors import BundleError
from shared.features.novelty import NOVELTY, Novelty, summary
from shared.runtime.base import open_runtime
from shared.runtime.settings import RuntimeSettings
from tests.bundles import knowing
from tests.cloud.inference.test_intake import Plant
from tests.cloud.inference.test_noise import PICTURES, SHIPPED
from tests.cloud.makers import escalation

Pixels = NDArray[np.uint8]
ONNX = RuntimeSettings(name="onnx")


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return Bundle.open(SHIPPED)


@pytest.fixture(scope="module")
def box(shipped: Bundle) -> Inspector:
    manifest = shipped.manifest
    head = open_runtime("onnx", shipped.read(HEAD))
    return Inspector(head, shipped.codec, manifest.gate.gate, manifest.input.shape, shipped.novelty)


@pytest.fixture(scope="module")
def cloud(shipped: Bundle) -> LoadedTail:
    return open_tail(shipped, ONNX, max_batch=1)


def look(box: Inspector, pixels: Pixels) -> Finding:
    return box.look(Frame(np.ascontiguousarray(pixels), 1, 0.0, 0.0))


def ends(box: Inspector, cloud: LoadedTail, pixels: Pixels) -> str:
    """The verdict of one picture, as box and cloud come to it."""
    finding = look(box, pixels)
    if finding.decision is not Decision.ESCALATE:
        return str(finding.decision)
    sent = cloud.codec.encode_within(finding.symbols, cloud.bundle.manifest.features.cap_bytes)
    arrived = cloud.codec.decode(sent.body, sent.coarseness)
    tail = float(cloud.run(arrived[np.newaxis]).scores[0])
    return cloud.conclude(arrived, cloud.gate.cloud_score(finding.score, tail))


def drawn(surface: SurfaceName, numbers: Iterable[int]) -> list[Pixels]:
    """Good and defective parts of one product."""
    parts = DrawnParts(DrawingSettings(surface=surface, height=224, width=224), seed=0)
    return [parts.part(number, rate=0.5).pixels for number in numbers]


@pytest.mark.parametrize("surface", get_args(SurfaceName))
def test_parts_of_another_product_go_to_review(
    box: Inspector, cloud: LoadedTail, surface: SurfaceName
) -> None:
    found = [ends(box, cloud, pixels) for pixels in drawn(surface, range(1, 21))]
    assert found.count("review") >= 0.95 * len(found)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_of_nothing_go_to_review(box: Inspector, cloud: LoadedTail, name: str) -> None:
    assert ends(box, cloud, PICTURES[name]) == "review"


@pytest.fixture(scope="module")
def metal(box: Inspector) -> Novelty:
    """For a product that is drawn, as if the head had been trained on its first parts."""
    symbols = np.stack([look(box, pixels).symbols for pixels in drawn("metal", range(1, 241))])
    found = summary(symbols)
    return fit_novelty(found[:120], found[120:], np.arange(120), 0.05, "0" * 16)


ALTERED: dict[str, Callable[[Pixels], Pixels]] = {
    "as it is": lambda pixels: pixels,
    "blurred": lambda pixels: np.asarray(cv2.GaussianBlur(pixels, (0, 0), 9), np.uint8),
    "a lamp that is dead": lambda pixels: pixels // 16,
    "a camera that was turned": lambda pixels: np.asarray(np.rot90(pixels), np.uint8),
}


@pytest.mark.parametrize("how", ALTERED)
def test_what_the_camera_should_not_show_is_novel_and_a_part_as_usual_is_not(
    box: Inspector, metal: Novelty, how: str
) -> None:
    parts = drawn("metal", range(301, 401))
    novel = [look(box, ALTERED[how](one)).symbols for one in parts]
    share = float(metal.novel(np.stack(novel)).mean())
    assert share <= 0.12 if how == "as it is" else share >= 0.95


def test_a_box_without_a_cloud_reviews_what_is_novel(shipped: Bundle, box: Inspector) -> None:
    head = open_runtime("onnx", shipped.read(HEAD))
    gate = replace(shipped.manifest.gate.gate, escalates=False)
    alone = Inspector(head, shipped.codec, gate, shipped.manifest.input.shape, shipped.novelty)
    for pixels in PICTURES.values():
        assert look(alone, pixels).decision is Decision.REVIEW
        assert look(box, pixels).decision is Decision.ESCALATE


@pytest.mark.parametrize("level", [-2, 2])
def test_the_cloud_looks_again_at_what_arrived(
    tmp_path: Path, database: Database, bundle: Bundle, level: int
) -> None:
    strange = knowing(bundle, tmp_path / "knowing", 200, 250)
    plant = Plant(database, open_tail(strange, ONNX))
    plant.escalate(escalation(strange, 1, level=level))
    plant.work()
    ((answer, _),) = plant.verdicts
    # A box of an earlier version reads a reject.
    assert (answer.verdict, answer.ruling, answer.defect) == ("reject", "review", "")
    usual = knowing(bundle, tmp_path / "usual", 60, 200)
    plant = Plant(database, open_tail(usual, ONNX))
    plant.escalate(escalation(usual, 2, level=level))
    plant.work()
    assert plant.verdicts[0][0].ruling == ("pass" if level < 0 else "reject")


def test_a_tail_is_not_served_with_numbers_that_do_not_hold_together(
    tmp_path: Path, bundle: Bundle
) -> None:
    broken = amend_bundle(bundle, {}, tmp_path / "broken", {NOVELTY: b"words"})
    with pytest.raises(BundleError, match=r"novelty\.npz can't be read"):
        open_tail(broken, ONNX)
