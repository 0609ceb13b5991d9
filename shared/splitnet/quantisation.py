"""A float head in ONNX → the same in int8, by ranges that somebody has measured.

Measuring and quantising are apart, so that the pictures may be elsewhere: a model that measures
goes to them, and the extremes of what several places measured come back.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from shared.splitnet.backbone import PIXEL_MIDDLE, PIXEL_SPREAD
from shared.splitnet.calibration import measure

QUANTISED = ("Conv", "Add", "Clip", "Relu", "Pad")
FLAT = "measured_flat"


def quantise_head(model: bytes, pictures: Sequence[NDArray[np.uint8]]) -> bytes:
    """The head in int8: QDQ, weights per channel, activations calibrated on `pictures`.

    pictures   uint8 (1, c, h, w) each, from the training parts
    """
    prepared = Prepared.of(model)
    return prepared.quantise(measure(prepared.measuring(), pictures))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A float model, ready to be measured and quantised."""

    model: onnx.ModelProto

    @classmethod
    def of(cls, model: bytes) -> Self:
        from onnxruntime.quantization.shape_inference import (  # noqa: PLC0415 - takes two seconds
            quant_pre_process,
        )

        with tempfile.TemporaryDirectory() as folder:
            source, ready = Path(folder, "float.onnx"), Path(folder, "ready.onnx")
            source.write_bytes(model)
            quant_pre_process(source, ready, skip_symbolic_shape=True)
            return cls(onnx.load(ready))

    def measured(self) -> list[str]:
        """Tensors whose ranges quantising needs, by name."""
        graph = self.model.graph
        floats = {
            info.name
            for info in (*graph.value_info, *graph.output, *graph.input)
            if info.type.tensor_type.elem_type == TensorProto.FLOAT
        } - {tensor.name for tensor in graph.initializer}
        beside = {
            name
            for node in graph.node
            if node.op_type in QUANTISED
            for name in (*node.input, *node.output)
        }
        return sorted(floats & beside)

    def measuring(self) -> bytes:
        """A model that answers with the smallest and the largest value of each such tensor,
        float32 (2, n), and with nothing else of a picture."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        graph, names = model.graph, self.measured()
        rows = []
        graph.initializer.append(numpy_helper.from_array(np.array([1, -1], np.int64), FLAT))
        for kind in ("ReduceMin", "ReduceMax"):
            for name in names:
                out, flat = f"{name}_{kind}", f"{name}_{kind}_flat"
                graph.node.append(helper.make_node(kind, [name], [out], keepdims=0))
                graph.node.append(helper.make_node("Reshape", [out, FLAT], [flat]))
            columns = [f"{name}_{kind}_flat" for name in names]
            graph.node.append(helper.make_node("Concat", columns, [kind], axis=1))
            rows.append(kind)
        graph.node.append(helper.make_node("Concat", rows, ["measured"], axis=0))
        del graph.output[:]
        graph.output.append(
            helper.make_tensor_value_info("measured", TensorProto.FLOAT, [2, len(names)])
        )
        return bytes(model.SerializeToString())

    def quantise(self, ranges: NDArray[np.float32]) -> bytes:
        """The model in int8: QDQ, weights per channel.

        ranges   as `measuring` answers, of pictures from the training parts, or merged over
                 several sets of them: the smallest and the largest, (2, n)
        """
        from onnxruntime.quantization import (  # noqa: PLC0415 - takes two seconds
            CalibrationMethod,
            QuantFormat,
            QuantType,
            quantize_static,
        )
        from onnxruntime.quantization.calibrate import (  # noqa: PLC0415
            TensorsData,
            save_tensors_data,
        )

        low, high = np.asarray(ranges, np.float32)
        pairs = zip(low[:, np.newaxis], high[:, np.newaxis], strict=True)
        known = dict(zip(self.measured(), pairs, strict=True))
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "ready.onnx"), Path(folder, "int8.onnx")
            cache = Path(folder, "ranges.json")
            onnx.save_model(self.model, source)
            save_tensors_data(TensorsData(CalibrationMethod.MinMax, known), cache)
            quantize_static(
                source,
                target,
                None,
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                op_types_to_quantize=list(QUANTISED),
                nodes_to_exclude=_float_nodes(self.model),
                calibration_cache_path=cache,
                extra_options={
                    "ActivationSymmetric": False,
                    "WeightSymmetric": True,
                    "TensorQuantOverrides": _exact_pixels(self.model),
                },
            )
            return target.read_bytes()


def _float_nodes(model: onnx.ModelProto) -> list[str]:
    """What lies between the last convolutions and the outputs, those convolutions included.

    In int8 it would tie scores that the gate has to tell apart.
    """
    writer = {output: node for node in model.graph.node for output in node.output}
    pending = [output.name for output in model.graph.output]
    excluded: set[str] = set()
    while pending:
        node = writer.get(pending.pop())
        if node is None or node.name in excluded:
            continue
        # The pooled branch reads hidden features: what lies before it stays int8.
        if node.op_type == "Clip":
            continue
        excluded.add(node.name)
        if node.op_type != "Conv":
            pending.extend(node.input)
    return sorted(excluded)


def _exact_pixels(model: onnx.ModelProto) -> dict[str, list[dict[str, object]]]:
    """Steps of one grey level for the normalised picture, so that rounding it loses nothing.

    Calibrated on pictures that don't reach black and white, the steps would lie between the
    levels: a third of all that int8 changes on dark parts.
    """
    first = next(node for node in model.graph.node if node.op_type in {"Conv", "Pad"})
    step = np.array(1 / PIXEL_SPREAD, np.float32)
    levels = {"scale": step, "zero_point": np.array(PIXEL_MIDDLE, np.uint8)}
    return {first.input[0]: [levels]}


def ranges_of(measuring: bytes) -> int:
    """How many tensors a measuring model answers with."""
    shape = onnx.load_from_string(measuring).graph.output[0].type.tensor_type.shape
    return int(shape.dim[1].dim_value)
