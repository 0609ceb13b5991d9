"""An int8 head made over the grid, from masked sums, beside one made where all pictures are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from fleet.rounds.candidates.calibration import FleetStatistics
from fleet.rounds.configuration.privacy import PrivacySettings
from fleet.rounds.coordination.device_answers import DeviceAnswers
from fleet.rounds.grids.in_process import InProcessGrid
from fleet.rounds.grids.messaging import GridMessaging
from shared.certification.gate import logit
from shared.federation.base_network import BaseNetwork
from shared.federation.protocol import Scope, TrainOrder, VectorLayout, narrow, node_of
from shared.runtime.base import open_runtime
from shared.splitnet.base_network import export_base, restore
from shared.splitnet.calibration import OwnPictures
from shared.splitnet.export import export_head, int8_head
from shared.splitnet.fusion import DeployedHead, fuse_norms
from shared.splitnet.rounding import input_sizes, magnitudes, moments
from tests.fleet.rounds.plants import Plant, lively_net, plant_apps

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

NAMES = ("north", "south", "west")
SCOPE = Scope(from_block=8)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseNetwork:
    """Its shared values are such as 16 bits hold: what devices get is the base itself."""
    folder = tmp_path_factory.mktemp("base")
    net = lively_net()
    with torch.no_grad():
        for name in SCOPE.travelling(list(net.state_dict())):
            value = net.state_dict()[name]
            value.copy_(value.half().float())
    export_base(net, folder / "base.npz")
    return BaseNetwork.read(folder / "base.npz")


def seen(plants: list[Plant], base: BaseNetwork, folder: Path, *, secure: bool) -> FleetStatistics:
    export_base(restore(base), folder / "base.npz")
    layout = VectorLayout.of(base.arrays, SCOPE.travelling(base.arrays))
    asking = DeviceAnswers(
        GridMessaging(InProcessGrid(plant_apps(plants, folder / "base.npz", folder))),
        PrivacySettings(secure_aggregation=secure),
        {node_of(one.device): one.device for one in plants},
        60.0,
        narrow(layout.flat(base.arrays)),
    )
    return FleetStatistics(asking, TrainOrder("run", base.sha256, layout.sha256, SCOPE))


def pictures(plants: list[Plant]) -> list[NDArray[np.uint8]]:
    return [
        np.asarray(plant.picture(place)[np.newaxis, np.newaxis], np.uint8)
        for plant in plants
        for place, label in enumerate(plant.index())
        if label.use == "train"
    ]


def weights(model: bytes) -> dict[str, NDArray[np.int64]]:
    graph = onnx.load_from_string(model).graph
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    return {name: a.astype(np.int64) for name, a in found.items() if a.dtype == np.int8}


@pytest.mark.parametrize("secure", [True, False])
def test_moments_over_the_grid_are_those_of_all_pictures_in_one_place(
    base: BaseNetwork, tmp_path: Path, secure: bool
) -> None:
    plants = [Plant(name) for name in NAMES]
    head = fuse_norms(DeployedHead(restore(base).head)).head
    found = seen(plants, base, tmp_path, secure=secure).moments(head)
    wanted = moments(head, [torch.from_numpy(one) for one in pictures(plants)])
    largest = magnitudes(head, [torch.from_numpy(one) for one in pictures(plants)])
    for one, other, own in zip(found, wanted, input_sizes(head, largest), strict=True):
        mean = other / other[:, -1:, -1:]
        apart = (one - mean).abs() / own[:, :, None] / own[:, None, :]
        assert float(apart.max()) < (1e-5 if secure else 1e-6)


def test_the_int8_head_of_masked_sums_is_that_of_all_pictures_in_one_place(
    base: BaseNetwork, tmp_path: Path
) -> None:
    """Not one picture leaves its plant, and not one step in a hundred is another."""
    plants = [Plant(name) for name in NAMES]
    net = restore(base)
    exported = export_head(net)
    everything = pictures(plants)
    central = int8_head(net, exported, OwnPictures(everything))
    masked = int8_head(net, exported, seen(plants, base, tmp_path, secure=True))
    pairs = [(one, weights(masked)[name]) for name, one in weights(central).items()]
    steps = np.concatenate([np.abs(one - other).ravel() for one, other in pairs])
    assert len(pairs) > 20
    assert float((steps > 0).mean()) < 0.01
    runtimes = [open_runtime("onnx", model) for model in (central, masked)]
    for picture in everything[:8]:
        one, other = (logit(float(r.run(picture)[2].reshape(-1)[0])) for r in runtimes)
        assert one == pytest.approx(other, abs=0.05)
