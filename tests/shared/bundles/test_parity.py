"""Does a backend give what the bundle promises?"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.bundles.bundle import Bundle, Golden, write_bundle
from shared.bundles.manifest import HEAD, TAIL
from shared.bundles.parity import (
    check_codec,
    check_head,
    check_quantisation,
    check_tail,
    map_shape,
    measure_head,
    measure_tail,
)
from shared.errors import BundleMismatch, ParityError
from shared.runtime.base import Array, Runtime, open_runtime
from tests.bundles import make_bundle
from tests.shared.bundles.test_bundle import fields, files

Change = Callable[[list[Any]], list[Any]]


class Bent:
    """A runtime whose outputs are bent on their way."""

    name, device = "bent", "CPU"

    def __init__(self, straight: Runtime, change: Change) -> None:
        self.straight, self.change = straight, change

    def run(self, inputs: Array) -> Sequence[Array]:
        return self.change(list(self.straight.run(inputs)))


def bent(bundle: Bundle, model: str, change: Change) -> Bent:
    return Bent(open_runtime("onnx", bundle.read(model)), change)


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_every_backend_agrees_with_a_sound_bundle(tiny: Bundle, name: str) -> None:
    head = check_head(tiny, open_runtime(name, tiny.read(HEAD)))
    tail = check_tail(tiny, open_runtime(name, tiny.read(TAIL)))
    assert (head.runtime, head.device, head.agrees) == (name, "CPU", True)
    assert head.score_delta < 0.01
    assert head.symbols_apart == 0
    assert tail.agrees
    check_codec(tiny)


@pytest.mark.parametrize("shift", [0.06, -0.06, math.nan, math.inf])
def test_a_backend_whose_scores_lie_elsewhere_is_refused(tiny: Bundle, shift: float) -> None:
    head = bent(tiny, HEAD, lambda o: [o[0], o[1], o[2] + np.float32(shift)])
    tail = bent(tiny, TAIL, lambda o: [o[0], o[1] + np.float32(shift)])
    with pytest.raises(ParityError, match=r"bent on CPU disagrees with tiny: scores differ by"):
        check_head(tiny, head)
    with pytest.raises(ParityError, match="bent on CPU disagrees"):
        check_tail(tiny, tail)


def test_one_score_that_is_no_number_is_enough_to_refuse(tiny: Bundle) -> None:
    def spoil(outputs: list[Any]) -> list[Any]:
        outputs[1] = np.array(outputs[1])
        outputs[1][-1] = np.nan
        return outputs

    assert not measure_tail(tiny, bent(tiny, TAIL, spoil)).agrees


def test_a_backend_whose_features_lie_elsewhere_is_refused(tiny: Bundle) -> None:
    report = measure_head(tiny, bent(tiny, HEAD, lambda o: [-o[0] + 3, o[1], o[2]]))
    assert report.symbols_apart > tiny.manifest.tolerance.symbols
    assert report.score_delta < tiny.manifest.tolerance.score
    assert not report.agrees


def test_a_difference_within_the_tolerance_is_no_disagreement(tiny: Bundle) -> None:
    head = bent(tiny, HEAD, lambda o: [o[0] + 0.4, o[1], o[2] + 0.04])
    assert check_head(tiny, head).score_delta == pytest.approx(0.04, abs=1e-3)


@pytest.mark.parametrize(
    ("model", "change", "said"),
    [
        (HEAD, lambda o: [o[0][:, :1], o[1], o[2]], r"head features has shape \(1, 1, 4, 4\)"),
        (HEAD, lambda o: [o[0], o[1][:, :, :1], o[2]], r"head map has shape \(1, 1, 1, 8\)"),
        (HEAD, lambda o: o[:2], "head has 2 outputs, 3 were wanted"),
        (TAIL, lambda o: [o[0][:, :, :1], o[1]], "tail map has shape"),
        (TAIL, lambda o: [o[0], o[1][:, np.newaxis]], r"tail score has shape \(6, 1\)"),
        (TAIL, lambda o: [*o, o[0]], "tail has 3 outputs, 2 were wanted"),
    ],
)
def test_outputs_of_another_shape_are_a_mismatch(
    tiny: Bundle, model: str, change: Change, said: str
) -> None:
    check = check_head if model == HEAD else check_tail
    with pytest.raises(BundleMismatch, match=said):
        check(tiny, bent(tiny, model, change))


def test_kinds_of_defects_are_accepted_in_the_shape_that_the_manifest_says(tmp_path: Path) -> None:
    telling = make_bundle(tmp_path / "telling", kinds=True)
    for name in ("onnx", "openvino"):
        assert check_tail(telling, open_runtime(name, telling.read(TAIL))).agrees
    assert check_tail(telling, bent(telling, TAIL, lambda o: o[:2])).agrees
    with pytest.raises(BundleMismatch, match=r"tail kinds has shape \(6, 1\), .* \(6, 2\)"):
        check_tail(telling, bent(telling, TAIL, lambda o: [*o[:2], o[2][:, :1]]))
    with pytest.raises(BundleMismatch, match="tail has 4 outputs"):
        check_tail(telling, bent(telling, TAIL, lambda o: [*o, o[0]]))


def test_a_codec_that_encodes_otherwise_is_refused(tiny: Bundle, tmp_path: Path) -> None:
    golden = tiny.golden
    other = Golden(
        golden.inputs,
        golden.edge_scores,
        golden.symbols,
        golden.tail_scores,
        tiny.codec.encode(golden.symbols[1]),
        golden.float_scores,
    )
    changed = files(tiny) | {"golden.npz": other.to_bytes()}
    bundle = write_bundle(tmp_path / "other", fields(tiny), changed)
    with pytest.raises(BundleMismatch, match="does not reproduce the golden payload"):
        check_codec(bundle)
    shutil.rmtree(bundle.path)


def test_the_defect_maps_have_an_eighth_of_the_inputs_size(tiny: Bundle) -> None:
    assert map_shape(tiny) == (8, 8)


def test_an_int8_head_far_from_its_float_head_is_refused(tiny: Bundle) -> None:
    allowed = tiny.manifest.tolerance.int8
    assert check_quantisation(tiny.golden, allowed) <= allowed
    apart = replace(tiny.golden, float_scores=tiny.golden.edge_scores - 0.5)
    with pytest.raises(ParityError, match=r"differ from the float head's by 0\.5"):
        check_quantisation(apart, allowed)
    silent = replace(tiny.golden, float_scores=np.full_like(apart.float_scores, np.nan))
    with pytest.raises(ParityError):
        check_quantisation(silent, allowed)
