"""The tail: the network's second half, checked against its bundle before it serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.bundles.bundle import Bundle
from shared.bundles.manifest import TAIL
from shared.bundles.parity import check_codec, check_tail, split_tail
from shared.bundles.runtime_choice import choose_runtime
from shared.contracts import Verdict
from shared.log import get_logger
from shared.runtime.base import Runtime
from shared.runtime.settings import RuntimeSettings

log = get_logger("tail")


class DefectKind(NamedTuple):
    """A kind of defect, and how surely a defective part is of it, 0–1."""

    name: str
    probability: float


class TailFinding(NamedTuple):
    """What a tail found in a batch.

    maps    probabilities, float32 (n, height/8, width/8) of the input
    scores  float32 (n,)
    kinds   float32 (n, kinds of defect), None where the tail does not tell them apart
    """

    maps: NDArray[np.float32]
    scores: NDArray[np.float32]
    kinds: NDArray[np.float32] | None

    def kind(self, index: int, names: Sequence[str]) -> DefectKind | None:
        """The likeliest kind of one part; None where there is none, or it is not a number."""
        if self.kinds is None or not np.isfinite(self.kinds[index]).all():
            return None
        likeliest = int(np.argmax(self.kinds[index]))
        return DefectKind(names[likeliest], float(self.kinds[index, likeliest]))


class LoadedTail:
    """One bundle's tail on one runtime. For one thread at a time.

    Raises BundleError where the bundle's novelty does not hold together.
    """

    def __init__(self, bundle: Bundle, runtime: Runtime) -> None:
        self.bundle = bundle
        self.runtime = runtime
        self.codec = bundle.codec
        self.gate = bundle.manifest.gate.gate
        self.novelty = bundle.novelty
        self.shape = bundle.manifest.features.shape

    def run(self, symbols: NDArray[np.int8]) -> TailFinding:
        """Judge one batch, int8 (n, channels, height, width).

        Raises BundleMismatch for outputs of another shape.
        """
        outputs = self.runtime.run(symbols)
        maps, scores, kinds = split_tail(self.bundle, outputs, len(symbols))
        return TailFinding(
            np.asarray(maps[:, 0], np.float32),
            np.asarray(scores, np.float32),
            None if kinds is None else np.asarray(kinds, np.float32),
        )

    def conclude(self, symbols: NDArray[np.int8], score: float) -> Verdict:
        """Of one part, by what arrived of it and by the score of both halves: nobody passes or
        rejects what is unlike anything that the network was shown.
        """
        if self.novelty is not None and self.novelty.distance(symbols) > 1:
            return "review"
        return self.gate.conclude(score)

    def warm_up(self, max_batch: int) -> None:
        """Run every batch size once: backends prepare for a shape when they first see it."""
        golden = self.bundle.golden.symbols
        for count in range(1, max_batch + 1):
            self.run(np.resize(golden, (count, *self.shape)))


Tails = Mapping[str, LoadedTail]


def open_tails(
    paths: Sequence[Path], runtime: RuntimeSettings, max_batch: int = 8
) -> dict[str, LoadedTail]:
    """The tails by the pair id that an escalation names.

    max_batch   parts that run together at most
    Raises BundleError, ParityError or RuntimeUnavailable where one can't be served.
    """
    tails = [open_tail(Bundle.open(path), runtime, max_batch) for path in paths]
    return {tail.bundle.manifest.pair: tail for tail in tails}


def open_tail(bundle: Bundle, runtime: RuntimeSettings, max_batch: int = 8) -> LoadedTail:
    """Load, check and warm up one bundle's tail. Raises as `open_tails`."""
    chosen = choose_runtime(runtime.name, bundle.read(TAIL), runtime.options)
    check_codec(bundle)
    report = check_tail(bundle, chosen.runtime)
    tail = LoadedTail(bundle, chosen.runtime)
    tail.warm_up(max_batch)
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
