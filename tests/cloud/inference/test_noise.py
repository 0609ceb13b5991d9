"""Pictures of nothing, from the camera to the answer: what is sent stays within the cap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from cloud.inference.tail import LoadedTail, open_tail
from cloud.records.database import Database
from edge.inspection.inspector import Inspector
from shared.bundles.bundle import Bundle, write_bundle
from shared.bundles.manifest import HEAD
from shared.certification.gate import Gate
from shared.contracts import InspectionKey
from shared.runtime.base import open_runtime
from shared.runtime.settings import RuntimeSettings
from shared.wire import Escalation, decode
from tests.bundles import GOOD
from tests.cloud.inference.test_intake import Plant
from tests.cloud.makers import DEVICE
from tests.edge.rigs import ADDRESS, Rig
from tests.shared.features.test_codec import as_sent

SHIPPED = Path(__file__).parents[3] / "bundles" / "elpv"
SIZE = (224, 224)
UNSURE = Gate(0.0, 2.0, 0.5)
"""Escalates whatever the score."""


def pictures() -> dict[str, NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    found = {
        "uniform noise": rng.integers(0, 256, SIZE),
        "black and white noise": rng.integers(0, 2, SIZE) * 255,
        "shot noise in the dark": rng.poisson(2, SIZE),
        "shot noise": rng.poisson(60, SIZE) * 2,
        "saturated": np.full(SIZE, 255),
        "a covered lens": np.zeros(SIZE),
        "a chessboard": np.indices(SIZE).sum(axis=0) // 8 % 2 * 255,
        "blocks": np.kron(rng.integers(0, 2, (14, 14)) * 255, np.ones((16, 16))),
    }
    return {name: np.clip(pixels, 0, 255).astype(np.uint8) for name, pixels in found.items()}


PICTURES = pictures()


class Box(NamedTuple):
    """A box with the shipped bundle that escalates every part, and the cap of its features."""

    rig: Rig
    inspector: Inspector
    cap: int


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return Bundle.open(SHIPPED)


@pytest.fixture(scope="module")
def served(shipped: Bundle) -> LoadedTail:
    return open_tail(shipped, RuntimeSettings(name="onnx"), max_batch=1)


@pytest.fixture(scope="module")
def inspector(shipped: Bundle) -> Inspector:
    runtime = open_runtime("onnx", shipped.read(HEAD))
    return Inspector(runtime, shipped.codec, UNSURE, shipped.manifest.input.shape)


def capped(bundle: Bundle, path: Path, cap: int) -> Bundle:
    """The same bundle, of the same pair, with another cap."""
    fields = bundle.manifest.model_dump(mode="json", exclude={"files"})
    fields["features"]["cap_bytes"] = cap
    return write_bundle(path, fields, {name: bundle.read(name) for name in bundle.manifest.files})


@pytest.fixture(params=[64, 512, None])
def box(
    request: pytest.FixtureRequest, shipped: Bundle, inspector: Inspector, tmp_path: Path
) -> Iterator[Box]:
    """With caps that noise exceeds, and as shipped."""
    bundle = capped(shipped, tmp_path / "bundle", request.param) if request.param else shipped
    rig = Rig(tmp_path, bundle, inspector=inspector)
    yield Box(rig, inspector, bundle.manifest.features.cap_bytes)
    rig.close()


@pytest.mark.parametrize("name", PICTURES)
def test_noise_is_sent_within_the_cap_decoded_exactly_and_answered(
    box: Box, database: Database, served: LoadedTail, shipped: Bundle, name: str
) -> None:
    frame = replace(box.rig.frame(GOOD), pixels=PICTURES[name])
    symbols = box.inspector.look(frame).symbols
    box.rig.inspect(frame)
    (delivery,) = (d for d in box.rig.broker.published if d.topic == ADDRESS.topic("escalation"))
    sent, body = decode(delivery.payload, Escalation)
    assert len(body) <= box.cap
    arrived = shipped.codec.decode(body, sent.coarseness)
    np.testing.assert_array_equal(arrived, as_sent(symbols, sent.coarseness, shipped.codec.limit))
    coarser = int(sent.coarseness > 1)
    # Noise exceeds the two small caps, and not the shipped one.
    assert coarser == (box.cap < 4096)
    assert box.rig.health.counts.get("escalations_coarser", 0) == coarser

    plant = Plant(database, served)
    plant.escalate(delivery.payload)
    plant.work()
    ((answer, _),) = plant.verdicts
    assert (answer.boot, answer.sequence) == (box.rig.journal.boot, 1)
    assert plant.counters["escalations_coarser"] == coarser
    stored = plant.records.inspection(InspectionKey(DEVICE.device, sent.boot, 1))
    assert stored is not None
    assert stored.tail is not None
    assert stored.tail.coarseness == sent.coarseness
