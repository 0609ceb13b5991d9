"""Pictures inside of a container → files beside the set, once, with the labels that came along."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from cloud.datasets.account import Account
from cloud.datasets.file_tree import UNPACKED
from cloud.datasets.readers.tables.rows import LabelRow
from shared.errors import DataError
from shared.opener import Unopenable
from shared.storage.files import replacing

MOST_PICTURE = 1 << 29
"""Bytes of one picture."""
_ROWS = "rows.jsonl"
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"BM", ".bmp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"\0\0\0\x0cjP  ", ".jp2"),
    *((b"P%d" % kind, ".pnm") for kind in range(1, 7)),
)


@dataclass
class Unpacked:
    """Where a container's pictures are written, under names of our own: theirs lead nowhere.

    reserve   bytes that are left free on the disk
    """

    folder: Path
    reserve: int = 1 << 28
    count: int = 0

    def save(self, raw: bytes) -> Path:
        """A picture's bytes as a file. Raises Unopenable for what is no picture or too large, and
        DataError where the disk is full."""
        if len(raw) > MOST_PICTURE:
            raise Unopenable(f"it has {len(raw)} B, at most {MOST_PICTURE} are taken")
        free = shutil.disk_usage(self.folder).free
        if free < len(raw) + self.reserve:
            raise DataError(
                f"{self.folder.parent} has {free >> 20} MB free, too little to unpack more "
                "pictures",
                fix="free some room, or put the set on a larger disk",
            )
        path = self.folder / f"{self.count:08}{_suffix(raw)}"
        path.write_bytes(raw)
        self.count += 1
        return path


Unpack = Callable[[Unpacked, Account], Iterator[LabelRow]]


def unpacked(container: Path, root: Path, account: Account, unpack: Unpack) -> list[LabelRow]:
    """The rows of a container, their pictures as files below `root`.

    unpack   reads the container once, writes its pictures, tells flaws, and yields its rows
    Raises DataError where nothing can be written there; then nothing of it stays.
    """
    status = container.stat()
    identity = f"{container.name}:{status.st_mtime_ns}:{status.st_size}"
    key = hashlib.sha256(identity.encode()).hexdigest()[:12]
    folder = root / UNPACKED / f"{container.name.split('.')[0][:40]}-{key}"
    if not folder.is_dir():
        try:
            folder.parent.mkdir(exist_ok=True)
            with replacing(folder) as partial:
                partial.mkdir()
                _write(partial, unpack)
        except OSError as error:
            raise DataError(
                f"{container.name} can't be unpacked into {folder.parent} ({error.strerror})",
                fix="put the set into a folder that can be written, with room for its pictures",
            ) from error
    account.note(f"{container.name} is unpacked into {folder.relative_to(root)}")
    return _read(folder, container, account)


def _write(folder: Path, unpack: Unpack) -> None:
    told = Account()
    with (folder / _ROWS).open("w", encoding="utf-8") as stream:
        for row in unpack(Unpacked(folder), told):
            stream.write(json.dumps(_kept(row)) + "\n")
        for flaw in told.flaws:
            stream.write(json.dumps({"flaw": flaw.what, "line": flaw.line}) + "\n")


def _read(folder: Path, container: Path, account: Account) -> list[LabelRow]:
    rows = []
    with (folder / _ROWS).open(encoding="utf-8") as stream:
        for text in stream:
            kept = json.loads(text)
            if "flaw" in kept:
                account.flaw(container, kept["flaw"], kept["line"])
                continue
            row = kept["row"] | {"file": container}
            rows.append(LabelRow(**row | {name: folder / row[name] for name in kept["files"]}))
    return rows


def _kept(row: LabelRow) -> dict[str, object]:
    """A row as it is kept: files by their names alone, since the folder may move."""
    files = {
        n: v.name for n, v in (("image", row.image), ("mask", row.mask)) if isinstance(v, Path)
    }
    return {"row": asdict(row) | {"file": ""} | files, "files": sorted(files)}


def _suffix(raw: bytes) -> str:
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        return ".webp"
    for begin, suffix in _BEGINNINGS:
        if raw.startswith(begin):
            return suffix
    raise Unopenable("it is no picture of a known type" if raw else "it is empty")
