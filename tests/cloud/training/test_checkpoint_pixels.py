"""A training whose pictures were cut out is no base for devices, which learn from whole ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cloud.training.checkpoint import refuse_moved, write_checkpoint
from cloud.training.options import Options
from shared.errors import TrainingError
from shared.features.pixel_settings import PixelSettings

pytestmark = pytest.mark.torch


def run_with(folder: Path, **said: Any) -> Path:
    options = Options(pixels=PixelSettings.model_validate(said))
    write_checkpoint(folder, options, "data", {"average": {}})
    return folder


@pytest.mark.parametrize("said", [{"turn": 90}, {"crop": (0, 0, 0.5, 1)}])
def test_a_training_on_parts_of_pictures_is_no_base_of_rounds(
    tmp_path: Path, said: dict[str, Any]
) -> None:
    with pytest.raises(TrainingError, match="cut, turned or blackened its pictures"):
        refuse_moved(run_with(tmp_path, **said))


@pytest.mark.parametrize("said", [{}, {"depth": 12, "bayer": "rg"}])
def test_a_depth_keeps_nobody_from_learning_since_a_box_keeps_8_bits(
    tmp_path: Path, said: dict[str, Any]
) -> None:
    refuse_moved(run_with(tmp_path, **said))
