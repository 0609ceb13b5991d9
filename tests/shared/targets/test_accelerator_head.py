"""The shipped head as accelerators take it: nothing in float, and the same decisions."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from hardware_sim.processes.session import SHIPPED_BUNDLE
from shared.bundles.bundle import Bundle
from shared.bundles.golden import golden_inputs
from shared.bundles.manifest import HEAD, HEAD_FLOAT
from shared.errors import BundleError
from shared.runtime.base import open_runtime
from shared.targets.head_graph import AcceleratorHead, accelerator_head
from shared.targets.host_judgement import OUTPUTS, host_judgement
from shared.targets.litert_head import LitertHead
from shared.targets.litert_writer import litert_file
from tests.bundles import make_bundle

INT8 = {"Conv", "Add", "Resize", "GlobalAveragePool"}
BETWEEN = {"QuantizeLinear", "DequantizeLinear", "Identity"}


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return Bundle.open(SHIPPED_BUNDLE)


@pytest.fixture(scope="module")
def made(shipped: Bundle) -> AcceleratorHead:
    shape = shipped.manifest.input.shape
    drawn = [golden_inputs(shape, seed) for seed in range(1, 5)]
    return accelerator_head(shipped.read(HEAD), [p[np.newaxis] for p in np.concatenate(drawn)])


def test_every_operator_reads_and_writes_int8(made: AcceleratorHead) -> None:
    graph = onnx.load_from_string(made.model).graph
    assert {node.op_type for node in graph.node} == INT8 | BETWEEN
    writer = {output: node.op_type for node in graph.node for output in node.output}
    readers = {name: node.op_type for node in graph.node for name in node.input}
    for node in graph.node:
        if node.op_type in INT8:
            read = [n for n in node.input if n in writer]
            assert {writer[name] for name in read} == {"DequantizeLinear"}, node.name
            assert readers[node.output[0]] == "QuantizeLinear", node.name
    (picture,) = graph.input
    assert picture.type.tensor_type.elem_type == TensorProto.UINT8
    assert readers[picture.name] == "DequantizeLinear"
    assert tuple(output.name for output in graph.output) == OUTPUTS


def test_it_keeps_each_weight_that_was_int8(shipped: Bundle, made: AcceleratorHead) -> None:
    before = onnx.load_from_string(shipped.read(HEAD)).graph.initializer
    after = {one.name: one for one in onnx.load_from_string(made.model).graph.initializer}
    kept = [one for one in before if one.name.endswith("weight_quantized")]
    assert len(kept) > 25
    assert all(after[one.name] == one for one in kept)


@pytest.mark.parametrize("runtime", ["onnx", "openvino", "litert"])
def test_it_decides_and_sends_as_the_shipped_head(
    shipped: Bundle, made: AcceleratorHead, runtime: str
) -> None:
    manifest, golden = shipped.manifest, shipped.golden
    gate = manifest.gate.gate
    litert = LitertHead(litert_file(made.model), made.top)
    for picture, score, symbols in zip(
        golden.inputs, golden.edge_scores, golden.symbols, strict=True
    ):
        if runtime == "litert":
            features, _, judged = litert.run(picture[np.newaxis])
        else:
            features, logits, whole = open_runtime(runtime, made.model).run(picture[np.newaxis])
            judged = host_judgement(
                np.asarray(logits, np.float32), np.asarray(whole, np.float32), made.top
            ).score
        found = float(np.asarray(judged).reshape(-1)[0])
        assert found == pytest.approx(float(score), abs=manifest.tolerance.score)
        assert gate.decide(found) == gate.decide(float(score))
        apart = np.abs(shipped.codec.quantise(np.asarray(features[0], np.float32)) - symbols)
        assert (apart > 1).mean() <= manifest.tolerance.symbols


def test_without_pictures_nothing_is_guessed(shipped: Bundle) -> None:
    with pytest.raises(BundleError, match="no pictures to find the ranges"):
        accelerator_head(shipped.read(HEAD), [])


def test_a_head_that_is_not_int8_is_refused(shipped: Bundle) -> None:
    picture = golden_inputs(shipped.manifest.input.shape)[:1]
    with pytest.raises(BundleError, match="can't be written for accelerators: its "):
        accelerator_head(shipped.read(HEAD_FLOAT), [picture])


def test_a_head_whose_first_levels_are_not_grey_levels_is_refused(shipped: Bundle) -> None:
    head = onnx.load_from_string(shipped.read(HEAD))
    (first,) = [node for node in head.graph.node if node.op_type == "Conv"][:1]
    writer = {output: node for node in head.graph.node for output in node.output}
    step = writer[first.input[0]].input[1]
    for tensor in head.graph.initializer:
        if tensor.name == step:
            tensor.CopyFrom(numpy_helper.from_array(np.array(0.007, np.float32), step))
    picture = golden_inputs(shipped.manifest.input.shape)[:1]
    with pytest.raises(BundleError, match=r"rounded to steps of 0\.896 grey levels"):
        accelerator_head(head.SerializeToString(), [picture])


def test_a_head_with_another_ending_is_refused(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    other = make_bundle(tmp_path_factory.mktemp("other") / "bundle")
    with pytest.raises(BundleError, match="can't be written for accelerators"):
        accelerator_head(other.read(HEAD), [golden_inputs(other.manifest.input.shape)[:1]])
