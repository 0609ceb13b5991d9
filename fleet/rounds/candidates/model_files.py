"""A candidate's models and tables, from what rounds learned and what devices see: no picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from fleet.rounds.candidates.calibration import FleetStatistics
from fleet.rounds.coordination.device_answers import DeviceAnswers
from fleet.rounds.coordination.result import RunResult
from shared.bundles.bundle import Bundle
from shared.bundles.golden import golden_outputs
from shared.bundles.manifest import CODEC, GOLDEN, HEAD, HEAD_FLOAT, TAIL
from shared.bundles.parity import check_codec, check_head, check_quantisation, check_tail
from shared.errors import FederationError
from shared.features.codec import CodecTables, FeatureCodec
from shared.federation.base_network import BaseNetwork
from shared.runtime.base import open_runtime
from shared.splitnet.base_network import restore
from shared.splitnet.export import export_head, export_tail, int8_head, with_weights
from shared.splitnet.fusion import DeployedHead, fuse_norms

SAME = 0.02
RUNTIME = "onnx"


def check_base(bundle: Bundle, base: BaseNetwork) -> None:
    """Raises FederationError where the bundle was not made from this base network."""
    wanted = dict(bundle.manifest.architecture)
    if any(base.architecture.get(name) != value for name, value in wanted.items()):
        raise FederationError(
            f"{bundle.path.name} has another architecture than the base network",
            fix="give the bundle and the base of one training",
        )
    head = DeployedHead(restore(base).head).eval()
    with torch.no_grad():
        found = head(torch.from_numpy(bundle.golden.inputs))[2].numpy().ravel()
    apart = float(np.abs(found - bundle.golden.float_scores).max())
    if not apart <= SAME:
        raise FederationError(
            f"the base network's scores differ from {bundle.path.name}'s by {apart:.3f}",
            fix="write the base of the bundle's own training: `splitsight cloud base --run RUN`",
        )


def check_parity(bundle: Bundle) -> None:
    """As a device will check it. Raises ParityError."""
    check_codec(bundle)
    check_head(bundle, open_runtime(RUNTIME, bundle.read(HEAD)))
    check_tail(bundle, open_runtime(RUNTIME, bundle.read(TAIL)))


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What a bundle holds beside its manifest, before its golden outputs are known."""

    head: bytes
    head_float: bytes
    tail: bytes
    tables: CodecTables

    @classmethod
    def of(cls, result: RunResult, answers: DeviceAnswers, present: Bundle) -> ModelFiles:
        """Export the network as devices were sent it, calibrated by their answers.

        Raises FederationError where these can't be had.
        """
        net = restore(result.sent)
        deployed = fuse_norms(DeployedHead(net.head))
        head_float = with_weights(present.read(HEAD_FLOAT), deployed) or export_head(net)
        statistics = FleetStatistics(answers, result.order)
        head = int8_head(net, head_float, statistics)
        tail = export_tail(net) if result.order.scope.decoder else present.read(TAIL)
        return cls(head, head_float, tail, statistics.tables(head, net.architecture.bottleneck))

    def beside(self, present: Bundle) -> dict[str, bytes]:
        """The files by name, with golden outputs for the present bundle's golden inputs.

        Raises ParityError where int8 moves scores further than the present bundle allows.
        """
        golden = golden_outputs(
            present.golden.inputs,
            open_runtime(RUNTIME, self.head),
            open_runtime(RUNTIME, self.head_float),
            open_runtime(RUNTIME, self.tail),
            FeatureCodec.of(self.tables, present.manifest.features.shape),
        )
        check_quantisation(golden, present.manifest.tolerance.int8)
        # No list of what was trained on: hashes of devices' pictures stay with the devices.
        return {
            HEAD: self.head,
            HEAD_FLOAT: self.head_float,
            TAIL: self.tail,
            CODEC: self.tables.to_json(),
            GOLDEN: golden.to_bytes(),
        }
