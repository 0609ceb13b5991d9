"""Int8 heads give what their integers say, on any processor."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from shared.runtime.base import open_runtime
from shared.runtime.instructions import lacks_vnni

CHANNELS = 64


def saturating_head() -> bytes:
    """A convolution of int8 whose products of neighbours exceed 16 bits: 2 · 255 · 127 > 32,767."""
    weights = np.full((CHANNELS, CHANNELS, 3, 3), 127, np.int8)
    weights[:, ::3] = -100
    scale = np.array(1 / (255 * 127 * 9 * CHANNELS), np.float32)
    named: dict[str, NDArray[np.generic]] = {
        "weights": weights,
        "one": np.array(1.0, np.float32),
        "zero": np.array(0, np.uint8),
        "scale": scale,
        "level": np.array(0, np.int8),
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["picture", "one", "zero"], ["shown"]),
        helper.make_node("DequantizeLinear", ["weights", "scale", "level"], ["kernel"]),
        helper.make_node("Conv", ["shown", "kernel"], ["summed"], pads=[1, 1, 1, 1]),
        helper.make_node("QuantizeLinear", ["summed", "step", "zero"], ["whole"]),
        helper.make_node("DequantizeLinear", ["whole", "step", "zero"], ["features"]),
    ]
    shape = [1, CHANNELS, 16, 16]
    graph = helper.make_graph(
        nodes,
        "saturating",
        [helper.make_tensor_value_info("picture", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array(array, name)
            for name, array in (named | {"step": np.array(1 / 255, np.float32)}).items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_sums_beyond_sixteen_bits_are_not_cut_off(name: str) -> None:
    picture = np.full((1, CHANNELS, 16, 16), 255, np.uint8)
    (found,) = open_runtime(name, saturating_head()).run(picture)
    positive = CHANNELS - len(range(0, CHANNELS, 3))
    wanted = (127 * positive - 100 * (CHANNELS - positive)) / (127 * CHANNELS)
    inside = np.asarray(found, np.float64)[0, :, 1:-1, 1:-1]
    np.testing.assert_allclose(inside, wanted, atol=1 / 255)


@pytest.mark.parametrize(
    ("cpuinfo", "lacks"),
    [
        ("flags\t\t: fpu sse4_2 avx avx2 fma", True),
        ("flags\t\t: fpu avx2 avx_vnni", False),
        ("flags\t\t: fpu avx2 avx512f avx512_vnni", False),
        ("Features\t: fp asimd", False),
        ("", False),
    ],
)
def test_vnni_is_read_from_what_linux_says_of_the_processor(cpuinfo: str, lacks: bool) -> None:
    assert lacks_vnni(f"processor\t: 0\n{cpuinfo}\nbugs\t\t: none\n") is lacks
