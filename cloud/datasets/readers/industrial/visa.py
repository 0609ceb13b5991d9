"""VisA as it is published: tables of pictures and masks. As prepared, it has MVTec's form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloud.datasets.account import Account
from cloud.datasets.dataset import GOOD
from cloud.datasets.entry import PictureEntry
from cloud.datasets.file_tree import FileTree
from cloud.datasets.kinds import is_good, split_of
from cloud.datasets.masks import MaskFiles
from cloud.datasets.readers.tables.csv_table import CsvTable
from shared.errors import DataError

KINDS = "image_anno.csv"
# The first has defects in train.
DIVISIONS = ("split_csv/2cls_highshot.csv", "split_csv/1cls.csv")
_COLUMNS = frozenset({"image", "label", "mask"})


@dataclass(frozen=True, slots=True)
class VisaRow:
    """A picture as one of the tables lists it. label: normal, or kinds of defects with commas."""

    table: Path
    line: int
    image: str
    label: str
    mask: str
    split: str


class VisaReader:
    """Kinds of defects from `image_anno.csv`, the division from `split_csv`."""

    name = "VisA"

    def recognises(self, tree: FileTree) -> bool:
        """Where one of its tables lies."""
        return tree.labels is None and bool(_kind_tables(tree) or _division(tree))

    def entries(self, tree: FileTree, account: Account) -> Iterator[PictureEntry]:
        """As in `DatasetReader`. A picture or mask that is not there is a flaw."""
        files = set(tree.files)
        labels = {row.image: row for row in _rows(_kind_tables(tree), account)}
        division = _division(tree)
        rows = list(_rows([division], account)) if division else list(labels.values())
        if division:
            account.note(f"pictures and their masks are read from {division.name}")
        divided = any(
            row.split and split_of(row.split) == "train" and not is_good(row.label) for row in rows
        )
        if division:
            account.note(
                "the owner's division is kept"
                if divided
                else "divided anew: the owner's train has no defects"
            )
        for row in rows:
            # Both kinds of tables lie in a folder of the set's own.
            root = row.table.parent.parent
            image, mask = root / row.image, root / row.mask if row.mask else None
            missing = [name for name in (row.image, row.mask) if name and root / name not in files]
            if missing or not row.image:
                what = missing[0] if missing else "a picture without a name"
                account.flaw(row.table, f"{what} is not there", row.line)
                continue
            account.use(image, "picture")
            if mask is not None:
                account.use(mask, "mask")
            yield PictureEntry(
                image,
                _kind(labels.get(row.image, row).label, account),
                mask=MaskFiles((mask,)) if mask else None,
                domain=row.image.split("/")[0],
                split=split_of(row.split) if divided else None,
            )


def _kind_tables(tree: FileTree) -> list[Path]:
    return [path for path in tree.files if path.name == KINDS]


def _division(tree: FileTree) -> Path | None:
    files = set(tree.files)
    return next((tree.root / name for name in DIVISIONS if tree.root / name in files), None)


def _rows(tables: Sequence[Path], account: Account) -> Iterator[VisaRow]:
    for path in tables:
        table = CsvTable.read(path)
        account.use(path, "labels")
        if not set(table.header) >= _COLUMNS:
            raise DataError(
                f"{path} has the columns {', '.join(table.header)}, want {', '.join(_COLUMNS)}",
                fix="fetch VisA's tables again",
            )
        for line, cells in table.cells(account):
            yield VisaRow(
                table=path,
                line=line,
                image=cells["image"],
                label=cells.get("label", ""),
                mask=cells.get("mask", ""),
                split=cells.get("split", ""),
            )


def _kind(label: str, account: Account) -> str:
    if is_good(label):
        return GOOD
    first, *others = (name.strip() for name in label.split(","))
    if others:
        account.note("a picture with several kinds of defects counts as the first that is named")
    return first
