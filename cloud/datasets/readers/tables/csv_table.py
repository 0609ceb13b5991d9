"""Tables of labels as text: any dialect of CSV, by the usual names of columns."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloud.datasets.account import Account
from cloud.datasets.entry import PictureEntry
from cloud.datasets.file_tree import FileTree
from cloud.datasets.kinds import split_of
from cloud.datasets.readers.tables.columns import TableColumns
from cloud.datasets.readers.tables.rows import LabelledRows, LabelRow, label_row
from shared.errors import DataError

COLUMNS = ("image", "mask", "defect", "part", "domain", "split", "lot", "line")
USUAL_NAMES = ("splits.csv", "manifest.csv")
SUFFIXES = (".csv", ".tsv")
DELIMITERS = ",;\t|"
LONGEST_FIELD = 131_072
_HEADER = 1 << 16
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class CsvReader:
    """A CSV file that names pictures and what is with them; `image` and `defect` are needed."""

    name = "CSV"

    def recognises(self, tree: FileTree) -> bool:
        """Where the source is such a file, or one with these columns lies in its folder."""
        if tree.labels is not None:
            return tree.labels.suffix.lower() in SUFFIXES
        return bool(_tables(tree))

    def entries(self, tree: FileTree, account: Account) -> Iterator[PictureEntry]:
        """As in `DatasetReader`. Raises DataError where a file is no table of labels."""
        paths = [tree.labels] if tree.labels is not None else _tables(tree)
        rows: list[LabelRow] = []
        columns: set[str] = set()
        for path in paths:
            table = CsvTable.read(path)
            account.use(path, "labels")
            account.note(f"labels are read from {path.name}")
            for note in table.columns.notes:
                account.note(f"{path.name}: {note}")
            columns.add(table.columns.names.get("defect", ""))
            by_name = split_of(path.stem) if len(paths) > 1 else None
            rows += table.rows(account, by_name)
        if len(columns) > 1:
            raise DataError(
                f"{', '.join(path.name for path in paths)} call their labels "
                f"{', '.join(sorted(columns))}",
                fix="give the column one name, or the path of one file",
            )
        yield from LabelledRows(rows, columns.pop()).entries(tree, account)


@dataclass(frozen=True, slots=True)
class CsvTable:
    """One file: its columns, and its text behind the header."""

    path: Path
    text: str
    delimiter: str
    header: Sequence[str]

    @classmethod
    def read(cls, path: Path) -> CsvTable:
        """Raises DataError where it is no text."""
        text = _text(path)
        return cls(path, text, *_header(path, text))

    @property
    def columns(self) -> TableColumns:
        """What its columns are. Raises DataError where it lacks one that it must have."""
        columns = TableColumns.of(self.header)
        if columns.lacking:
            raise DataError(
                f"{self.path.name} has no column {', '.join(columns.lacking)} (it has "
                f"{', '.join(sorted(filter(None, self.header))) or 'none'})",
                fix=f"its columns are {', '.join(COLUMNS)}",
            )
        return columns

    def rows(self, account: Account, split: str | None) -> Iterator[LabelRow]:
        """Those that say anything; split: of the whole file, where it has no column of splits."""
        columns = self.columns.names.items()
        for line, cells in self.cells(account):
            found = {purpose: cells.get(name, "") for purpose, name in columns}
            yield label_row(self.path, line, found, split)

    def cells(self, account: Account) -> Iterator[tuple[int, dict[str, str]]]:
        """The lines' numbers, and their cells by column. What can't be read is a flaw."""
        with io.StringIO(self.text, newline="") as stream:
            reader = csv.reader(stream, delimiter=self.delimiter, skipinitialspace=True)
            lines = _checked(reader, self.path)
            next(lines, None)
            line = reader.line_num
            for cells in lines:
                begin, line = line + 1, reader.line_num
                if not any(cell.strip() for cell in cells):
                    continue
                if begin < line:
                    what = f"a cell runs on to line {line}: a quotation mark is not closed"
                    account.flaw(self.path, what, begin)
                elif any(cell.strip() for cell in cells[len(self.header) :]):
                    what = f"has {len(cells)} cells, the header {len(self.header)}"
                    account.flaw(self.path, f"{what}: put what holds a comma in quotes", line)
                else:
                    trimmed = [cell.strip() for cell in cells]
                    yield line, dict(zip(self.header, trimmed, strict=False))


def _tables(tree: FileTree) -> list[Path]:
    """Files of labels in the set's own folder: the usual one, or any with the columns."""
    here = {path.name.lower(): path for path in tree.inside(tree.root)}
    for name in USUAL_NAMES:
        if name in here:
            return [here[name]]
    return [
        path
        for name, path in sorted(here.items())
        if name.endswith(SUFFIXES) and _is_of_labels(path)
    ]


def _is_of_labels(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            begin = stream.read(_HEADER)
        encoding = next((name for mark, name in _MARKS if begin.startswith(mark)), "utf-8")
        header = _header(path, begin.decode(encoding, "ignore"))[1]
    except (OSError, DataError):
        return False
    return not TableColumns.of(header).lacking


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} can't be read ({error.strerror})", fix="give the path of a CSV file"
        ) from error
    # Spreadsheets put a byte order mark first.
    encoding = next((name for mark, name in _MARKS if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path.name}:{line}: is not UTF-8 ({error.reason})", fix="save it as UTF-8"
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(
            f"{path.name}:{line}: there is a NUL byte",
            fix="save it as UTF-8 text again; the file is damaged, or in UTF-16 without its mark",
        )
    return text


def _header(path: Path, text: str) -> tuple[str, Sequence[str]]:
    """The delimiter by which the first line has the most columns that are known, and its cells."""
    first = text.lstrip("\r\n").splitlines()[:1]
    choices = []
    for delimiter in DELIMITERS:
        reader = csv.reader(first, delimiter=delimiter, skipinitialspace=True)
        header = [name.strip() for name in next(_checked(reader, path), [])]
        choices.append((len(TableColumns.of(header).names), len(header), delimiter, header))
    _, _, delimiter, header = max(choices, key=lambda choice: choice[:2])
    return delimiter, header


def _checked(reader: Iterator[list[str]], path: Path) -> Iterator[list[str]]:
    """Raises DataError with the line where a field is too long."""
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            line = getattr(reader, "line_num", 1)
            raise DataError(
                f"{path.name}:{line}: {error} (of {LONGEST_FIELD} characters at most)",
                fix="look for a quotation mark that is not closed above that line",
            ) from error
