from __future__ import annotations

from pathlib import Path

import pytest

from shared.storage.files import PRIVATE, PUBLIC, replace_file, replacing


@pytest.mark.parametrize("mode", [PRIVATE, PUBLIC])
def test_a_file_is_replaced_and_has_the_wanted_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    replace_file(path, b"old")
    replace_file(path, b"new", mode=mode)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == mode
    assert list(tmp_path.iterdir()) == [path]


def test_what_raises_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write_half() -> None:
        with replacing(path) as partial:
            partial.write_bytes(b"ne")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_writes_nothing_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("left", ["folder.partial", "folder.old"])
def test_a_folder_takes_the_place_of_another_whatever_a_killed_writer_left(
    tmp_path: Path, left: str
) -> None:
    path = tmp_path / "folder"
    for folder in (path, tmp_path / left):
        folder.mkdir()
        (folder / "stale").write_text("stale")
    with replacing(path) as partial:
        (partial / "inner").mkdir(parents=True)
        (partial / "inner" / "file").write_text("new")
        (partial / "link").symlink_to("nowhere")
        assert (path / "stale").exists()
    assert sorted(found.name for found in path.rglob("*")) == ["file", "inner", "link"]
    assert list(tmp_path.iterdir()) == [path]


def test_the_name_meanwhile_can_be_chosen(tmp_path: Path) -> None:
    with replacing(tmp_path / "file", tmp_path / "mine") as partial:
        assert partial == tmp_path / "mine"
        partial.write_bytes(b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]
