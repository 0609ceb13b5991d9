"""Parquet files, as Hugging Face writes them and as others do."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cloud.datasets.readers.tables.parquet import ParquetReader
from shared.errors import DataError
from tests.cloud.datasets.makers import part, save
from tests.cloud.datasets.readers.reading import marked, mask, read_with

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

HUGGING_FACE = {
    b"huggingface": json.dumps(
        {
            "info": {
                "features": {
                    "image": {"_type": "Image"},
                    "label": {"names": ["good", "crack"], "_type": "ClassLabel"},
                }
            }
        }
    ).encode()
}


def png(tmp_path: Path, seed: int) -> bytes:
    return save(tmp_path / f"{seed}.png", part(seed)).read_bytes()


def written(
    path: Path, columns: dict[str, Any], metadata: dict[bytes, bytes] | None = None
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = arrow.table(columns)
    parquet.write_table(table.replace_schema_metadata(metadata), path)
    return path


@pytest.fixture
def hugging_face(tmp_path: Path) -> Path:
    """Two files of a set, in data/ as the hub keeps them."""
    source = tmp_path / "source"
    for split, seeds in (("train", (1, 2)), ("test", (3,))):
        images = [{"bytes": png(source, seed), "path": f"{seed}.png"} for seed in seeds]
        written(
            tmp_path / "set" / "data" / f"{split}-00000-of-00001.parquet",
            {"image": images, "label": [seed % 2 for seed in seeds]},
            HUGGING_FACE,
        )
    return tmp_path / "set"


def test_bytes_are_unpacked_once_and_numbers_are_the_names_of_classes(hugging_face: Path) -> None:
    found = read_with(ParquetReader(), hugging_face)
    assert sorted((e.defect, e.split) for e in found.entries) == [
        *(("crack", "test"), ("crack", "train"), ("good", "train"))
    ]
    assert "is unpacked into .splitsight/" in found.notes
    for entry in found.entries:
        assert entry.image.read_bytes().startswith(b"\x89PNG")
    before = {path: path.stat().st_mtime_ns for path in hugging_face.rglob("*.png")}
    again = read_with(ParquetReader(), hugging_face)
    assert again.entries == found.entries
    assert {path: path.stat().st_mtime_ns for path in hugging_face.rglob("*.png")} == before
    assert again.left_out == {}


def test_a_file_that_has_changed_is_unpacked_anew(hugging_face: Path) -> None:
    first = read_with(ParquetReader(), hugging_face)
    path = hugging_face / "data" / "test-00000-of-00001.parquet"
    os.utime(path, ns=(1, 1))
    second = read_with(ParquetReader(), hugging_face)
    assert {e.image for e in first.entries} != {e.image for e in second.entries}


def test_paths_of_pictures_and_labels_as_words_are_read(tmp_path: Path) -> None:
    for seed in (1, 2):
        save(tmp_path / "images" / f"{seed}.png", part(seed))
    path = written(
        tmp_path / "labels.parquet",
        {"path": ["images/1.png", "images/2.png"], "defect": ["OK", "dent"], "part": ["a", "b"]},
    )
    found = read_with(ParquetReader(), path)
    assert found.kinds == {"images/1.png": "good", "images/2.png": "dent"}
    assert [e.part for e in found.entries] == ["a", "b"]
    assert not (tmp_path / ".splitsight").exists()


def test_lot_and_line_are_read(tmp_path: Path) -> None:
    save(tmp_path / "1.png", part(1))
    written(
        tmp_path / "x.parquet", {"image": ["1.png"], "label": ["ok"], "lot": [7], "line": ["a"]}
    )
    (entry,) = read_with(ParquetReader(), tmp_path).entries
    assert (entry.lot, entry.line, entry.domain) == ("7", "a", "a")


def test_masks_in_columns_are_masks(tmp_path: Path) -> None:
    drawn = save(tmp_path / "source" / "m.png", mask()).read_bytes()
    path = written(
        tmp_path / "set" / "a.parquet",
        {
            "image": [png(tmp_path / "source", 1), png(tmp_path / "source", 2)],
            "mask": [drawn, None],
            "label": ["crack", "good"],
        },
    )
    found = read_with(ParquetReader(), path)
    assert marked(found.entries[0]) == 60
    assert found.entries[1].mask is None


def test_what_is_wrong_is_told_with_the_rows_number_each_time(tmp_path: Path) -> None:
    images = [png(tmp_path / "source", 1), b"nothing", b"", png(tmp_path / "source", 2)]
    path = written(
        tmp_path / "set" / "a.parquet",
        {"image": images, "label": [0, 1, 1, -1]},
        HUGGING_FACE,
    )
    for _ in range(2):
        found = read_with(ParquetReader(), path)
        assert len(found.entries) == 1
        assert found.flaws == [
            "a.parquet:2: image can't be used: it is no picture of a known type",
            "a.parquet:3: image can't be used: it is empty",
            "a.parquet:4: label is empty in 1 rows: 4; say `good`, or the kind of defect",
        ]


def test_a_damaged_file_and_one_without_labels_are_told(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", {"image": ["1.png"], "width": [3]})
    with pytest.raises(DataError, match=r"a\.parquet has no column defect \(it has image, width\)"):
        read_with(ParquetReader(), path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"is not a Parquet file that can be read"):
        read_with(ParquetReader(), path)


def test_nothing_stays_of_a_file_that_is_damaged_inside(tmp_path: Path) -> None:
    path = written(
        tmp_path / "set" / "a.parquet",
        {"image": [png(tmp_path / "source", seed) for seed in range(4)], "label": [0, 0, 1, 1]},
    )
    raw = bytearray(path.read_bytes())
    raw[4:400] = bytes(396)
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"a\.parquet:1: can't be read"):
        read_with(ParquetReader(), path)
    assert list((tmp_path / "set" / ".splitsight").iterdir()) == []
