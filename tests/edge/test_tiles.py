"""A large picture through the agent: judged in tiles, one of which is sent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.camera.base import MissedFrame
from edge.camera.checks import checked
from shared.bundles.bundle import Bundle, amend_bundle
from shared.contracts import Frame
from shared.features.pixel_settings import PixelSettings
from shared.wire import Escalation, decode
from tests.bundles import BAD, GOOD, UNSURE_BAD, UNSURE_GOOD, knowing, make_bundle, picture
from tests.edge.rigs import ADDRESS, Rig, real_inspector

TILES = {"tiles": {"height": 64, "width": 64, "overlap": 16}}


@pytest.fixture(scope="module")
def tiling(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The tiny bundle, as if it had been trained on tiles, shown all but the brightest."""
    folder = tmp_path_factory.mktemp("tiles")
    tiny = knowing(make_bundle(folder / "tiny"), folder / "knowing", 0, 240)
    spec = tiny.manifest.input.model_dump() | {"pixels": TILES}
    return amend_bundle(tiny, {"input": spec}, folder / "tiling")


@pytest.fixture
def box(tmp_path: Path, tiling: Bundle) -> Rig:
    return Rig(tmp_path / "box", tiling)


def large(*spots: tuple[int, int, int]) -> NDArray[np.uint8]:
    """160 × 208, three rows of four tiles, with squares of 64: top, left, brightness."""
    pixels = picture(GOOD, height=160, width=208)
    for top, left, brightness in spots:
        pixels[top : top + 64, left : left + 64] = picture(brightness)
    return pixels


def show(box: Rig, pixels: NDArray[np.uint8]) -> dict[str, object]:
    """What the journal says of a part."""
    box.inspect(replace(box.frame(GOOD), pixels=pixels))
    box.commit()
    return box.rows[-1]


@pytest.mark.parametrize(
    ("spots", "decision"),
    [
        ((), "pass"),
        (((48, 48, UNSURE_GOOD),), "escalate"),
        (((48, 48, UNSURE_GOOD), (96, 144, BAD)), "reject"),
    ],
)
def test_the_most_suspicious_tile_decides(
    box: Rig, spots: tuple[tuple[int, int, int], ...], decision: str
) -> None:
    assert show(box, large(*spots))["decision"] == decision


def test_what_is_sent_is_one_tile_and_says_where_it_lies(box: Rig, tiling: Bundle) -> None:
    show(box, large((0, 48, UNSURE_GOOD), (96, 144, UNSURE_BAD)))
    (delivery,) = [d for d in box.broker.published if d.topic == ADDRESS.topic("escalation")]
    sent, body = decode(delivery.payload, Escalation)
    assert sent.place == pytest.approx((144 / 208, 96 / 160, 1.0, 1.0))
    alone = real_inspector(tiling).look(replace(box.frame(GOOD), pixels=picture(UNSURE_BAD)))
    np.testing.assert_array_equal(tiling.codec.decode(body, sent.coarseness), alone.symbols)


def test_a_person_looks_where_any_tile_is_unlike_anything_shown(box: Rig) -> None:
    strange = show(box, large((48, 48, 255)))
    assert (strange["review"], strange["decided_by"]) == (1, "edge")
    assert not box.escalations


def test_a_picture_that_tiles_do_not_fit_is_missed_with_a_reason() -> None:
    frame = Frame(picture(GOOD, height=60), 1, 0.0, 0.5)
    settings = PixelSettings.model_validate(TILES)
    found = checked(frame, 1, 0.0, 0.5, settings)
    assert isinstance(found, MissedFrame)
    assert "smaller than its tiles of 64 × 64" in str(found.error)
    whole = checked(replace(frame, pixels=large()), 1, 0.0, 0.5, settings)
    assert isinstance(whole, Frame)
