from __future__ import annotations

from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hardware_sim.line.drawing.defects import DEFECT_KINDS, DefectKind, severity
from hardware_sim.line.drawing.parts import (
    GOOD,
    LOT,
    DefectSettings,
    DrawingSettings,
    DrawnPart,
    DrawnParts,
)
from hardware_sim.line.drawing.sheet import contact_sheet, write_sheet
from hardware_sim.line.drawing.spread import Constant, LogNormal, Normal, Spread, Uniform
from hardware_sim.line.drawing.surface import SurfaceName
from shared.errors import SettingsError

SURFACES: tuple[SurfaceName, ...] = get_args(SurfaceName)
surfaces = st.sampled_from(SURFACES)
kinds = st.sampled_from(DEFECT_KINDS)
seeds = st.integers(0, 2**32)
numbers = st.integers(1, 100_000)
SIDE = 96


def source(
    surface: SurfaceName,
    seed: int,
    *,
    kind: DefectKind | None = None,
    size: float = 1.0,
    contrast: float = 0.7,
    rate: Spread | None = None,
) -> DrawnParts:
    defects = DefectSettings(
        rate=rate or Constant(value=0.3),
        weights={kind: 1.0} if kind else dict.fromkeys(DEFECT_KINDS, 1.0),
        size=Constant(value=size),
        contrast=Constant(value=contrast),
    )
    drawing = DrawingSettings(surface=surface, height=SIDE, width=SIDE, defects=defects)
    return DrawnParts(drawing, seed)


def same(one: DrawnPart, other: DrawnPart) -> bool:
    return (
        np.array_equal(one.pixels, other.pixels)
        and np.array_equal(one.mask, other.mask)
        and (one.defect, one.severity) == (other.defect, other.severity)
    )


@given(surfaces, seeds, numbers, st.lists(numbers, max_size=3))
@settings(max_examples=25)
def test_a_part_is_the_same_whatever_was_drawn_before(
    surface: SurfaceName, seed: int, number: int, before: list[int]
) -> None:
    worn = source(surface, seed)
    for other in before:
        worn.part(other, rate=0.5)
    assert same(worn.part(number), source(surface, seed).part(number))


@given(surfaces, seeds, numbers, kinds)
@settings(max_examples=60)
def test_nothing_differs_from_the_good_part_outside_the_mask(
    surface: SurfaceName, seed: int, number: int, kind: DefectKind
) -> None:
    parts = source(surface, seed, kind=kind)
    spoilt, clean = parts.part(number, rate=1.0), parts.part(number, rate=0.0)
    differs = spoilt.pixels != clean.pixels
    if differs.ndim == 3:
        differs = differs.any(axis=2)
    assert not (differs & ~spoilt.mask).any()
    assert spoilt.defective == differs.any()
    if spoilt.defective:
        assert spoilt.defect == kind
        assert 0 < spoilt.severity < 1


@given(surfaces, seeds, numbers)
@settings(max_examples=20)
def test_a_good_part_has_an_empty_mask_and_no_severity(
    surface: SurfaceName, seed: int, number: int
) -> None:
    part = source(surface, seed).part(number, rate=0.0)
    assert (part.defect, part.severity, part.defective) == (GOOD, 0.0, False)
    assert not part.mask.any()
    assert part.pixels.dtype == np.uint8
    assert part.pixels.shape[:2] == part.mask.shape == (SIDE, SIDE)


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("kind", DEFECT_KINDS)
def test_every_kind_can_be_drawn_on_every_surface(surface: SurfaceName, kind: DefectKind) -> None:
    parts = source(surface, 5, kind=kind)
    drawn = [parts.part(number, rate=1.0) for number in range(1, 9)]
    assert {part.defect for part in drawn} == {kind}
    covered = [part.mask.mean() for part in drawn]
    assert 0 < min(covered) <= max(covered) < 0.3


@given(
    st.floats(1e-5, 1.0), st.floats(1e-3, 1.0), st.floats(1.01, 3.0), st.booleans()
)  # fmt: skip
def test_severity_grows_with_area_and_with_contrast(
    area: float, contrast: float, more: float, of_area: bool
) -> None:
    larger = severity(area * more, contrast) if of_area else severity(area, contrast * more)
    assert 0 < severity(area, contrast) < larger < 1


