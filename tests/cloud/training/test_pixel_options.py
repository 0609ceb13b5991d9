"""What a user says of pictures to a training."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.training.pixel_options import wanted_pixels
from shared.errors import SettingsError
from shared.features.pixel_settings import AS_IT_IS, PixelSettings


def said(folder: Path, text: str) -> Path:
    path = folder / "pixels.yaml"
    path.write_text(text)
    return path


def test_nothing_said_is_left_to_training() -> None:
    assert wanted_pixels(None, "auto", "none") == AS_IT_IS


def test_a_file_and_options_are_taken_together(tmp_path: Path) -> None:
    file = said(tmp_path, "crop: [0, 0, 0.5, 1]\nturn: 90\nbayer: rg\n")
    wanted = PixelSettings(depth=12, bayer="rg", crop=(0, 0, 0.5, 1), turn=90)
    assert wanted_pixels(file, "12", "rg") == wanted
    assert wanted_pixels(None, "float", "none") == PixelSettings(depth="float")


def test_a_file_and_an_option_that_say_different_things_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="says depth: 12, the option --depth 10"):
        wanted_pixels(said(tmp_path, "depth: 12\n"), "10", "none")


def test_every_mistake_of_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as told:
        wanted_pixels(said(tmp_path, "turn: 45\nbayr: rg\n"), "auto", "none")
    assert "pixels.yaml:1: turn" in str(told.value)
    assert "pixels.yaml:2: bayr" in str(told.value)
