"""Arm's compiler on real files: what it takes whole, and what it would leave to the CPU."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from shared.errors import RuntimeUnavailable, SettingsError
from shared.targets.litert_writer import litert_file
from shared.targets.target import COMPILED, FAMILIES, TARGETS, target_named
from shared.targets.vela_compiler import ARENA_BYTES, compile_head
from tests.shared.targets.test_litert_writer import convolution, model_of

pytestmark = pytest.mark.process


@pytest.mark.parametrize("family", FAMILIES)
def test_what_runs_whole_on_the_accelerator_has_its_cost(family: str) -> None:
    file = litert_file(convolution(16, 3, 2, [1, 1, 1, 1], grouped=False, seed=0))
    made = compile_head(file, target_named(family))
    assert made.off_npu == ()
    assert made.file[4:8] == b"TFL3"
    assert 0 < made.milliseconds < 1
    assert 0 <= made.sram_kib <= ARENA_BYTES / 1024
    assert made.tool.startswith("vela ")


def test_an_operator_that_the_accelerator_lacks_is_named_with_the_reason() -> None:
    node = helper.make_node(
        "Resize",
        ["shown", "", "thrice"],
        ["made"],
        mode="nearest",
        nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )
    thrice = np.array([1, 1, 3, 3], np.float32)
    file = litert_file(model_of(node, shape=(8, 8), to=(24, 24), thrice=thrice))
    made = compile_head(file, "ethos-u55-256")
    assert len(made.off_npu) == 1
    assert made.off_npu[0].startswith("RESIZE_NEAREST_NEIGHBOR: ")
    assert "3" in made.off_npu[0]


def test_what_the_compiler_refuses_is_told_in_its_words() -> None:
    with pytest.raises(RuntimeUnavailable, match="Vela can't compile this head for ethos-u99-1"):
        compile_head(
            litert_file(convolution(8, 1, 1, [0, 0, 0, 0], grouped=False, seed=0)), "ethos-u99-1"
        )


def test_targets_have_one_name_each() -> None:
    assert {target_named(name) for name in TARGETS} == set(TARGETS)
    assert {target_named(name) for name in FAMILIES} <= set(COMPILED)
    with pytest.raises(SettingsError, match="no target 'ethos-u55-7'"):
        target_named("ethos-u55-7")
