"""Both sides of a round mean the same numbers, whatever network they come from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from shared.errors import WireError
from shared.federation.protocol import (
    LARGEST,
    MOST_VALUES,
    NO_LABELS,
    ONE_CLASS,
    LabelCounts,
    Scope,
    TrainOrder,
    VectorLayout,
    is_statistic,
    narrow,
    node_of,
    seed_of,
)

NAMES = [
    "head.stem.conv.weight",
    "head.blocks.6._conv.weight",
    "head.blocks.7._conv.weight",
    "head.blocks.7._bn.weight",
    "head.blocks.7._bn.bias",
    "head.blocks.7._bn.running_mean",
    "head.blocks.7._bn.running_var",
    "head.blocks.7._bn.num_batches_tracked",
    "head.blocks.10._conv.weight",
    "head.map_fine.weight",
    "head.map_head.map.weight",
    "head.encoder_fine.0.weight",
    "head.encoder.0.weight",
    "entropy.mean",
    "tail.decoder.start.0.weight",
    "tail.blocks.0._conv.weight",
]
shapes = st.dictionaries(
    st.text("abc.", min_size=1, max_size=8),
    st.lists(st.integers(0, 4), max_size=3).map(tuple),
    max_size=5,
)


@given(shapes)
def test_arrays_come_out_of_a_vector_as_they_went_in(
    wanted: dict[str, tuple[int, ...]],
) -> None:
    generator = np.random.default_rng(0)
    arrays = {name: generator.normal(size=shape) for name, shape in wanted.items()}
    layout = VectorLayout(wanted)
    vector = layout.flat(arrays)
    assert vector.shape == (layout.size,)
    back = layout.named(vector)
    assert back.keys() == arrays.keys()
    assert all(np.array_equal(back[name], arrays[name]) for name in arrays)


@given(shapes, shapes)
def test_two_layouts_are_the_same_only_for_the_same_shapes_in_the_same_order(
    one: dict[str, tuple[int, ...]], other: dict[str, tuple[int, ...]]
) -> None:
    same = list(one.items()) == list(other.items())
    assert (VectorLayout(one).sha256 == VectorLayout(other).sha256) == same


def test_a_vector_or_an_array_of_another_shape_is_refused_with_both() -> None:
    layout = VectorLayout({"a": (2, 3)})
    with pytest.raises(WireError, match=r"\(5,\) values came, 6 were wanted"):
        layout.named(np.zeros(5))
    with pytest.raises(WireError, match=r"a has the shape \(3, 2\), not \(2, 3\)"):
        layout.flat({"a": np.zeros((3, 2))})
    with pytest.raises(WireError, match="a has the shape None"):
        layout.flat({})


def test_a_layout_larger_than_any_network_is_refused_before_anything_is_unpacked() -> None:
    with pytest.raises(WireError, match="more than a round may carry"):
        VectorLayout({"a": (MOST_VALUES + 1,)})


@given(arrays_of.arrays(np.float64, st.integers(0, 20), elements=st.floats(-60_000, 60_000)))
def test_sixteen_bits_keep_three_digits(vector: np.ndarray) -> None:
    assert np.allclose(narrow(vector), vector, rtol=1e-3, atol=1e-7)


def test_what_is_too_large_for_sixteen_bits_is_limited_and_what_is_no_number_stays_none() -> None:
    found = narrow(np.array([1e9, -1e9, np.nan, np.inf]))
    assert found[0] == LARGEST
    assert found[1] == -LARGEST
    assert np.isnan(found[2])
    assert np.isinf(found[3])


def test_by_default_the_last_two_blocks_the_map_and_the_encoder_learn() -> None:
    learned = Scope().learned(NAMES)
    assert learned == [
        name
        for name in NAMES
        if name.startswith(("head.blocks.7", "head.blocks.10", "head.map", "head.encoder"))
        and not name.endswith("num_batches_tracked")
    ]
    assert Scope().travelling(NAMES) == learned


def test_options_widen_and_narrow_what_learns() -> None:
    assert "head.encoder.0.weight" not in Scope(encoder=False).learned(NAMES)
    assert "tail.decoder.start.0.weight" in Scope(decoder=True).learned(NAMES)
    assert "head.blocks.6._conv.weight" in Scope(from_block=6).learned(NAMES)
    assert not any("blocks.7." in name for name in Scope(from_block=8).learned(NAMES))


def test_what_is_local_is_learned_and_does_not_travel() -> None:
    local = Scope(normalisation="local")
    stays = set(local.learned(NAMES)) - set(local.travelling(NAMES))
    assert stays == {f"head.blocks.7._bn.{n}" for n in ("weight", "bias", "running_mean",
                                                        "running_var")}  # fmt: skip
    personal = Scope(judgement="local")
    stays = set(personal.learned(NAMES)) - set(personal.travelling(NAMES))
    assert stays == {"head.map_fine.weight", "head.map_head.map.weight"}


def test_running_means_are_statistics_and_weights_are_not() -> None:
    assert is_statistic("head.blocks.7._bn.running_var")
    assert not is_statistic("head.blocks.7._bn.weight")


def test_an_order_comes_back_as_it_was_and_rubbish_is_refused() -> None:
    order = TrainOrder("run", "base", "layout", Scope(normalisation="local"), rate=0.1, seed=4)
    assert TrainOrder.decode(order.encode()) == order
    for rubbish in (b"{}", b"\x00", b'{"run": 1, "base": "", "layout": ""}', "text", None):
        with pytest.raises(WireError):
            TrainOrder.decode(rubbish)


def test_counts_come_back_as_they_were_and_rubbish_is_refused() -> None:
    counts = LabelCounts("box", "sha", {"a": 3}, {"a": 1, "b": 2}, 4)
    assert LabelCounts.decode(counts.encode()) == counts
    assert counts.parts == 6
    for rubbish in (b"[]", b"x" * 100_000, 5):
        with pytest.raises(WireError):
            LabelCounts.decode(rubbish)


def test_who_has_no_labels_or_one_class_only_says_so() -> None:
    assert LabelCounts("box", "", {}, {}, 3).refusal() == NO_LABELS
    assert LabelCounts("box", "", {"a": 3}, {}, 3).refusal() == ONE_CLASS
    assert LabelCounts("box", "", {"a": 0}, {"a": 2}, 3).refusal() == ONE_CLASS
    assert LabelCounts("box", "", {"a": 1}, {"b": 1}, 3).refusal() is None


@given(st.text(max_size=20), st.text(max_size=20))
def test_devices_have_numbers_of_their_own_that_flower_takes(one: str, other: str) -> None:
    assert 0 <= node_of(one) < 2**63
    assert (node_of(one) == node_of(other)) == (one == other)


def test_draws_differ_between_devices_rounds_and_seeds() -> None:
    order = TrainOrder("run", "base", "layout")
    other = TrainOrder("run", "base", "layout", seed=1)
    draws = {seed_of(order, "a", 1), seed_of(order, "b", 1), seed_of(order, "a", 2),
             seed_of(other, "a", 1)}  # fmt: skip
    assert len(draws) == 4
