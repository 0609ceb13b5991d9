"""The trained network → ONNX: a float head, an int8 head, and a tail with halved weights."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from shared.splitnet.calibration import CalibrationStatistics, OwnPictures, median_shift
from shared.splitnet.fusion import DeployedHead, fuse_norms
from shared.splitnet.network import Architecture, MapHead, SplitNet, Tail, TailOutput
from shared.splitnet.quantisation import Prepared
from shared.splitnet.rounding import round_by

ARCHITECTURE_KEY = "splitsight.architecture"
HALF_SUFFIX = ".half"
HALVE_FROM_BYTES = 1024
OPSET = 18
# It warns of torchvision's operators at each export, and no network of ours has any.
logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)


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


def _probabilities(judged: TailOutput) -> tuple[Tensor, ...]:
    outputs = (judged.map.sigmoid(), judged.score.sigmoid())
    return outputs if judged.kinds is None else (*outputs, judged.kinds.softmax(dim=1))


def deployed_tail(architecture: Architecture) -> DeployedTail:
    """An untrained tail with the layers of an exported one, ready for its weights."""
    net = SplitNet(architecture, pretrained=False).eval()
    tail: DeployedTail = fuse_norms(DeployedTail(net.tail))
    return tail


def export_head(net: SplitNet) -> bytes:
    """The float head as ONNX, batch 1."""
    return _export_head(fuse_norms(DeployedHead(net.head)), net.architecture)


def export_int8_head(
    net: SplitNet, head_float: bytes, pictures: Sequence[NDArray[np.uint8]]
) -> bytes:
    """The head in int8 as ONNX, batch 1, by what its own training pictures show.

    head_float   what `export_head` gave of it
    pictures     uint8 (1, c, h, w) each, from the training parts
    """
    return int8_head(net, head_float, OwnPictures(pictures))


def int8_head(net: SplitNet, head_float: bytes, seen: CalibrationStatistics) -> bytes:
    """The head in int8 as ONNX, batch 1: weights rounded together, everything quantised, and
    what that shifts all scores by taken back (as biases in Nagel et al., ICCV 2019).

    seen   what pictures show of a network, wherever they are
    """
    deployed = fuse_norms(DeployedHead(net.head))
    deployed.head = round_by(deployed.head, seen.moments(deployed.head))
    model = with_weights(head_float, deployed) or _export_head(deployed, net.architecture)
    prepared = Prepared.of(model)
    ranges = seen.ranges(prepared.measuring())
    quantised = prepared.quantise(ranges)
    judging = deployed.head.map_head
    if not isinstance(judging, MapHead):
        return quantised
    shift = median_shift(seen.shifts(quantised, head_float))
    with torch.no_grad():
        judging.whole.bias.copy_(judging.whole.bias - shift)
    model = with_weights(head_float, deployed) or _export_head(deployed, net.architecture)
    # No range depends on the last bias: what follows it stays float.
    return Prepared.of(model).quantise(ranges)


def with_weights(model: bytes, module: nn.Module) -> bytes | None:
    """An exported model with another module's weights, of the same layers; None where the
    exporter has merged or dropped some, so that it can only be exported anew.

    It gives the same bytes as exporting, in a hundredth of the time.
    """
    graph = onnx.load_from_string(model)
    tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
    for name, value in module.state_dict().items():
        tensor = tensors.get(name)
        if tensor is None or list(tensor.dims) != list(value.shape):
            return None
        if tensor.data_type != TensorProto.FLOAT:
            return None
        tensor.CopyFrom(numpy_helper.from_array(value.numpy(), name))
    return bytes(graph.SerializeToString())


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
