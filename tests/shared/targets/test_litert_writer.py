"""What is written for LiteRT: convolutions with every padding, and what is refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from shared.errors import BundleError, RuntimeUnavailable
from shared.runtime.base import open_runtime
from shared.targets.litert_head import LitertFile, LitertHead
from shared.targets.litert_writer import litert_file

CHANNELS = 4


def model_of(
    *nodes: onnx.NodeProto,
    shape: tuple[int, int],
    to: tuple[int, int],
    **arrays: NDArray[np.generic],
) -> bytes:
    """`picture` through nodes that read `shown` and write `made`, to `features`."""
    levels: dict[str, NDArray[np.generic]] = {
        "step": np.array(0.05, np.float32),
        "zero": np.array(127, np.uint8),
    }
    around = [
        helper.make_node("DequantizeLinear", ["picture", "step", "zero"], ["shown"]),
        *nodes,
        helper.make_node("QuantizeLinear", ["made", "step", "zero"], ["levels"]),
        helper.make_node("DequantizeLinear", ["levels", "step", "zero"], ["features"]),
    ]
    graph = helper.make_graph(
        around,
        "one",
        [helper.make_tensor_value_info("picture", TensorProto.UINT8, [1, CHANNELS, *shape])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, CHANNELS, *to])],
        [numpy_helper.from_array(array, name) for name, array in {**levels, **arrays}.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def convolution(
    size: int, kernel: int, stride: int, pads: list[int], *, grouped: bool, seed: int
) -> bytes:
    rng = np.random.default_rng(seed)
    per_group = 1 if grouped else CHANNELS
    weights = rng.integers(-127, 128, (CHANNELS, per_group, kernel, kernel)).astype(np.int8)
    scale = rng.uniform(0.001, 0.004, CHANNELS).astype(np.float32)
    made = (size + pads[0] + pads[2] - kernel) // stride + 1
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["weights"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "bs", "bz"], ["bias"], axis=0),
        helper.make_node(
            "Conv",
            ["shown", "weights", "bias"],
            ["made"],
            strides=[stride, stride],
            pads=pads,
            group=CHANNELS if grouped else 1,
        ),
    ]
    arrays: dict[str, NDArray[np.generic]] = {
        "w": weights,
        "ws": scale,
        "wz": np.zeros(CHANNELS, np.int8),
        "b": rng.integers(-2000, 2000, CHANNELS).astype(np.int32),
        "bs": scale * np.float32(0.05),
        "bz": np.zeros(CHANNELS, np.int32),
    }
    return model_of(*nodes, shape=(size, size), to=(made, made), **arrays)


@settings(max_examples=30, deadline=None)
@given(
    size=st.integers(7, 16),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 2]),
    before=st.integers(0, 2),
    behind=st.integers(0, 2),
    grouped=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_a_convolution_with_any_padding_gives_the_same_integers(
    size: int, kernel: int, stride: int, before: int, behind: int, *, grouped: bool, seed: int
) -> None:
    pads = [before, before, behind, behind]
    model = convolution(size, kernel, stride, pads, grouped=grouped, seed=seed)
    picture = np.random.default_rng(seed).integers(0, 256, (1, CHANNELS, size, size), np.uint8)
    (wanted,) = open_runtime("onnx", model).run(picture)
    found = LitertFile(litert_file(model)).run(picture)["features"]
    assert found.shape == wanted.shape
    # Where a sum lies between two levels, fixed point may round it the other way.
    apart = np.abs(found - np.asarray(wanted, np.float32)) / 0.05
    assert apart.max() < 1.01
    assert (apart > 0.5).mean() <= 0.02


def test_an_operator_without_counterpart_is_named() -> None:
    node = helper.make_node("Sigmoid", ["shown"], ["made"], name="last")
    with pytest.raises(BundleError, match=r"written for LiteRT: Sigmoid last is none that"):
        litert_file(model_of(node, shape=(8, 8), to=(8, 8)))


def test_enlarging_by_anything_else_than_nearest_neighbours_is_refused() -> None:
    node = helper.make_node("Resize", ["shown", "", "twice"], ["made"], name="up", mode="linear")
    model = model_of(node, shape=(8, 8), to=(16, 16), twice=np.array([1, 1, 2, 2], np.float32))
    with pytest.raises(BundleError, match="Resize up enlarges other than by nearest"):
        litert_file(model)


def test_a_file_that_is_none_and_one_of_another_model_are_told_apart() -> None:
    with pytest.raises(RuntimeUnavailable, match="LiteRT can't run this file"):
        LitertHead(b"no such thing", 1)
    file = litert_file(convolution(8, 3, 1, [1, 1, 1, 1], grouped=False, seed=0))
    with pytest.raises(RuntimeUnavailable, match="no output map_logits, whole"):
        LitertHead(file, 1)
