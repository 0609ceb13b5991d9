"""Lengths of runs → masks."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pycocotools import mask as reference

from cloud.datasets.label_fault import LabelFault
from cloud.datasets.run_lengths import RunLengths, brush_counts, coco_counts
from shared.errors import DataError

masks = arrays(np.bool_, st.tuples(st.integers(1, 20), st.integers(1, 20))).filter(np.any)


def counts(flat: NDArray[np.bool_]) -> list[int]:
    edges = np.flatnonzero(np.diff(flat)) + 1
    found = [int(count) for count in np.diff([0, *edges, flat.size])]
    return [0, *found] if flat[0] else found


@given(masks)
def test_the_references_strings_come_back_as_the_mask(mask: NDArray[np.bool_]) -> None:
    text = reference.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    runs = RunLengths.of(coco_counts(text), mask.shape, by_column=True)
    assert np.array_equal(runs.pixels(*mask.shape), mask)
    assert runs.area == mask.sum()


@given(masks, st.booleans())
def test_runs_along_rows_and_columns_come_back_as_the_mask(
    mask: NDArray[np.bool_], by_column: bool
) -> None:
    flat = mask.ravel(order="F" if by_column else "C")
    height, width = mask.shape
    runs = RunLengths.of(counts(flat), (height, width), by_column=by_column)
    assert np.array_equal(runs.pixels(height, width), mask)
    assert by_column or runs == RunLengths.drawn(mask, (height, width))


@given(st.text(alphabet=[chr(code) for code in range(40, 120)], max_size=30))
def test_any_string_is_a_list_of_runs_or_a_fault(text: str) -> None:
    with suppress(LabelFault):
        assert RunLengths.of(coco_counts(text), (8, 8), by_column=True).area > 0


@given(st.lists(st.integers(-1, 256), max_size=40))
def test_any_bytes_of_a_brush_are_runs_or_a_fault(packed: list[int]) -> None:
    with suppress(LabelFault):
        assert sum(brush_counts(packed, (8, 8))) == 64


def test_masks_that_mark_something_else_have_another_digest() -> None:
    one = RunLengths.of([1, 2, 6], (3, 3))
    others = [
        RunLengths.of([2, 2, 5], (3, 3)),
        RunLengths.of([1, 2, 6], (3, 3), by_column=True),
        RunLengths.of([1, 2, 6], (4, 4), window=(0, 0, 3, 3)),
        RunLengths.of([1, 2, 6], (4, 4), window=(1, 0, 3, 3)),
    ]
    assert len({mask.digest() for mask in (one, *others)}) == 5
    assert one.digest() == RunLengths.of([1, 2, 6], (3, 3)).digest()


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(DataError, match=r"drawn on 3 × 3 pixels, the picture has 4 × 3"):
        RunLengths.of([1, 8], (3, 3)).pixels(3, 4)
