"""What a camera of another package may give without harm to any other part."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.camera.base import MissedFrame
from edge.camera.blank_detection import ARMED_AFTER, BlankGuard
from edge.camera.checks import checked
from edge.camera.freeze_detection import FrozenGuard
from edge.camera.scripted import ScriptedCamera
from shared.bundles.bundle import Bundle
from shared.contracts import Frame
from shared.errors import CameraError
from shared.features.pixel_settings import PixelSettings
from tests.bundles import GOOD, picture
from tests.edge.rigs import Rig

GREY = picture(GOOD)
WRONG_PICTURES = {
    "uint16": GREY.astype(np.uint16) << 4,
    "float32": GREY.astype(np.float32) / 255,
    "four channels": np.zeros((8, 8, 4), np.uint8),
    "empty": np.zeros((0, 8), np.uint8),
    "a line": np.zeros(8, np.uint8),
    "a list": [[1, 2], [3, 4]],
    "nothing": None,
}


@pytest.mark.parametrize("pixels", WRONG_PICTURES.values(), ids=WRONG_PICTURES.keys())
def test_a_picture_that_is_none_costs_its_part_alone_and_is_told_by_shape(
    rig: Rig, pixels: Any
) -> None:
    rig.inspect(replace(rig.frame(GOOD), pixels=pixels))
    rig.inspect(rig.frame(GOOD))
    rig.commit()
    assert rig.recorded.verdicts == {1: "reject", 2: "pass"}
    assert [row["decided_by"] for row in rig.rows] == ["deadline", "edge"]
    assert rig.health.counts["pictures_missed"] == 1


DEEP: Any = GREY.astype(np.uint16)
AS_SAID: dict[str, tuple[dict[str, Any], Any]] = {
    "one channel as an axis": ({}, GREY[:, :, np.newaxis]),
    "10 bits in 16": ({"depth": 10}, DEEP << 2),
    "12 bits in 16": ({"depth": 12}, DEEP << 4),
    "12 bits, the other byte first": ({"depth": 12}, (DEEP << 4).astype(">u2")),
    "16 bits": ({"depth": 16}, DEEP * 257),
    "floats to 1": ({"depth": "float"}, GREY.astype(np.float32) / 255),
    "floats to a white of its own": ({"depth": "float", "white": 900.0}, GREY * (900.0 / 255)),
}
OTHERWISE: dict[str, tuple[dict[str, Any], Any, str]] = {
    "8 bits of 12": ({"depth": 12}, GREY, "wanted are whole numbers of 12 bits"),
    "12 bits of 10": ({"depth": 10}, DEEP << 5, "whole numbers of 10 bits, at most 1023"),
    "floats of 12 bits": ({"depth": 12}, GREY / 255, "wanted are whole numbers of 12 bits"),
    "whole numbers of floats": ({"depth": "float"}, GREY, "wanted are floats from 0 to 1"),
    "floats to 255": ({"depth": "float"}, GREY.astype(np.float32), "wanted are 0 to 1"),
    "not a number": ({"depth": "float"}, np.full((64, 64), np.nan), "from nan to nan"),
    "colour of a mosaic": ({"bayer": "rg"}, np.dstack([GREY] * 3), "wanted is a raw mosaic"),
}


def with_pixels(rig: Rig, said: dict[str, Any]) -> None:
    """The live bundle, as if it had been trained on such pictures."""
    rig.agent.swap(replace(rig.agent.model, pixels=PixelSettings.model_validate(said)))


@pytest.mark.parametrize(("said", "pixels"), AS_SAID.values(), ids=AS_SAID.keys())
def test_a_frame_of_the_bundles_depth_is_judged_as_the_same_in_8_bits(
    rig: Rig, said: dict[str, Any], pixels: Any
) -> None:
    rig.inspect(rig.frame(GOOD))
    with_pixels(rig, said)
    rig.inspect(replace(rig.frame(GOOD), pixels=pixels, encoded=b"a file"))
    rig.commit()
    assert rig.recorded.verdicts == {1: "pass", 2: "pass"}
    scores = [row["score"] for row in rig.rows]
    assert scores[1] == pytest.approx(scores[0], abs=0.02)
    given = replace(rig.frame(GOOD), pixels=pixels, encoded=b"a file")
    found = checked(given, 9, 0.0, 0.5, PixelSettings.model_validate(said))
    assert isinstance(found, Frame)
    # All behind the camera knows 8 bits alone, and keeps what was judged.
    assert found.encoded is None
    np.testing.assert_allclose(found.pixels, GREY, atol=1)


@pytest.mark.parametrize(("said", "pixels", "wanted"), OTHERWISE.values(), ids=OTHERWISE.keys())
def test_a_frame_of_another_depth_than_the_bundles_is_told_and_diverted(
    rig: Rig, said: dict[str, Any], pixels: Any, wanted: str
) -> None:
    with_pixels(rig, said)
    rig.inspect(replace(rig.frame(GOOD), pixels=pixels))
    rig.commit()
    assert rig.recorded.verdicts == {1: "reject"}
    settings = PixelSettings.model_validate(said)
    missed = checked(replace(rig.frame(GOOD), pixels=pixels), 9, 0.0, 0.5, settings)
    assert isinstance(missed, MissedFrame)
    assert wanted in str(missed.error)


def test_a_frame_that_contradicts_the_bundle_is_a_problem_until_a_picture_is_well_again(
    rig: Rig,
) -> None:
    missed = MissedFrame(1, 0.0, 0.5, "line", CameraError("a cable", fix="plug it in"))
    rig.inspect(missed)
    assert [*rig.health.problems] == []
    rig.inspect(replace(rig.frame(GOOD), pixels=DEEP << 4))
    rig.inspect(missed)
    (problem,) = rig.health.problems
    assert problem.startswith("camera: the camera gave ")
    rig.inspect(rig.frame(GOOD))
    assert [*rig.health.problems] == []


def test_the_reason_says_what_came_and_what_was_wanted(rig: Rig) -> None:
    frame = replace(rig.frame(GOOD), pixels=np.zeros((48, 64), np.uint16))
    missed = checked(frame, 9, 0.0, 0.5)
    assert isinstance(missed, MissedFrame)
    assert missed.part == 1
    assert str(missed.error).startswith(
        "the camera gave a picture of uint16, 48 × 64; wanted is uint8, height × width"
    )


@pytest.mark.parametrize(
    "numbers",
    [
        {"part": 0},
        {"part": 2**63},
        {"part": "7"},
        {"part": True},
        {"triggered": math.nan},
        {"deadline": math.inf},
        {"deadline": None},
    ],
    ids=str,
)
def test_numbers_that_can_not_be_kept_are_replaced_and_the_part_is_diverted(
    rig: Rig, numbers: dict[str, Any]
) -> None:
    rig.inspect(rig.frame(GOOD))
    rig.inspect(replace(rig.frame(GOOD), **numbers))
    rig.commit()
    assert rig.recorded.verdicts == {1: "pass", 2: "reject"}
    assert [row["part"] for row in rig.rows] == [1, 2]


@pytest.mark.parametrize("event", [None, "frame", 7, GREY])
def test_what_is_no_event_is_a_part_without_a_picture(rig: Rig, event: Any) -> None:
    rig.inspect(event)
    rig.commit()
    assert rig.recorded.verdicts == {1: "reject"}


def test_numpys_own_numbers_are_as_good_as_pythons(rig: Rig) -> None:
    frame = rig.frame(GOOD)
    numbers: dict[str, Any] = {
        "part": np.int64(5),
        "triggered": np.float32(frame.triggered),
        "deadline": np.float64(frame.deadline),
        "source": Path("5.png"),
        "fields": None,
    }
    rig.inspect(replace(frame, **numbers))
    rig.commit()
    assert rig.recorded.verdicts == {5: "pass"}
    assert rig.rows[0]["part"] == 5


def test_a_name_with_a_letter_that_is_none_is_kept_as_far_as_it_can_be(
    rig: Rig, bundle: Bundle
) -> None:
    source = b"pi\xe8ce.png".decode(errors="surrogateescape")
    rig.inspect(replace(rig.frame(GOOD), source=source))
    rig.inspect(MissedFrame(2, 1000.0, 1000.5, source, CameraError("cut", fix="replace")))
    rig.commit()
    assert rig.recorded.verdicts == {1: "pass", 2: "reject"}
    assert {row["source"] for row in rig.rows} == {"pi?ce.png"}


def test_a_camera_of_12_bits_that_stands_still_or_is_covered_is_noticed() -> None:
    settings = PixelSettings(depth=12)
    frame = Frame(DEEP << 4, 1, 1.0, 1.5)
    frozen = FrozenGuard(ScriptedCamera([frame] * 5), 3, lambda: settings)
    assert [type(one) for one in frozen.frames(1, 0.5)] == [Frame] * 3 + [MissedFrame] * 2
    noise = np.random.default_rng(0)
    covered = [
        replace(frame, pixels=noise.integers(0, 200, GREY.shape, np.uint16)) for _ in range(5)
    ]
    blank = BlankGuard(ScriptedCamera([frame] * ARMED_AFTER + covered), 3, lambda: settings)
    assert isinstance(list(blank.frames(1, 0.5))[-1], MissedFrame)


def test_what_guards_against_a_frozen_camera_lets_such_things_by() -> None:
    frame = Frame(GREY, 1, 1.0, 1.5)
    no_picture: Any = None
    events: list[Any] = [frame, replace(frame, pixels=no_picture), None, frame]
    guard = FrozenGuard(ScriptedCamera(events), after=3)
    assert len(list(guard.frames(1, 0.5))) == 4
