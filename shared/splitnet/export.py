"""The trained network → ONNX: a float head, an int8 head, and a tail with halved weights."""

from __future__ import annotations

import copy
import io
import json
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from shared.gate import logit
from shared.runtime.base import open_runtime
from shared.splitnet.backbone import PIXEL_MIDDLE, PIXEL_SPREAD
from shared.splitnet.network import Architecture, Head, Judged, MapHead, SplitNet, Tail
from shared.splitnet.rounding import rounded

ARCHITECTURE_KEY = "splitsight.architecture"
HALF_SUFFIX = ".half"
HALVE_FROM_BYTES = 1024
OPSET = 18
ROUNDING_PICTURES = 42


class DeployedHead(nn.Module):
    """In: uint8 (1, c, h, w). Out: features float32, defect map and score as probabilities."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features, logits, score = self.head(picture)
        return features, logits.sigmoid(), score.sigmoid()


class DeployedTail(nn.Module):
    """In: symbols int8 (n, c, h, w). Out: defect map, score and kinds as probabilities."""

    def __init__(self, tail: Tail) -> None:
        super().__init__()
        self.tail = tail

    def forward(self, symbols: Tensor) -> tuple[Tensor, ...]:
        return _probabilities(self.tail(symbols.to(torch.float32)))


class DeployedPixels(nn.Module):
    """The cloud's judgement of a whole picture, with no bottleneck between: what features are
    held against. In: uint8 (n, c, h, w). Out: as DeployedTail.
    """

    def __init__(self, net: SplitNet) -> None:
        super().__init__()
        self.head, self.tail = net.head, net.tail

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        return _probabilities(self.tail.judge(self.head.shared_features(picture)))


def _probabilities(judged: Judged) -> tuple[Tensor, ...]:
    outputs = (judged.map.sigmoid(), judged.score.sigmoid())
    return outputs if judged.kinds is None else (*outputs, judged.kinds.softmax(dim=1))


def deployed_tail(architecture: Architecture) -> DeployedTail:
    """An untrained tail with the layers of an exported one, ready for its weights."""
    net = SplitNet(architecture, pretrained=False).eval()
    tail: DeployedTail = fuse_norms(DeployedTail(net.tail))
    return tail


def fuse_norms(module: Any) -> Any:
    """A copy in which every batch norm is folded into the convolution before it."""
    fused = copy.deepcopy(module).eval()
    for owner, conv_name, norm_name in _conv_norm_pairs(fused):
        conv, norm = getattr(owner, conv_name), getattr(owner, norm_name)
        setattr(owner, conv_name, fuse_conv_bn_eval(conv, norm))
        setattr(owner, norm_name, nn.Identity())
    return fused


def _conv_norm_pairs(module: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Neighbouring children that are a convolution and its batch norm, in every submodule."""
    for owner in list(module.modules()):
        children = list(owner.named_children())
        if not isinstance(owner, nn.Sequential):
            # EfficientNet's blocks keep activations last, so neighbours still pair up.
            children = [c for c in children if isinstance(c[1], nn.Conv2d | nn.BatchNorm2d)]
        for (first, conv), (second, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                yield owner, first, second


def export_head(net: SplitNet) -> bytes:
    """The float head as ONNX, batch 1."""
    return _export_head(fuse_norms(DeployedHead(net.head)), net.architecture)


def export_int8_head(
    net: SplitNet, head_float: bytes, pictures: Sequence[NDArray[np.uint8]]
) -> bytes:
    """The head in int8 as ONNX, batch 1: weights rounded together, everything quantised, and
    what that shifts all scores by taken back (as biases in Nagel et al., ICCV 2019).

    head_float   what `export_head` gave of it
    pictures     uint8 (1, c, h, w) each, from the training parts
    """
    deployed = fuse_norms(DeployedHead(net.head))
    seen = pictures[:: max(1, len(pictures) // ROUNDING_PICTURES)]
    deployed.head = rounded(deployed.head, [torch.from_numpy(picture) for picture in seen])
    quantised = quantise_head(_export_head(deployed, net.architecture), pictures)
    judging = deployed.head.map_head
    if not isinstance(judging, MapHead):
        return quantised
    shift = float(np.median(_logits(quantised, pictures) - _logits(head_float, pictures)))
    with torch.no_grad():
        judging.whole.bias.copy_(judging.whole.bias - shift)
    return quantise_head(_export_head(deployed, net.architecture), pictures)


def _logits(model: bytes, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    runtime = open_runtime("onnx", model)
    return np.array([logit(float(runtime.run(picture)[2].reshape(-1)[0])) for picture in pictures])


def _export_head(deployed: DeployedHead, a: Architecture) -> bytes:
    picture = torch.zeros(1, a.channels, a.height, a.width, dtype=torch.uint8)
    model = _export(deployed, picture, "picture", ["features", "map", "score"], None)
    return _finish(model, a)


def export_tail(net: SplitNet) -> bytes:
    """The tail as ONNX, any batch; large weights are kept in 16 bits and widened on loading."""
    a = net.architecture
    symbols = torch.zeros(2, a.bottleneck, a.height // 16, a.width // 16, dtype=torch.int8)
    batch = {"symbols": {0: torch.export.Dim("n", min=1, max=1024)}}
    tail = fuse_norms(DeployedTail(net.tail))
    model = _export(tail, symbols, "symbols", _tail_outputs(a), batch)
    _restore_weights(model, tail)
    halve_weights(model)
    return _finish(model, a)


def export_pixels(net: SplitNet) -> bytes:
    """The cloud model on pixels as ONNX, any batch."""
    a = net.architecture
    picture = torch.zeros(2, a.channels, a.height, a.width, dtype=torch.uint8)
    batch = {"picture": {0: torch.export.Dim("n", min=1, max=1024)}}
    model = _export(fuse_norms(DeployedPixels(net)), picture, "picture", _tail_outputs(a), batch)
    return _finish(model, a)


def _tail_outputs(architecture: Architecture) -> list[str]:
    return ["map", "score", "kinds"] if architecture.kinds else ["map", "score"]


def export_module(module: nn.Module, picture: Tensor, architecture: Architecture) -> bytes:
    """Any part of a network that takes a picture, with one output, as ONNX."""
    return _finish(_export(module, picture, "picture", ["output"], None), architecture)


def _export(
    module: nn.Module, example: Tensor, name: str, outputs: list[str], dynamic: Any
) -> onnx.ModelProto:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (example,),
            input_names=[name],
            output_names=outputs,
            dynamic_shapes=dynamic,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    stream = io.BytesIO()
    onnx.save_model(program.model_proto, stream)
    return onnx.load_from_string(stream.getvalue())


def _finish(model: onnx.ModelProto, architecture: Architecture) -> bytes:
    """Note the architecture, and drop what tells of the machine that exported it."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    helper.set_model_props(model, {ARCHITECTURE_KEY: json.dumps(asdict(architecture))})
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _restore_weights(model: onnx.ModelProto, module: nn.Module) -> None:
    """Put back what the exporter merged or dropped: equal biases, zeros.

    The torch runtime looks for every weight by its name; to other backends these are unused.
    """
    kept = {tensor.name for tensor in model.graph.initializer}
    for name, value in module.state_dict().items():
        if name not in kept:
            model.graph.initializer.append(numpy_helper.from_array(value.numpy(), name))


def halve_weights(model: onnx.ModelProto) -> None:
    """Keep large float32 initialisers as float16 and cast them back in the graph.

    Backends fold the cast when they load the model, so it costs space only on disk.
    """
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.nbytes < HALVE_FROM_BYTES:
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + HALF_SUFFIX))
        casts.append(helper.make_node("Cast", [name + HALF_SUFFIX], [name], to=TensorProto.FLOAT))
    for position, node in enumerate(casts):
        model.graph.node.insert(position, node)


def tail_weights(model: onnx.ModelProto) -> dict[str, NDArray[np.float32]]:
    """An exported tail's weights by the names that `deployed_tail` gives them."""
    return {
        tensor.name.removesuffix(HALF_SUFFIX): numpy_helper.to_array(tensor).astype(np.float32)
        for tensor in model.graph.initializer
        if tensor.data_type in {TensorProto.FLOAT, TensorProto.FLOAT16}
    }


def quantise_head(model: bytes, pictures: Sequence[NDArray[np.uint8]]) -> bytes:
    """The head in int8: QDQ, weights per channel, activations calibrated on `pictures`.

    pictures   uint8 (1, c, h, w) each, from the training parts
    """
    from onnxruntime.quantization import (  # noqa: PLC0415 - two seconds that only training pays
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        source, ready = Path(folder, "float.onnx"), Path(folder, "ready.onnx")
        target = Path(folder, "int8.onnx")
        source.write_bytes(model)
        quant_pre_process(source, ready, skip_symbolic_shape=True)
        prepared = onnx.load(ready)
        quantize_static(
            ready,
            target,
            _Reader(pictures),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            op_types_to_quantize=["Conv", "Add", "Clip", "Relu", "Pad"],
            nodes_to_exclude=_float_nodes(prepared),
            extra_options={
                "ActivationSymmetric": False,
                "WeightSymmetric": True,
                "TensorQuantOverrides": _exact_pixels(prepared),
            },
        )
        quantised = onnx.load(target)
    return bytes(quantised.SerializeToString())


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


class _Reader:
    """Feeds calibration pictures in the shape that onnxruntime's calibrator expects."""

    def __init__(self, pictures: Sequence[NDArray[np.uint8]]) -> None:
        self._pictures = iter(pictures)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        picture = next(self._pictures, None)
        return None if picture is None else {"picture": picture}
