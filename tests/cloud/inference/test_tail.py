"""The tail and its batches."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cloud.inference.tail import LoadedTail, TailFinding, open_tail, open_tails
from shared.bundles.bundle import Bundle, write_bundle
from shared.bundles.manifest import CODEC, GOLDEN, HEAD, HEAD_FLOAT, TAIL
from shared.errors import BundleMismatch, ParityError, RuntimeUnavailable
from shared.runtime.base import Array
from shared.runtime.settings import RuntimeSettings
from tests.bundles import KINDS, make_bundle
from tests.cloud.makers import symbols_of


@pytest.fixture(scope="module", params=["onnx", "openvino"])
def tail(request: pytest.FixtureRequest, bundle: Bundle) -> LoadedTail:
    return open_tail(bundle, RuntimeSettings(name=request.param))


@settings(max_examples=40, deadline=None)
@given(data=st.data(), count=st.integers(1, 8))
def test_parts_judged_together_get_what_each_gets_alone(
    tail: LoadedTail, data: st.DataObject, count: int
) -> None:
    symbols = data.draw(arrays(np.int8, (count, *tail.shape), elements=st.integers(-16, 16)))
    maps, scores, kinds = tail.run(symbols)
    assert kinds is None
    assert maps.shape == (count, 8, 8)
    for index in range(count):
        alone_map, alone_score, _ = tail.run(symbols[index : index + 1])
        np.testing.assert_allclose(maps[index], alone_map[0], atol=1e-5)
        np.testing.assert_allclose(scores[index], alone_score[0], atol=1e-5)


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_tail_that_knows_kinds_of_defects_names_the_likeliest(
    tmp_path: Path, runtime: str
) -> None:
    telling = make_bundle(tmp_path / "telling", kinds=True)
    settings = RuntimeSettings(name=runtime)
    found = open_tail(telling, settings).run(
        np.stack([symbols_of(telling, level) for level in (-1, 0, 2, 5)])
    )
    kinds = [found.kind(index, telling.manifest.classes) for index in range(4)]
    assert [kind and kind.name for kind in kinds] == ["hole", "hole", "crack", "crack"]
    sure = [kind.probability for kind in kinds if kind]
    assert sure == pytest.approx([1 / (1 + math.exp(-x)) for x in (6, 3, 3, 12)], abs=1e-3)


def test_kinds_that_are_no_numbers_name_none() -> None:
    maps, scores = np.zeros((2, 8, 8), np.float32), np.zeros(2, np.float32)
    kinds = np.array([[np.nan, 0.5], [0.3, 0.7]], np.float32)
    found = TailFinding(maps, scores, kinds)
    assert found.kind(0, KINDS) is None
    told = found.kind(1, KINDS)
    assert told is not None
    assert told.name == "hole"
    assert told.probability == pytest.approx(0.7)


def test_several_tails_are_chosen_by_pair(bundle: Bundle, tmp_path: Path) -> None:
    larger = make_bundle(tmp_path / "larger", height=96, width=96)
    tails = open_tails([bundle.path, larger.path], RuntimeSettings())
    assert {pair: tail.bundle.id for pair, tail in tails.items()} == {
        bundle.manifest.pair: bundle.id,
        larger.manifest.pair: larger.id,
    }


class WrongRuntime:
    name = "wrong"
    device = "CPU"

    def run(self, inputs: Array) -> list[Array]:
        return [
            np.zeros((len(inputs), 1, 8, 8), np.float32),
            np.zeros((len(inputs), 2), np.float32),
        ]


def test_outputs_of_another_shape_are_refused(bundle: Bundle) -> None:
    with pytest.raises(BundleMismatch, match=r"tail score has shape \(3, 2\)"):
        LoadedTail(bundle, WrongRuntime()).run(
            np.zeros((3, *bundle.manifest.features.shape), np.int8)
        )


def test_a_device_that_is_not_there_is_said(bundle: Bundle) -> None:
    with pytest.raises(RuntimeUnavailable, match="NPU9"):
        open_tail(bundle, RuntimeSettings(name="onnx", device="NPU9"))


def test_a_tail_that_disagrees_with_its_bundle_is_refused(tmp_path: Path) -> None:
    good = make_bundle(tmp_path / "good")
    lying = replace(good.golden, tail_scores=1 - good.golden.tail_scores).to_bytes()
    files = {name: good.read(name) for name in (HEAD, HEAD_FLOAT, TAIL, CODEC)}
    manifest = good.manifest.model_dump(mode="json", exclude={"files"})
    bad = write_bundle(tmp_path / "bad", manifest, files | {GOLDEN: lying})
    with pytest.raises(ParityError, match="disagrees"):
        open_tail(bad, RuntimeSettings())
