"""Which pictures are taken for the same part."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cloud.datasets.account import Account
from cloud.datasets.glances import glance
from cloud.datasets.likeness import Grouping, SamePart, group_near_identical
from shared.errors import SettingsError
from tests.cloud.datasets.makers import Pixels, part, save

SIDE = 128


def in_a_fixture(count: int) -> list[Pixels]:
    """Different parts of one form, ± 0.7 px, noise of 5 grey levels."""
    rng = np.random.default_rng(0)
    form = np.full((SIDE, SIDE), 90, np.float32)
    cv2.circle(form, (64, 64), 42, 170, -1)
    cv2.circle(form, (64, 64), 16, 40, -1)
    cv2.rectangle(form, (10, 58), (118, 70), 210, -1)
    form = np.asarray(cv2.GaussianBlur(form, (0, 0), 1.0), np.float32)
    found = []
    for _ in range(count):
        right, down = rng.uniform(-0.7, 0.7, 2)
        shift = np.array([[1, 0, right], [0, 1, down]], np.float32)
        moved = cv2.warpAffine(form, shift, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
        noisy = moved + rng.normal(0, 5, (SIDE, SIDE))
        found.append(np.asarray(np.clip(noisy, 0, 255), np.uint8))
    return found


def small(picture: Pixels) -> NDArray[np.float64]:
    """As a thumbnail of zero mean and unit length: what the old rule compared."""
    found = cv2.resize(picture, (32, 32), interpolation=cv2.INTER_AREA).ravel().astype(np.float64)
    found -= found.mean()
    return np.asarray(found / np.linalg.norm(found), np.float64)


def saved(folder: Path, pictures: list[Pixels]) -> list[Path]:
    return [save(folder / f"{n:03}.png", one) for n, one in enumerate(pictures)]


def grouped(images: list[Path], rule: str = "auto") -> Grouping:
    account = Account()
    found = group_near_identical(images, glance(images, account), SamePart(rule))
    assert account.flaws == []
    return found


def test_different_parts_in_a_fixture_stay_different(tmp_path: Path) -> None:
    assert grouped(saved(tmp_path, in_a_fixture(80))).merged == 0


def test_a_damaged_part_and_its_good_double_stay_two(tmp_path: Path) -> None:
    pictures = in_a_fixture(40)
    damaged = pictures[0].copy()
    damaged[40:44, 60:63] = 60
    good, bad = (small(one) for one in (pictures[0], damaged))
    assert good @ bad > 0.995
    assert grouped(saved(tmp_path, [*pictures, damaged])).merged == 0


def test_copies_of_parts_in_a_fixture_are_found(tmp_path: Path) -> None:
    pictures = in_a_fixture(60)
    images = saved(tmp_path, pictures)
    for number in range(8):
        brighter = np.clip(pictures[number].astype(int) + 9, 0, 255).astype(np.uint8)
        images.append(save(tmp_path / f"{number}-brighter.png", brighter))
        images.append(save(tmp_path / f"{number}-again.jpg", pictures[number]))
    found = grouped(images)
    assert found.merged == 16
    for number in range(8):
        assert len({found.labels[n] for n in (number, 60 + 2 * number, 61 + 2 * number)}) == 1


def test_parts_that_look_like_no_other_are_not_merged(tmp_path: Path) -> None:
    assert grouped(saved(tmp_path, [part(n) for n in range(20)])).merged == 0


def test_being_near_identical_is_passed_on(tmp_path: Path) -> None:
    one, far = part(1).astype(float), part(2).astype(float)
    blends = [(one * (1 - n / 20) + far * n / 20).astype(np.uint8) for n in range(21)]
    steps = saved(tmp_path, blends)
    others = saved(tmp_path / "others", [part(100 + n) for n in range(40)])
    assert grouped([*steps, *others]).merged == 20
    assert grouped([steps[0], steps[-1]]).merged == 0


def test_nothing_is_merged_where_nobody_wants_it(tmp_path: Path) -> None:
    images = saved(tmp_path, [part(1), part(1)])
    assert grouped(images).merged == 1
    assert grouped(images, "never").merged == 0


@pytest.mark.parametrize("rule", ["always", "1.5", "0", "nan", "-1"])
def test_a_rule_that_there_is_not_is_told(rule: str) -> None:
    with pytest.raises(SettingsError, match="--same-part is"):
        SamePart(rule)


def test_no_pictures_are_no_groups() -> None:
    assert grouped([]).merged == 0
