"""A trained network as it will run: exported, its head in int8, its codec fitted."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.bundles.bundle import Golden
from shared.bundles.golden import golden_inputs, golden_outputs
from shared.bundles.manifest import Tolerance
from shared.bundles.parity import check_quantisation
from shared.bundles.picture_head import PictureHead
from shared.console import track
from shared.features.codec import CodecTables, FeatureCodec, tables_from_symbols
from shared.features.pixel_settings import PixelSettings
from shared.runtime.base import Runtime, open_runtime
from shared.splitnet.export import export_head, export_int8_head, export_tail
from shared.splitnet.network import Architecture, SplitNet
from shared.splitnet.objective import SYMBOL_LIMIT

CALIBRATION_PICTURES = 128
TABLE_PICTURES = 400

Inputs = NDArray[np.uint8]


class HalfScores(NamedTuple):
    """Both halves' scores of the same pictures, float64 (n,), 0–1."""

    edge: NDArray[np.float64]
    tail: NDArray[np.float64]


@dataclass(frozen=True)
class ExportedModel:
    """What a bundle holds of a network, before its gate is chosen.

    head, head_float, tail   ONNX; the head in int8 and in float32
    tables                   of the codec
    weights_origin           where what the training started from comes from; empty: from noise
    """

    architecture: Architecture
    head: bytes
    head_float: bytes
    tail: bytes
    tables: CodecTables
    weights_origin: str

    @property
    def features(self) -> tuple[int, int, int]:
        """Channels, height and width of the symbols."""
        return features_of(self.architecture)

    @cached_property
    def codec(self) -> FeatureCodec:
        return FeatureCodec.of(self.tables, self.features)

    @cached_property
    def edge(self) -> Runtime:
        return open_runtime("onnx", self.head)

    @cached_property
    def cloud(self) -> Runtime:
        return open_runtime("onnx", self.tail)

    def judge(self, pictures: Inputs, what: str) -> HalfScores:
        """Scores of prepared pictures, uint8 (n, c, h, w), as the product will give them.

        what   the progress bar's name
        """
        edge, tail = [], []
        for picture in track(pictures, what, len(pictures)):
            features, _, score = self.edge.run(np.array(picture[np.newaxis]))
            symbols = self.codec.quantise(np.asarray(features[0], np.float32))
            edge.append(float(score.reshape(-1)[0]))
            tail.append(float(self.cloud.run(symbols[np.newaxis])[1][0]))
        return HalfScores(np.array(edge), np.array(tail))

    def judge_pictures(
        self, pictures: Iterable[NDArray[np.uint8]], settings: PixelSettings
    ) -> HalfScores:
        """The same of whole pictures, uint8 (h, w) or (h, w, 3) BGR, by what the settings say.

        Raises WrongPixels for one that can't be cut into their tiles.
        """
        a = self.architecture
        head = PictureHead(self.edge, self.codec, (a.channels, a.height, a.width), settings)
        edge, tail = [], []
        for pixels in pictures:
            found = head.look(pixels)
            edge.append(found.score)
            tail.append(float(self.cloud.run(found.symbols[np.newaxis])[1][0]))
        return HalfScores(np.array(edge), np.array(tail))

    def golden(self) -> Golden:
        """Raises ParityError where the int8 head's scores are too far from the float head's."""
        a = self.architecture
        golden = golden_outputs(
            golden_inputs((a.channels, a.height, a.width)),
            self.edge,
            open_runtime("onnx", self.head_float),
            self.cloud,
            self.codec,
        )
        check_quantisation(golden, Tolerance().int8)  # type: ignore[call-arg]
        return golden


def export_model(net: SplitNet, pictures: Inputs) -> ExportedModel:
    """Export a network; the int8 head is calibrated and the codec fitted on training pictures.

    pictures   uint8 (n, c, h, w)
    """
    head_float = export_head(net)
    sample = pictures[:: step(len(pictures), CALIBRATION_PICTURES)]
    calibrating = [np.array(picture[np.newaxis]) for picture in sample]
    head = export_int8_head(net, head_float, calibrating)
    tables = _fit_tables(open_runtime("onnx", head), pictures)
    tail = export_tail(net)
    return ExportedModel(net.architecture, head, head_float, tail, tables, net.weights_origin)


def _fit_tables(head: Runtime, pictures: Inputs) -> CodecTables:
    chosen = pictures[:: step(len(pictures), TABLE_PICTURES)]
    what = track(chosen, "fitting the codec", len(chosen))
    raw = [head.run(np.array(picture[np.newaxis]))[0][0] for picture in what]
    symbols = np.clip(np.rint(np.stack(raw)), -SYMBOL_LIMIT, SYMBOL_LIMIT).astype(np.int8)
    return tables_from_symbols(symbols, SYMBOL_LIMIT)


def features_of(architecture: Architecture) -> tuple[int, int, int]:
    """Channels, height and width of the bottleneck."""
    return architecture.bottleneck, architecture.height // 16, architecture.width // 16


def step(count: int, most: int) -> int:
    """Taking every so many of `count` things leaves at most `most`."""
    return max(1, math.ceil(count / most))