@given(surfaces, seeds, numbers, kinds)
@settings(max_examples=40)
def test_the_same_defect_is_severer_the_more_it_contrasts(
    surface: SurfaceName, seed: int, number: int, kind: DefectKind
) -> None:
    faint = source(surface, seed, kind=kind, contrast=0.25).part(number, rate=1.0)
    plain = source(surface, seed, kind=kind, contrast=0.9).part(number, rate=1.0)
    # Where the faint one could not be seen at all it was tried elsewhere: another defect.
    if np.array_equal(faint.mask, plain.mask) and plain.defective:
        assert faint.severity < plain.severity


@pytest.mark.parametrize("kind", ["scratch", "crack", "pit", "stain"])
def test_larger_defects_cover_more_and_are_severer(kind: DefectKind) -> None:
    def mean(size: float) -> tuple[float, float]:
        parts = source("cloth", 3, kind=kind, size=size)
        drawn = [parts.part(number, rate=1.0) for number in range(1, 17)]
        covered = float(np.mean([part.mask.mean() for part in drawn]))
        return covered, float(np.mean([part.severity for part in drawn]))

    small, large = mean(0.6), mean(2.0)
    assert large[0] > 1.5 * small[0]
    assert large[1] > small[1]


def test_defects_come_as_often_as_the_rate_says() -> None:
    parts = source("cloth", 11, rate=Constant(value=0.3))
    found = sum(parts.part(number).defective for number in range(1, 401))
    assert 90 <= found <= 150


def test_a_spread_rate_makes_bunches() -> None:
    bunched = source("cloth", 2, rate=Uniform(low=0.0, high=1.0))
    lots = [
        np.mean([bunched.part(lot * LOT + n).defective for n in range(1, LOT + 1)])
        for lot in range(6)
    ]
    assert max(lots) - min(lots) > 0.3


def test_all_parts_of_a_run_are_one_product_and_each_seed_is_another() -> None:
    def mean_picture(seed: int) -> np.ndarray:
        parts = source("metal", seed)
        pictures = [parts.part(n, rate=0.0).pixels.astype(float) for n in range(1, 13)]
        return np.asarray(np.mean(pictures, axis=0))

    one, again, other = mean_picture(1), mean_picture(1), mean_picture(2)
    assert np.array_equal(one, again)
    assert np.abs(one - other).max() > 40


@given(seeds, st.floats(-5, 5), st.floats(0, 5), st.floats(0.1, 2))
def test_every_distribution_stays_within_its_bounds(
    seed: int, low: float, room: float, deviation: float
) -> None:
    rng = np.random.default_rng(seed)
    spreads: list[Spread] = [
        Constant(value=low),
        Uniform(low=low, high=low + room),
        Normal(mean=low, deviation=deviation, low=low, high=low + room),
        LogNormal(median=deviation, sigma=deviation, low=low, high=low + room),
    ]
    for spread in spreads:
        least, most = spread.bounds
        assert all(least <= spread.draw(rng) <= most for _ in range(5))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"rate": {"kind": "constant", "value": 1.5}}, "must stay within 0 to 1"),
        ({"size": {"kind": "uniform", "low": 1, "high": 9}}, "must stay within 0.1 to 4"),
        ({"contrast": {"kind": "uniform", "low": 0.9, "high": 0.1}}, "must not lie above high"),
        ({"weights": {"pit": 0.0}}, "at least one weight above 0"),
        ({"weights": {"dent": 1.0}}, "'scratch', 'crack', 'pit'"),
        ({"rate": {"kind": "constant", "value": float("nan")}}, "finite"),
    ],
)
def test_impossible_defects_are_refused(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        DefectSettings.model_validate(wrong)


def test_a_contact_sheet_outlines_defects_and_nothing_else(tmp_path: Path) -> None:
    parts = source("metal", 4)
    plain, marked = contact_sheet(parts, rate=0.0), contact_sheet(parts, rate=1.0)
    assert plain.shape == marked.shape
    red = [int(((s[:, :, 2] > 200) & (s[:, :, 1] < 120)).sum()) for s in (plain, marked)]
    assert red[0] == 0
    assert red[1] > 1000
    write_sheet(parts, tmp_path / "sheet.png")
    assert cv2.imread(str(tmp_path / "sheet.png")) is not None


@pytest.mark.parametrize("name", ["sheet.xyz", "nowhere/sheet.png"])
def test_a_sheet_that_cannot_be_written_is_one_clear_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=r"can't be written as a picture; give --sheet"):
        write_sheet(source("metal", 4), tmp_path / name)
