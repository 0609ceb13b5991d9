"""One frame through head, codec and gate."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD
from shared.bundles.parity import check_codec, check_head
from shared.bundles.runtime_choice import ChosenRuntime, choose_runtime
from shared.certification.gate import Gate
from shared.contracts import Finding, Frame
from shared.errors import RuntimeUnavailable
from shared.features.codec import FeatureCodec
from shared.features.preprocessing import prepare
from shared.runtime.base import Runtime, RuntimeOptions


class Looks(Protocol):
    """What the agent needs of an inspector."""

    def look(self, frame: Frame) -> Finding:
        """Raises SplitsightError where the frame can't be judged."""


class Inspector:
    """Head, codec and gate of one bundle. Not safe to share between threads."""

    def __init__(
        self,
        runtime: Runtime,
        codec: FeatureCodec,
        gate: Gate,
        input_shape: tuple[int, int, int],
    ) -> None:
        """input_shape: channels, height, width of the head's input."""
        self._runtime = runtime
        self._codec = codec
        self._gate = gate
        self._channels, self._height, self._width = input_shape

    def look(self, frame: Frame) -> Finding:
        """Judge one frame. A score that is not a number is an unsure one.

        Raises RuntimeUnavailable where the backend fails.
        """
        picture = prepare(frame.pixels, self._height, self._width, self._channels)
        try:
            features, defect_map, score = self._runtime.run(picture[np.newaxis])
        except Exception as error:
            # Each backend has exceptions of its own; what they share is that there is no score.
            raise RuntimeUnavailable(
                f"{self._runtime.name} failed on part {frame.part} ({error})",
                fix="restart the agent; if it fails again, see `splitsight edge bench`",
            ) from error
        number = float(score.reshape(-1)[0])
        bottleneck = np.asarray(features[0], np.float32)
        decision = self._gate.decide(number)
        if not math.isfinite(number):
            # An infinite score is a fault of the backend, not a sure part; and what is not a
            # number has no symbol.
            decision = self._gate.decide(math.nan)
            bottleneck = np.nan_to_num(bottleneck)
        return Finding(
            decision,
            number,
            self._codec.quantise(bottleneck),
            np.asarray(defect_map[0, 0], np.float32),
        )


def load_head(bundle: Bundle, name: str, options: RuntimeOptions) -> ChosenRuntime:
    """The bundle's head on a backend that agrees with its golden outputs.

    Raises RuntimeUnavailable, ParityError, or BundleMismatch for a codec that differs.
    """
    chosen = choose_runtime(name, bundle.read(HEAD), options)
    check_head(bundle, chosen.runtime)
    check_codec(bundle)
    return chosen
