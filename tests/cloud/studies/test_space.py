"""What a search draws is always something that can be trained."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.studies.space import WHAT, SearchSpace, chosen
from cloud.training.options import Options
from shared.errors import SettingsError
from shared.splitnet.backbone import load_backbone
from shared.splitnet.network import Architecture
from shared.splitnet.objective import Weights

pytestmark = pytest.mark.torch

BLOCKS = (5, 6, 7, 8, 9)
sides = st.integers(1, 20).map(lambda n: 32 * n)


def space(height: int = 224, width: int = 224, what: tuple[str, ...] = WHAT) -> SearchSpace:
    return SearchSpace(Options(Architecture(height, width)), what, BLOCKS)


@settings(deadline=None)
@given(sides, sides, st.data())
def test_every_size_is_of_multiples_of_32_and_keeps_its_proportion(
    height: int, width: int, data: st.DataObject
) -> None:
    found = space(height, width)
    size = found.distributions()["size"]
    least, most = size.to_external_repr(size.low), size.to_external_repr(size.high)  # type: ignore[attr-defined]
    side = 32 * data.draw(st.integers(least // 32, most // 32))
    shape = found.options({"size": side}).architecture
    assert not shape.height % 32
    assert not shape.width % 32
    assert max(shape.height, shape.width) == side
    # No side is further from its share than half a step, or shorter than one.
    share = side / max(height, width) * min(height, width)
    assert abs(min(shape.height, shape.width) - max(share, 32)) <= 16


@settings(deadline=None)
@given(sides, sides)
def test_the_search_begins_with_what_was_given(height: int, width: int) -> None:
    found = space(height, width)
    assert found.options(found.start()) == found.base
    for name, distribution in found.distributions().items():
        assert distribution._contains(distribution.to_internal_repr(found.start()[name]))


def test_only_what_is_named_is_varied() -> None:
    found = space(what=("rate",))
    assert set(found.distributions()) == set(found.start()) == {"rate"}
    assert found.options({"rate": 0.001}) == replace(found.base, rate=0.001)


def test_every_split_that_is_offered_can_be_built() -> None:
    blocks = load_backbone(64, 64, 1, pretrained=False).split_blocks
    assert Architecture().split_block in blocks
    assert len(blocks) > 1


@pytest.mark.parametrize(
    ("what", "said"), [("size,depth", "can't vary depth"), (",", "nothing"), ("", "nothing")]
)
def test_what_can_not_be_varied_is_refused(what: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        chosen(what, Options())


def test_a_weight_of_nothing_has_no_multiples() -> None:
    with pytest.raises(SettingsError, match="bit weight of 0"):
        chosen("bits", Options(weights=Weights(rate=0.0)))
    assert chosen("rate, size", Options(weights=Weights(rate=0.0))) == ("size", "rate")
