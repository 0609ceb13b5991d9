"""One frame through head, codec and gate."""

from __future__ import annotations

import math
from typing import Protocol

from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD
from shared.bundles.parity import check_codec, check_head
from shared.bundles.picture_head import HeadFinding, PictureHead
from shared.bundles.runtime_choice import ChosenRuntime, choose_runtime
from shared.certification.gate import Gate
from shared.contracts import Decision, Finding, Frame
from shared.errors import RuntimeUnavailable
from shared.features.codec import FeatureCodec
from shared.features.novelty import Novelty
from shared.features.pixel_settings import AS_IT_IS, PixelSettings
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
        self._head = PictureHead(runtime, codec, input_shape, pixels)
        self._gate = gate
        self._novelty = novelty

    def look(self, frame: Frame) -> Finding:
        """Judge one frame. A score that is not a number is an unsure one, and so is any score of a
        part that is unlike anything that the network was shown.

        Of a picture in tiles the most suspicious is sent. Where any of them is unlike anything
        shown a person looks: the cloud would know of the one that is sent only.
        Raises RuntimeUnavailable where the backend fails.
        """
        try:
            found = self._head.look(frame.pixels)
        except Exception as error:
            # Each backend has exceptions of its own; what they share is that there is no score.
            raise RuntimeUnavailable(
                f"{self._runtime.name} failed on part {frame.part} ({error})",
                fix="restart the agent; if it fails again, see `splitsight edge bench`",
            ) from error
        novelty = self._distance(found)
        # An infinite score is a fault of the backend, not a sure part.
        sure = math.isfinite(found.score) and novelty <= 1
        decision = self._gate.decide(found.score if sure else math.nan)
        if found.tile is not None and novelty > 1:
            decision = Decision.REVIEW
        return Finding(decision, found.score, found.symbols, found.defect_map, novelty, found.tile)

    def _distance(self, found: HeadFinding) -> float:
        if self._novelty is None:
            return 0.0
        return float(self._novelty.of_summaries(found.summaries).max())


def load_head(bundle: Bundle, name: str, options: RuntimeOptions) -> ChosenRuntime:
    """The bundle's head on a backend that agrees with its golden outputs.

    Raises RuntimeUnavailable, ParityError, or BundleMismatch for a codec that differs.
    """
    chosen = choose_runtime(name, bundle.read(HEAD), options)
    check_head(bundle, chosen.runtime)
    check_codec(bundle)
    return chosen
