"""The split network ↔ the base network's file of federated rounds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from shared.errors import FederationError
from shared.federation.base_network import BaseNetwork, write_base
from shared.splitnet.network import Architecture, SplitNet


def export_base(net: SplitNet, path: Path) -> None:
    arrays = {name: value.detach().cpu().numpy() for name, value in net.state_dict().items()}
    write_base(path, arrays, asdict(net.architecture))


def restore(base: BaseNetwork) -> SplitNet:
    """The network of a base, in eval mode. Raises FederationError where it does not fit."""
    try:
        net = SplitNet(Architecture.of(base.architecture), pretrained=False)
        net.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in base.arrays.items()})
    except (RuntimeError, TypeError) as error:
        raise FederationError(
            f"the base network is of another version ({str(error).splitlines()[0]})",
            fix="export it again with this version",
        ) from error
    return net.eval()
