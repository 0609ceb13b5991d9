"""WebDataset: tar files of samples, whose files share a name up to its first dot."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from tarfile import EOFHeaderError, HeaderError, ReadError, TarFile  # type: ignore[attr-defined]
from typing import Any, Self

from cloud.datasets.account import Account
from cloud.datasets.entry import PictureEntry
from cloud.datasets.file_tree import SUFFIXES, FileTree
from cloud.datasets.kinds import split_of
from cloud.datasets.readers.tables.columns import TableColumns
from cloud.datasets.readers.tables.container import MOST_PICTURE, Unpacked, unpacked
from cloud.datasets.readers.tables.rows import LabelledRows, LabelRow, label_row
from shared.errors import DataError
from shared.opener import Unopenable

TARS = (".tar", ".tar.gz", ".tgz")
MASKS = ("mask", "seg", "gt")
CLASS_NAMES = ("classes.txt", "classnames.txt", "class_names.txt")
MOST_LABELS = 1 << 20
"""Bytes of a sample's labels."""


class ShardReader:
    """`key.jpg`, with `key.cls` or `key.json`, and `key.mask.png` where there is one."""

    name = "WebDataset"

    def recognises(self, tree: FileTree) -> bool:
        """Where the source is a tar file, or the folder holds some and no pictures."""
        if tree.labels is not None:
            return tree.labels.name.lower().endswith(TARS)
        return bool(_shards(tree)) and not tree.pictures

    def entries(self, tree: FileTree, account: Account) -> Iterator[PictureEntry]:
        """As in `DatasetReader`. Raises DataError for a file that is damaged."""
        names: Sequence[str] = ()
        for path in tree.inside(tree.root):
            if path.name.lower() in CLASS_NAMES:
                account.use(path, "labels")
                names = [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line]
        rows: list[LabelRow] = []
        for path in _shards(tree):
            account.use(path, "labels")
            rows += unpacked(path, tree.root, account, TarShard(path, names).rows)
        yield from LabelledRows(rows, "label").entries(tree, account)


@dataclass
class TarSample:
    """The files of one key. line: its number in the shard, from 1."""

    key: str
    line: int
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TarShard:
    """One tar file. names: of the classes that the numbers in .cls stand for."""

    path: Path
    names: Sequence[str]

    def rows(self, target: Unpacked, account: Account) -> Iterator[LabelRow]:
        """One for each sample. What is wrong with one is a flaw with its number."""
        split = split_of(self.path.name.split("-")[0].split(".")[0])
        for sample in self._samples(account):
            flaw = partial(account.flaw, self.path, line=sample.line)
            try:
                cells = {**self._labels(sample), **self._pictures(sample, target)}
            except Unopenable as error:
                flaw(f"{sample.key}: {error}")
            else:
                yield label_row(self.path, sample.line, cells, split)

    def _samples(self, account: Account) -> Iterator[TarSample]:
        sample = TarSample("", 0)
        try:
            # As a stream: nothing but one sample is held.
            with tarfile.open(self.path, "r|*", tarinfo=_StrictHeader) as tar:
                for member in tar:
                    # It keeps every header that it has passed.
                    tar.members.clear()  # type: ignore[attr-defined]
                    if member.isdir():
                        continue
                    folder, _, name = member.name.rpartition("/")
                    stem, _, ending = name.partition(".")
                    key = f"{folder}/{stem}" if folder else stem
                    if key != sample.key:
                        if sample.files:
                            yield sample
                        sample = TarSample(key, sample.line + 1)
                    self._take(tar, member, ending.lower(), sample, account)
            if sample.files:
                yield sample
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DataError(
                f"{self.path}:{sample.line}: the tar file is damaged behind {sample.key!r} "
                f"({error})",
                fix="fetch or write it again",
            ) from error

    def _take(
        self,
        tar: tarfile.TarFile,
        member: tarfile.TarInfo,
        ending: str,
        sample: TarSample,
        account: Account,
    ) -> None:
        is_picture = PurePosixPath(f"x.{ending}").suffix in SUFFIXES
        if not (is_picture or ending in ("cls", "json")):
            return
        most = MOST_PICTURE if is_picture else MOST_LABELS
        stream = tar.extractfile(member) if member.isfile() else None
        if stream is None or member.size > most:
            what = f"has {member.size} B" if stream else "is a link or a device"
            account.flaw(self.path, f"{member.name} {what} and is not read", sample.line)
            return
        if ending in sample.files:
            account.flaw(self.path, f"{member.name} is there twice", sample.line)
            return
        sample.files[ending] = stream.read()

    def _labels(self, sample: TarSample) -> dict[str, str | Path]:
        cells: dict[str, str | Path] = {}
        if "json" in sample.files:
            try:
                told: Any = json.loads(sample.files["json"])
            except (ValueError, RecursionError) as error:
                raise Unopenable(f"its .json can't be read ({error})") from error
            if not isinstance(told, dict):
                raise Unopenable("its .json is no object")
            columns = TableColumns.of(list(told))
            cells = {
                purpose: str(told[name])
                for purpose, name in columns.names.items()
                if isinstance(told[name], str | int | float)
            }
        if "cls" in sample.files:
            text = sample.files["cls"].decode("utf-8", "replace").strip()
            number = int(text) if text.isdecimal() else -1
            if 0 <= number < len(self.names):
                text = self.names[number]
            if not cells.get("defect") or not text.isdecimal():
                cells["defect"] = text
        return cells

    @staticmethod
    def _pictures(sample: TarSample, target: Unpacked) -> dict[str, Path]:
        masks = [ending for ending in sample.files if ending.split(".")[0] in MASKS]
        pictures = [e for e in sample.files if e not in (*masks, "cls", "json")]
        if len(pictures) != 1 or len(masks) > 1:
            raise Unopenable(
                f"it has {len(pictures)} pictures and {len(masks)} masks, want one and one at most"
            )
        found = {"image": target.save(sample.files[pictures[0]])}
        if masks:
            found["mask"] = target.save(sample.files[masks[0]])
        return found


class _StrictHeader(tarfile.TarInfo):
    """tarfile takes a header that is cut or damaged for the end, unless it is the first."""

    @classmethod
    def fromtarfile(cls, tarfile: TarFile) -> Self:
        """Raises ReadError for anything but a header, or the mark of the end."""
        try:
            return super().fromtarfile(tarfile)
        except EOFHeaderError:
            raise
        except HeaderError as error:
            raise ReadError(str(error)) from error


def _shards(tree: FileTree) -> list[Path]:
    if tree.labels is not None:
        return [tree.labels]
    return [path for path in tree.files if path.name.lower().endswith(TARS)]
