from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from hardware_sim.line.replay import ReplayedParts, replay
from shared.errors import DataError, SettingsError

COUNT = 12


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Good parts and parts with a dark square, as a manifest with masks."""
    rng = np.random.default_rng(0)
    rows = ["image,mask,defect,part,split"]
    for number in range(COUNT):
        picture = rng.integers(120, 180, (40, 50), dtype=np.uint8)
        name, mask = f"{number}.png", ""
        if number % 3 == 0:
            picture[10:20, 5:25] = 20
            extent = np.zeros_like(picture)
            extent[10:20, 5:25] = 255
            mask = f"{number}-mask.png"
            cv2.imwrite(str(tmp_path / mask), extent)
        cv2.imwrite(str(tmp_path / name), picture)
        rows.append(f"{name},{mask},{'pit' if mask else 'good'},p{number},train")
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    return tmp_path


def sources(parts: ReplayedParts, numbers: range) -> list[str]:
    return [parts.part(number).source for number in numbers]


def test_once_through_keeps_the_sets_order_and_ends(data: Path) -> None:
    parts = replay(str(data), 1, once=True)
    assert parts.count == COUNT
    assert sources(parts, range(1, COUNT + 1)) == [f"{n}.png" for n in range(COUNT)]


def test_endless_brings_every_picture_once_a_turn_in_an_order_of_the_seeds(data: Path) -> None:
    parts = replay(str(data), 1)
    assert parts.count is None
    first = sources(parts, range(1, COUNT + 1))
    second = sources(parts, range(COUNT + 1, 2 * COUNT + 1))
    assert sorted(first) == sorted(second) == sorted(f"{n}.png" for n in range(COUNT))
    assert first != second
    assert first == sources(replay(str(data), 1), range(1, COUNT + 1))
    assert first != sources(replay(str(data), 2), range(1, COUNT + 1))


def test_parts_carry_the_sets_truth(data: Path) -> None:
    parts = replay(str(data), 1, once=True)
    wrong, right = parts.part(1), parts.part(2)
    assert (wrong.defect, int(wrong.mask.sum())) == ("pit", 200)
    assert 0.9 < wrong.severity < 1
    on_disk = np.asarray(cv2.imread(str(data / "0.png"), cv2.IMREAD_GRAYSCALE))
    assert np.array_equal(wrong.pixels, on_disk)
    assert (right.defect, right.severity, bool(right.mask.any())) == ("good", 0.0, False)


def test_a_burst_takes_defective_parts_only(data: Path) -> None:
    parts = replay(str(data), 1)
    assert all(parts.part(number, rate=1.0).defective for number in range(1, 20))
    assert not any(parts.part(number, rate=0.0).defective for number in range(1, 20))


def test_a_picture_that_is_gone_is_one_clear_error(data: Path) -> None:
    parts = replay(str(data), 1, once=True)
    (data / "0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"0\.png is not a picture"):
        parts.part(1)


def test_a_mask_of_another_size_is_one_clear_error(data: Path) -> None:
    parts = replay(str(data), 1, once=True)
    cv2.imwrite(str(data / "0-mask.png"), np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=r"0-mask\.png is a mask of 4 × 4, its picture has 50 × 40"):
        parts.part(1)


def test_a_set_that_training_does_not_read_is_not_replayed_either(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither a folder nor a file of labels"):
        replay(str(tmp_path / "nothing"), 0)


def test_only_one_split_can_be_replayed(data: Path) -> None:
    rows = (data / "manifest.csv").read_text().replace("p1,train", "p1,test")
    (data / "manifest.csv").write_text(rows)
    parts = replay(str(data), 0, once=True, split="test")
    assert {parts.part(n + 1).source for n in range(parts.count or 0)} == {"1.png"}
    with pytest.raises(SettingsError, match="no split 'tset'"):
        replay(str(data), 0, split="tset")


@pytest.mark.process
def test_replaying_elpv_loads_no_torch_and_no_scipy() -> None:
    code = (
        "import sys; from hardware_sim.line.replay import replay; parts = replay('elpv', 0); "
        "part = parts.part(1); assert part.pixels.shape == (300, 300), part.pixels.shape; "
        "print(sorted({'torch', 'onnx', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"


def test_a_picture_deeper_than_a_line_shows_is_refused_and_not_darkened(data: Path) -> None:
    parts = replay(str(data), 1, once=True)
    assert cv2.imwrite(str(data / "0.png"), np.full((60, 60), 2512, np.uint16))
    with pytest.raises(DataError, match=r"0\.png is a picture of uint16"):
        parts.part(1)
