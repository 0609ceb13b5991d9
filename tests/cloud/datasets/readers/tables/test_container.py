"""Pictures out of containers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.datasets.account import Account
from cloud.datasets.file_tree import UNPACKED
from cloud.datasets.readers.tables.container import Unpacked, unpacked
from cloud.datasets.readers.tables.rows import LabelRow
from shared.errors import DataError
from shared.opener import Unopenable
from tests.cloud.datasets.makers import part, save


@pytest.fixture
def png(tmp_path: Path) -> bytes:
    return save(tmp_path / "source" / "1.png", part(1)).read_bytes()


def test_a_disk_that_would_be_full_is_told_before_it_is(tmp_path: Path, png: bytes) -> None:
    with pytest.raises(DataError, match="MB free, too little to unpack more pictures"):
        Unpacked(tmp_path, reserve=1 << 60).save(png)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_what_is_no_picture_is_not_written(tmp_path: Path) -> None:
    for raw in (b"", b"text", b"RIFF1234WAVE"):
        with pytest.raises(Unopenable):
            Unpacked(tmp_path).save(raw)
    assert list(tmp_path.iterdir()) == []


def test_what_ends_the_unpacking_leaves_nothing(tmp_path: Path, png: bytes) -> None:
    container = tmp_path / "a.tar"
    container.write_bytes(b"x")

    def broken(target: Unpacked, _: Account) -> Iterator[LabelRow]:
        yield LabelRow(container, 1, target.save(png), "good")
        raise DataError("the container ends here")

    with pytest.raises(DataError, match="the container ends here"):
        unpacked(container, tmp_path, Account(), broken)
    assert list((tmp_path / UNPACKED).iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, png: bytes) -> None:
    container = tmp_path / "a.tar"
    container.write_bytes(b"x")
    (tmp_path / UNPACKED).write_text("a file is in the way")

    def one(target: Unpacked, _: Account) -> Iterator[LabelRow]:
        yield LabelRow(container, 1, target.save(png), "good")

    with pytest.raises(DataError, match=r"a\.tar can't be unpacked into") as caught:
        unpacked(container, tmp_path, Account(), one)
    assert "a folder that can be written" in caught.value.fix
