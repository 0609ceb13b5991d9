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
from shared.features.novelty import Novelty
from shared.features.pixel_settings import AS_IT_IS, PixelSettings
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
        novelty: Novelty | None = None,
        *,
        pixels: PixelSettings = AS_IT_IS,
    ) -> None:
        """input_shape: channels, height, width of the head's input
        novelty: tells parts of which the head can know nothing; None: none is looked for
        pixels: what is done to a frame's pixels, whose depth is 8 bits by now
        """
        self._runtime = runtime
        self._codec = codec
        self._gate = gate
        self._channels, self._height, self._width = input_shape
        self._novelty = novelty
        self._pixels = pixels

    def look(self, frame: Frame) -> Finding:
        """Judge one frame. A score that is not a number is an unsure one, and so is any score of a
        part that is unlike anything that the network was shown.

        Raises RuntimeUnavailable where the backend fails.
        """
        picture = prepare(frame.pixels, self._height, self._width, self._channels, self._pixels)
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
        if not math.isfinite(number):
            # What is not a number has no symbol.
            bottleneck = np.nan_to_num(bottleneck)
        symbols = self._codec.quantise(bottleneck)
        novelty = self._novelty.distance(symbols) if self._novelty is not None else 0.0
        # An infinite score is a fault of the backend, not a sure part.
        sure = math.isfinite(number) and novelty <= 1
        return Finding(
            self._gate.decide(number if sure else math.nan),
            number,
            symbols,
            np.asarray(defect_map[0, 0], np.float32),
            novelty,
        )


def load_head(bundle: Bundle, name: str, options: RuntimeOptions) -> ChosenRuntime:
    """The bundle's head on a backend that agrees with its golden outputs.

    Raises RuntimeUnavailable, ParityError, or BundleMismatch for a codec that differs.
    """
    chosen = choose_runtime(name, bundle.read(HEAD), options)
    check_head(bundle, chosen.runtime)
    check_codec(bundle)
    return chosen
