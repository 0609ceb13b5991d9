"""The tail: the network's second half, checked against its bundle before it serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cloud.settings import TailSettings
from shared.bundle import Bundle
from shared.errors import BundleMismatch
from shared.log import get_logger
from shared.manifest import TAIL
from shared.parity import check_codec, check_tail, map_shape
from shared.runtime.base import Runtime, RuntimeOptions
from shared.runtime.choice import choose_runtime

log = get_logger("tail")


class Tail:
    """One bundle's tail on one runtime. For one thread at a time."""

    def __init__(self, bundle: Bundle, runtime: Runtime) -> None:
        self.bundle = bundle
        self.runtime = runtime
        self.codec = bundle.codec
        self.gate = bundle.manifest.gate.gate
        self.shape = bundle.manifest.features.shape
        self._map_shape = map_shape(bundle)

    def run(self, symbols: NDArray[np.int8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Judge one batch.

        symbols   int8 (n, channels, height, width)
        Returns defect maps, probabilities float32 (n, height/8, width/8) of the input, and
        scores float32 (n,). Raises BundleMismatch for outputs of another shape.
        """
        count = len(symbols)
        maps, scores = (np.asarray(output, np.float32) for output in self.runtime.run(symbols))
        if maps.shape != (count, 1, *self._map_shape) or scores.shape != (count,):
            raise BundleMismatch(
                f"the tail returned maps {maps.shape} and scores {scores.shape} for {count} parts",
                fix="rebuild the bundle with `make bundle`",
            )
        return maps[:, 0], scores

    def warm_up(self, max_batch: int) -> None:
        """Run every batch size once: backends prepare for a shape when they first see it."""
        golden = self.bundle.golden.symbols
        for count in range(1, max_batch + 1):
            self.run(np.resize(golden, (count, *self.shape)))


Tails = Mapping[str, Tail]


def open_tails(paths: Sequence[Path], settings: TailSettings) -> dict[str, Tail]:
    """The tails by the pair id that an escalation names.

    Raises BundleError, ParityError or RuntimeUnavailable where one can't be served.
    """
    tails = [open_tail(Bundle.open(path), settings) for path in paths]
    return {tail.bundle.manifest.pair: tail for tail in tails}


def open_tail(bundle: Bundle, settings: TailSettings) -> Tail:
    """Load, check and warm up one bundle's tail. Raises as `open_tails`."""
    options = RuntimeOptions(settings.device, settings.threads)
    chosen = choose_runtime(settings.runtime, bundle.read(TAIL), options)
    check_codec(bundle)
    report = check_tail(bundle, chosen.runtime)
    tail = Tail(bundle, chosen.runtime)
    tail.warm_up(settings.max_batch)
    log.info(
        "tail_ready",
        bundle=bundle.manifest.name,
        version=bundle.manifest.version,
        pair=bundle.manifest.pair,
        runtime=report.runtime,
        device=report.device,
        score_delta=report.score_delta,
        reason=chosen.reason,
    )
    return tail
