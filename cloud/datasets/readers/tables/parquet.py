"""Parquet files of pictures and labels, as Hugging Face's `datasets` writes them, and others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cloud.datasets.account import Account
from cloud.datasets.entry import PictureEntry
from cloud.datasets.file_tree import FileTree
from cloud.datasets.kinds import split_of
from cloud.datasets.readers.tables.columns import TableColumns
from cloud.datasets.readers.tables.container import Unpacked, unpacked
from cloud.datasets.readers.tables.rows import LabelledRows, LabelRow, label_row
from shared.errors import DataError, MissingExtra
from shared.opener import Unopenable

Flawed = Callable[[str, int], None]
SUFFIX = ".parquet"
ROWS = 32
"""Read at once, so that memory holds that many pictures."""


class ParquetReader:
    """Pictures as bytes, or as paths, with their labels in columns."""

    name = "Parquet"

    def recognises(self, tree: FileTree) -> bool:
        """Where the source is such a file, or the folder holds one."""
        if tree.labels is not None:
            return tree.labels.suffix.lower() == SUFFIX
        return bool(_files(tree))

    def entries(self, tree: FileTree, account: Account) -> Iterator[PictureEntry]:
        """As in `DatasetReader`. Raises DataError for a file that is damaged or has no labels."""
        rows: list[LabelRow] = []
        columns: set[str] = set()
        for path in _files(tree):
            table = ParquetTable.of(path)
            account.use(path, "labels")
            for note in table.columns.notes:
                account.note(note)
            columns.add(table.columns.names.get("defect", ""))
            if table.holds_pictures:
                rows += unpacked(path, tree.root, account, table.rows)
            else:
                rows += table.rows(None, account)
        if len(columns) > 1:
            raise DataError(
                f"{tree.root} has Parquet files of several forms: their labels are called "
                f"{', '.join(sorted(columns))}",
                fix="give the path of one file",
            )
        yield from LabelledRows(rows, columns.pop()).entries(tree, account)


@dataclass(frozen=True)
class ParquetTable:
    """One file. names: of the classes that its label's numbers stand for; empty: it has none."""

    path: Path
    columns: TableColumns
    names: tuple[str, ...]
    holds_pictures: bool

    @classmethod
    def of(cls, path: Path) -> ParquetTable:
        """Raises DataError where it can't be read, or lacks a column."""
        with _opened(path) as file:
            schema = file.schema_arrow
        columns = TableColumns.of(schema.names)
        if columns.lacking:
            raise DataError(
                f"{path.name} has no column {', '.join(columns.lacking)} (it has "
                f"{', '.join(schema.names)})",
                fix="call the columns image and label",
            )
        label = columns.names.get("defect", "")
        kind = str(schema.field(columns.names["image"]).type)
        return cls(
            path,
            columns,
            _class_names(schema.metadata, label),
            kind not in ("string", "large_string"),
        )

    def rows(self, target: Unpacked | None, account: Account) -> Iterator[LabelRow]:
        """Its rows; pictures go to `target`. What is wrong with one is a flaw with its number."""
        wanted = list(dict.fromkeys(self.columns.names.values()))
        split = split_of(self.path.name.split("-")[0].split(".")[0])
        line = 0
        try:
            with _opened(self.path) as file:
                for batch in file.iter_batches(batch_size=ROWS, columns=wanted):
                    for row in batch.to_pylist():
                        line += 1
                        cells = self._cells(row, target, partial(account.flaw, self.path), line)
                        if cells is not None:
                            yield label_row(self.path, line, cells, split)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self.path}:{line + 1}: can't be read ({error})", fix="fetch the file again"
            ) from error

    def _cells(
        self, row: Mapping[str, Any], target: Unpacked | None, flaw: Flawed, line: int
    ) -> dict[str, str | Path] | None:
        cells: dict[str, str | Path] = {}
        for purpose, name in self.columns.names.items():
            value = row[name]
            if purpose not in ("image", "mask"):
                cells[purpose] = self._named(value) if purpose == "defect" else _text(value)
                continue
            raw, path = (
                (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, "")
            )
            if isinstance(raw, bytes) and target is not None:
                try:
                    cells[purpose] = target.save(raw)
                except Unopenable as error:
                    flaw(f"{name} can't be used: {error}", line)
                    return None
            else:
                cells[purpose] = _text(raw or path)
        return cells

    def _named(self, label: Any) -> str:
        if not self.names or not isinstance(label, int):
            return _text(label)
        # Hugging Face writes -1 where a test's labels are kept back.
        return self.names[label] if 0 <= label < len(self.names) else ""


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _files(tree: FileTree) -> list[Path]:
    if tree.labels is not None:
        return [tree.labels]
    return [path for path in tree.files if path.suffix.lower() == SUFFIX]


def _class_names(metadata: Mapping[bytes, bytes] | None, label: str) -> tuple[str, ...]:
    """Of Hugging Face's ClassLabel."""
    try:
        told = json.loads((metadata or {})[b"huggingface"])
        return tuple(map(str, told["info"]["features"][label]["names"]))
    except (KeyError, TypeError, ValueError):
        return ()


def _opened(path: Path) -> Any:
    try:
        # 150 MB that only who has such files needs.
        from pyarrow import ArrowException, parquet  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra("parquet", error) from error
    try:
        return parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
    except (OSError, ArrowException) as error:
        raise DataError(
            f"{path} is not a Parquet file that can be read ({error})",
            fix="fetch or write the file again",
        ) from error
