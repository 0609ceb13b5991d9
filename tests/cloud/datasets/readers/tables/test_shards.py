"""WebDataset's tar files."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from cloud.datasets.readers.tables.shards import ShardReader
from shared.errors import DataError
from tests.cloud.datasets.makers import part, save
from tests.cloud.datasets.readers.reading import marked, mask, read_with, recognised

Members = list[tuple[str, bytes]]


def shard(path: Path, members: Members, mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, raw in members:
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
    return path


@pytest.fixture
def jpg(tmp_path: Path) -> bytes:
    return save(tmp_path / "source" / "1.jpg", part(1)).read_bytes()


@pytest.fixture
def drawn(tmp_path: Path) -> bytes:
    return save(tmp_path / "source" / "m.png", mask()).read_bytes()


def sample(key: str, jpg: bytes, label: str) -> Members:
    return [(f"{key}.jpg", jpg), (f"{key}.cls", label.encode())]


@pytest.mark.parametrize(
    ("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tgz", "w:gz")]
)
def test_samples_are_read_from_each_kind_of_tar(
    tmp_path: Path, jpg: bytes, drawn: bytes, name: str, mode: str
) -> None:
    members = [*sample("x/000", jpg, "0"), *sample("x/001", jpg, "1"), ("x/001.mask.png", drawn)]
    shard(tmp_path / "set" / name, members, mode)
    found = read_with(ShardReader(), tmp_path / "set")
    assert [entry.defect for entry in found.entries] == ["good", "1"]
    assert marked(found.entries[1]) == 60
    assert found.entries[0].mask is None
    assert found.entries[0].image.read_bytes() == jpg
    assert "0 taken as good, 1 defective" in found.notes


def test_labels_in_json_and_names_of_classes_are_read(tmp_path: Path, jpg: bytes) -> None:
    told = json.dumps({"label": "dent", "part": "p7", "line": "B"}).encode()
    shard(tmp_path / "set" / "test-000.tar", [("a.jpg", jpg), ("a.json", told)])
    shard(tmp_path / "set" / "train-000.tar", [*sample("b", jpg, "0"), *sample("c", jpg, "2")])
    (tmp_path / "set" / "classes.txt").write_text("good\ncrack\nbent\n")
    found = read_with(ShardReader(), tmp_path / "set")
    assert [(e.defect, e.part, e.domain, e.split) for e in found.entries] == [
        ("dent", "p7", "B", "test"),
        ("good", "", "all", "train"),
        ("bent", "", "all", "train"),
    ]


def test_names_that_lead_elsewhere_lead_nowhere(tmp_path: Path, jpg: bytes) -> None:
    path = shard(
        tmp_path / "set" / "a.tar",
        [*sample("../../out", jpg, "good"), *sample("/etc/b", jpg, "bad")],
    )
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("c.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    found = read_with(ShardReader(), path)
    inside = tmp_path / "set" / ".splitsight"
    assert len(found.entries) == 2
    assert all(inside in entry.image.parents for entry in found.entries)
    assert found.flaws == ["a.tar:3: c.jpg is a link or a device and is not read"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "source"]


def test_what_is_wrong_with_a_sample_is_told_with_its_number(tmp_path: Path, jpg: bytes) -> None:
    members = [
        *sample("good", jpg, "good"),
        ("lonely.cls", b"good"),
        ("twins.jpg", jpg),
        ("twins.png", jpg),
        ("odd.jpg", b"nothing"),
        ("deep.jpg", jpg),
        ("deep.json", b"[" * 100_000),
        ("list.jpg", jpg),
        ("list.json", b"[1]"),
        ("bare.jpg", jpg),
    ]
    found = read_with(ShardReader(), shard(tmp_path / "set" / "a.tar", members))
    assert len(found.entries) == 1
    assert [flaw.split(" (")[0] for flaw in found.flaws] == [
        "a.tar:2: lonely: it has 0 pictures and 0 masks, want one and one at most",
        "a.tar:3: twins: it has 2 pictures and 0 masks, want one and one at most",
        "a.tar:4: odd: it is no picture of a known type",
        "a.tar:5: deep: its .json can't be read",
        "a.tar:6: list: its .json is no object",
        "a.tar:7: label is empty in 1 rows: 7; say `good`, or the kind of defect",
    ]


@pytest.mark.parametrize("damage", ["a picture", "a header", "before a header", "a header's sum"])
def test_a_damaged_tar_is_told_and_nothing_of_it_stays(
    tmp_path: Path, jpg: bytes, damage: str
) -> None:
    path = shard(tmp_path / "set" / "a.tar", [*sample("a", jpg, "good"), *sample("b", jpg, "bad")])
    raw = bytearray(path.read_bytes())
    header = raw.index(b"b.jpg\0")
    match damage:
        case "a picture":
            raw = raw[: header + 700]
        case "a header":
            raw = raw[: header + 100]
        case "before a header":
            raw = raw[:header]
        case _:
            raw[header + 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"a\.tar:\d: the tar file is damaged behind '[ab]'"):
        read_with(ShardReader(), path)
    assert list((tmp_path / "set" / ".splitsight").iterdir()) == []


def test_a_tar_beside_pictures_is_not_the_set(tmp_path: Path, jpg: bytes) -> None:
    shard(tmp_path / "backup.tar", sample("a", jpg, "good"))
    save(tmp_path / "good" / "b.png", part(2))
    assert not recognised(ShardReader(), tmp_path)
