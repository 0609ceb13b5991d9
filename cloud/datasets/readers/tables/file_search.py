"""The file that a table's cell means, however the path was written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from cloud.datasets.account import Account
from cloud.datasets.file_tree import FileTree


class NamedFiles:
    """Finds files by paths that are absolute, relative to the table, or of another machine."""

    def __init__(self, tree: FileTree, account: Account) -> None:
        self._tree = tree
        self._account = account

    def find(self, written: str, table: Path) -> Path | str:
        """The file, or why there is none that can be meant."""
        text = written.strip()
        if "\0" in text:
            return "has a NUL byte in a path"
        direct = self._direct(text, table.parent)
        if direct is not None:
            return direct
        if "\\" in text:
            text = text.replace("\\", "/")
            direct = self._direct(text, table.parent)
            if direct is not None:
                self._account.note(f"{table.name}: back-slashes in paths are taken as slashes")
                return direct
        parts = [part for part in PurePosixPath(text).parts if part not in ("/", ".", "..")]
        return self._elsewhere(written, parts, table)

    def _direct(self, text: str, folder: Path) -> Path | None:
        path = folder / text
        try:
            return Path(os.path.normpath(path)) if path.is_file() else None
        except OSError:
            # A name that no file can have.
            return None

    def _elsewhere(self, written: str, parts: Sequence[str], table: Path) -> Path | str:
        """By the end of its path, anywhere in the set: moved, or listed without its folder."""
        if not parts:
            return "names no file"
        found = self._by_name.get(parts[-1].casefold(), [])
        note = "found by name elsewhere in the set"
        if not found:
            found = self._by_stem.get(parts[-1].casefold(), [])
            note = "found without its ending"
        for length in range(len(parts), 0, -1):
            end = [part.casefold() for part in parts[-length:-1]]
            fit = [path for path in found if _ends(path, end)]
            if len(fit) == 1:
                self._account.note(f"{table.name}: pictures are {note}, as {fit[0].name}")
                return fit[0]
            if fit:
                return f"{written} could be {fit[0]} or {fit[1]}"
        return f"{written} is not there"

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        return _index((path.name, path) for path in self._tree.pictures)

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        return _index((path.stem, path) for path in self._tree.pictures)


def _index(named: Iterable[tuple[str, Path]]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for name, path in named:
        found.setdefault(name.casefold(), []).append(path)
    return found


def _ends(path: Path, folders: Sequence[str]) -> bool:
    own = [part.casefold() for part in path.parent.parts]
    return not folders or own[-len(folders) :] == list(folders)
