"""Backends, opened by name."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD, TAIL
from shared.bundles.runtime_choice import PREFERENCE, choose_runtime
from shared.errors import RuntimeUnavailable
from shared.runtime import onnx, openvino
from shared.runtime.base import RUNTIMES, RuntimeOptions, open_runtime


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_a_runtime_opened_by_name_runs_the_model(tiny: Bundle, name: str) -> None:
    runtime = open_runtime(name, tiny.read(HEAD), RuntimeOptions(threads=2))
    features, defect_map, score = runtime.run(tiny.golden.inputs[:1])
    assert (runtime.name, runtime.device) == (name, "CPU")
    assert features.shape == (1, *tiny.manifest.features.shape)
    assert defect_map.shape == (1, 1, 8, 8)
    assert float(np.ravel(score)[0]) == pytest.approx(tiny.golden.edge_scores[0], abs=0.01)


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_a_tail_takes_any_number_of_parts_and_keeps_no_output(tiny: Bundle, name: str) -> None:
    tail = open_runtime(name, tiny.read(TAIL))
    symbols = tiny.golden.symbols
    together = np.array(tail.run(symbols)[1], float)
    alone = [tail.run(one[np.newaxis])[1] for one in symbols]
    np.testing.assert_allclose(np.array(np.concatenate(alone), float), together, atol=1e-5)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(RuntimeUnavailable) as caught:
        open_runtime("tensorrt", b"")
    assert "'tensorrt'" in str(caught.value)
    assert ", ".join(RUNTIMES.names()) in str(caught.value)
    assert {"onnx", "openvino", "torch"} <= set(RUNTIMES.names())


@pytest.mark.torch
@pytest.mark.parametrize("name", ["onnx", "openvino", "torch"])
@settings(max_examples=15)
@given(model=st.binary(max_size=100))
def test_a_model_that_is_none_is_unavailable_in_one_telling_line(name: str, model: bytes) -> None:
    with pytest.raises(RuntimeUnavailable) as caught:
        open_runtime(name, model)
    assert caught.value.message.startswith(f"{name} can't run this model on CPU: ")
    assert "\n" not in str(caught.value)
    assert ".cpp" not in str(caught.value)


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_a_device_that_is_not_here_is_unavailable(tiny: Bundle, name: str) -> None:
    with pytest.raises(RuntimeUnavailable, match="on TPU9: "):
        open_runtime(name, tiny.read(HEAD), RuntimeOptions("TPU9"))


@pytest.mark.torch
def test_torch_refuses_a_tail_that_splitsight_did_not_export(tiny: Bundle) -> None:
    with pytest.raises(RuntimeUnavailable, match="only tails that splitsight exported"):
        open_runtime("torch", tiny.read(TAIL), RuntimeOptions("cpu"))


def test_auto_takes_the_first_that_runs_and_says_why(tiny: Bundle) -> None:
    chosen = choose_runtime("auto", tiny.read(HEAD), RuntimeOptions())
    assert chosen.runtime.name == PREFERENCE[0]
    assert PREFERENCE[0] in chosen.reason


def test_auto_passes_over_a_backend_that_lacks_the_device(tiny: Bundle) -> None:
    if "CUDA" in onnx.devices():
        chosen = choose_runtime("auto", tiny.read(HEAD), RuntimeOptions("CUDA"))
        assert chosen.runtime.name == "onnx"
        return
    with pytest.raises(RuntimeUnavailable) as caught:
        choose_runtime("auto", tiny.read(HEAD), RuntimeOptions("CUDA"))
    for name in PREFERENCE:
        assert f"{name} can't run this model on CUDA" in str(caught.value)


def test_a_named_backend_is_never_replaced(tiny: Bundle) -> None:
    chosen = choose_runtime("onnx", tiny.read(HEAD), RuntimeOptions())
    assert (chosen.runtime.name, chosen.reason) == ("onnx", "onnx was asked for")
    with pytest.raises(RuntimeUnavailable, match="no runtime 'none'"):
        choose_runtime("none", tiny.read(HEAD), RuntimeOptions())


def test_every_backend_finds_the_processor() -> None:
    assert "CPU" in onnx.devices()
    assert "CPU" in openvino.devices(), version("openvino")
