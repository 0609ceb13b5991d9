from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hardware_sim.camera.faults import (
    CameraFaults,
    Defocus,
    Disconnect,
    Drops,
    Duplicates,
    Dust,
    Effect,
    Exposure,
    Flicker,
    Freeze,
    HotPixels,
    MotionBlur,
    Vibration,
    known_effects,
    parse_effect,
)
from shared.errors import SettingsError
from shared.features import optics
from shared.features.optics import Pixels

SHAPES = st.sampled_from([(24, 32), (24, 32, 3)])
pictures = SHAPES.flatmap(lambda shape: arrays(np.uint8, shape))
STRONG: list[Effect] = [
    Exposure(stops=1),
    Defocus(radius_px=2),
    MotionBlur(length_px=6),
    Vibration(amplitude_px=4),
    Dust(spots=9),
    HotPixels(count=30),
    Flicker(depth=0.5, hz=7),
]


@pytest.fixture
def scene() -> Pixels:
    return np.random.default_rng(1).integers(20, 120, (48, 64), dtype=np.uint8)


@given(pictures, st.sampled_from(STRONG), st.integers(0, 2**32), st.integers(1, 1000))
@settings(max_examples=60)
def test_an_effect_repeats_itself_and_leaves_the_picture_it_was_given_alone(
    picture: Pixels, effect: Effect, seed: int, part: int
) -> None:
    before = picture.copy()
    shots = []
    for _ in range(2):
        faults = CameraFaults(seed)
        faults.set(effect, 0.0)
        shots += faults.through(picture, part, 1.0)
    assert np.array_equal(picture, before)
    assert np.array_equal(shots[0].pixels, shots[1].pixels)
    assert shots[0].pixels.shape == picture.shape
    assert shots[0].pixels.dtype == np.uint8


@given(pictures)
@settings(max_examples=20)
def test_effects_of_no_strength_change_nothing(picture: Pixels) -> None:
    same = [
        optics.exposed(picture, 0.0),
        optics.defocused(picture, 0.0),
        optics.motion_blurred(picture, 0.0),
        optics.shaken(picture, 0.0, 1, 1),
        optics.dusty(picture, 0, 1),
        optics.with_hot_pixels(picture, 0, 1),
        optics.flickered(picture, 0.0, 100.0, 0.3),
    ]
    assert all(np.array_equal(picture, other) for other in same)


@pytest.mark.parametrize("effect", STRONG, ids=lambda effect: str(effect.kind))
def test_every_effect_can_be_seen_and_goes_when_cleared(scene: Pixels, effect: Effect) -> None:
    faults = CameraFaults(3)
    faults.set(effect, 0.0)
    (shot,) = faults.through(scene, 1, 0.07)
    assert not np.array_equal(shot.pixels, scene)
    assert faults.active == [effect]
    faults.clear(effect.kind)
    (shot,) = faults.through(scene, 2, 0.07)
    assert np.array_equal(shot.pixels, scene)


def test_a_stop_doubles_the_light_and_white_is_the_end(scene: Pixels) -> None:
    assert np.array_equal(optics.exposed(scene, 1.0), scene * 2)
    assert optics.exposed(scene, 8.0).min() == 255


def test_exposure_drifts_from_when_it_was_set(scene: Pixels) -> None:
    faults = CameraFaults(0)
    faults.set(Exposure(drift=-1), 100.0)
    means = [faults.through(scene, 1, at)[0].pixels.mean() for at in (100.0, 130.0, 160.0)]
    assert means[0] == scene.mean()
    assert means[0] > means[1] > means[2]
    assert means[2] == pytest.approx(scene.mean() / 2, abs=1)


def test_blur_along_the_belt_keeps_what_lies_across(scene: Pixels) -> None:
    stripes = np.zeros((40, 40), np.uint8)
    stripes[::2] = 200
    assert np.array_equal(optics.motion_blurred(stripes, 9.0), stripes)
    assert optics.motion_blurred(scene, 9.0).std() < scene.std()
    assert optics.defocused(stripes, 3.0).std() < stripes.std()


def test_dust_and_hot_pixels_stay_where_they_are_and_vibration_does_not(scene: Pixels) -> None:
    faults = CameraFaults(5)
    for effect in (Dust(spots=6), HotPixels(count=20)):
        faults.set(effect, 0.0)
    one, other = (faults.through(scene, part, 0.0)[0].pixels for part in (1, 2))
    assert np.array_equal(one, other)
    assert (one == 255).sum() >= 20
    faults.set(Vibration(amplitude_px=5), 0.0)
    one, other = (faults.through(scene, part, 0.0)[0].pixels for part in (1, 2))
    assert not np.array_equal(one, other)


def test_lamps_flicker_with_their_frequency(scene: Pixels) -> None:
    bright = optics.flickered(scene, 0.5, 100.0, 3.0)
    dark = optics.flickered(scene, 0.5, 100.0, 3.005)
    assert np.array_equal(bright, scene)
    assert dark.mean() == pytest.approx(scene.mean() / 2, abs=1)


def test_a_frozen_camera_shows_the_last_part_before_the_fault(scene: Pixels) -> None:
    faults = CameraFaults(0)
    faults.through(scene, 7, 0.0)
    faults.set(Freeze(), 0.0)
    for part in (8, 9):
        (shot,) = faults.through(255 - scene, part, 0.0)
        assert shot.shown == 7
        assert np.array_equal(shot.pixels, scene)
    faults.clear("freeze")
    assert faults.through(scene, 10, 0.0)[0].shown == 10


def test_frames_are_dropped_and_doubled_as_often_as_told(scene: Pixels) -> None:
    faults = CameraFaults(0)
    faults.set(Drops(share=0.3), 0.0)
    faults.set(Duplicates(share=0.5), 0.0)
    counts = [len(faults.through(scene, part, 0.0)) for part in range(1, 401)]
    assert 85 <= counts.count(0) <= 155
    assert 0.35 <= counts.count(2) / (counts.count(1) + counts.count(2)) <= 0.65


def test_a_disconnected_camera_gives_nothing_until_it_is_back(scene: Pixels) -> None:
    faults = CameraFaults(0)
    faults.set(Disconnect(), 0.0)
    assert faults.active == [Disconnect(sensor_lives=True)]
    assert faults.disconnected is not None
    assert faults.through(scene, 1, 0.0) == []
    faults.clear()
    assert faults.active == []
    assert len(faults.through(scene, 2, 0.0)) == 1


def test_an_effect_that_is_set_again_is_changed() -> None:
    faults = CameraFaults(0)
    faults.set(Defocus(radius_px=1), 0.0)
    faults.set(Defocus(radius_px=4), 1.0)
    assert faults.active == [Defocus(radius_px=4)]


def test_every_known_effect_can_be_made_from_plain_values() -> None:
    for kind in known_effects():
        assert parse_effect({"kind": kind}).kind == kind


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"kind": "defocuss"}, "did you mean defocus"),
        ({"kind": "defocus", "radius_px": -1}, "greater than or equal to 0"),
        ({"kind": "defocus", "radius": 1}, "did you mean radius_px"),
        ({}, "kind is missing"),
        ("fog", "dictionary"),
    ],
)
def test_what_is_no_effect_is_refused(values: object, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        parse_effect(values)


def test_clearing_what_there_is_not_names_what_there_is() -> None:
    with pytest.raises(SettingsError, match=r"no effect 'fog'; use one of flicker, "):
        CameraFaults(0).clear("fog")
