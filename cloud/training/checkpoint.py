"""A training's checkpoint: written in one step, read by who goes on, refines or follows."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cloud.datasets.dataset import Dataset
from cloud.training.options import Options
from shared.errors import TrainingError
from shared.features.pixel_settings import PixelSettings
from shared.splitnet.network import Architecture, SplitNet
from shared.storage.files import replacing

CHECKPOINT = "checkpoint.pt"
AVERAGED = "module."


def write_checkpoint(run: Path, options: Options, data: str, state: dict[str, Any]) -> None:
    """Replace a run's checkpoint, so that a kill leaves the old one or the new.

    data    the data set's content hash
    state   tensors, numbers, strings, and lists and dicts of them
    """
    with replacing(run / CHECKPOINT) as partial:
        torch.save({**state, "options": _text(options), "data": data}, partial)


def read_checkpoint(run: Path, options: Options, data: str) -> dict[str, Any]:
    """A run's checkpoint, to go on with.

    Raises TrainingError where it was made with other options or data, or can't be read.
    """
    state = _read(run)
    if state["options"] != _text(options):
        raise TrainingError(
            f"the checkpoint in {run} was made with other options",
            fix="resume with the same options, or choose another --run folder",
        )
    if state["data"] != data:
        raise TrainingError(
            f"the checkpoint in {run} was made with other pictures, labels or splits",
            fix="choose another --run folder, or bring the data back as it was",
        )
    return state


def averaged_weights(run: Path) -> dict[str, Tensor]:
    """The averaged network's weights. Raises TrainingError where they can't be read."""
    return {
        name.removeprefix(AVERAGED): value
        for name, value in _read(run)["average"].items()
        if name.startswith(AVERAGED)
    }


def trained_net(run: Path) -> SplitNet:
    """The averaged network of a run, in eval mode. Raises TrainingError where there is none."""
    weights = averaged_weights(run)
    try:
        architecture = Architecture.of(json.loads(_read(run)["options"])["architecture"])
        net = SplitNet(architecture, pretrained=False)
        net.load_state_dict(weights)
    except (RuntimeError, KeyError, TypeError) as error:
        raise _unreadable(run, error) from error
    return net.eval()


def refuse_moved(run: Path) -> None:
    """Raises TrainingError where the run cut its pictures out or blackened some of them: devices
    that learn do not yet."""
    try:
        said = json.loads(_read(run)["options"]).get("pixels", {})
        pixels = PixelSettings.model_validate(said)
    except (ValueError, AttributeError) as error:
        raise _unreadable(run, error) from error
    if pixels.shapes or pixels.tiles is not None:
        raise TrainingError(
            f"{run} cut, turned or blackened its pictures, and devices would learn from whole ones",
            fix="train the base of federated rounds without such settings",
        )


def refuse_leak(run: Path, dataset: Dataset) -> None:
    """Raises TrainingError where `run` learned from the same data, divided in another way."""
    try:
        record = json.loads((run / "record.json").read_text())["data"]
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(
            f"{run} has no record.json that can be read ({error})",
            fix="start from a run that has come to its end",
        ) from error
    if record["name"] == dataset.name and record["hash"] != dataset.content_hash():
        raise TrainingError(
            f"{run} was trained on another division of {dataset.name}",
            fix="use the same --data and --seed, or its parts leak into this test",
        )


def _text(options: Options) -> str:
    return json.dumps(options.plain(), sort_keys=True)


def _read(run: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(run / CHECKPOINT, weights_only=True)
    except (OSError, RuntimeError, KeyError, pickle.UnpicklingError) as error:
        raise _unreadable(run, error) from error
    lacking = {"options", "data", "average"} - state.keys()
    if lacking:
        raise _unreadable(run, KeyError(f"it lacks {', '.join(sorted(lacking))}"))
    return state


def _unreadable(run: Path, error: Exception) -> TrainingError:
    return TrainingError(
        f"the training in {run} can't be read ({str(error).splitlines()[0]})",
        fix="give the run folder of a training of this version",
    )
