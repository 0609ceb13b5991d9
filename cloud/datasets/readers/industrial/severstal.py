"""Severstal's steel: `train.csv` with runs of pixels for each picture and class of defect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cloud.datasets.account import Account
from cloud.datasets.dataset import GOOD
from cloud.datasets.entry import PictureEntry
from cloud.datasets.file_tree import FileTree
from cloud.datasets.masks import joined
from cloud.datasets.readers.tables.csv_table import CsvTable
from cloud.datasets.run_mask import RunMask
from shared.errors import DataError

TABLE = "train.csv"
PICTURES = "train_images"
RUNS = "EncodedPixels"
BOTH = "ImageId_ClassId"
UNLABELLED = "a test picture, whose label Severstal keeps"
_Classes = dict[str, RunMask]


class SeverstalReader:
    """Both forms of its table: a row for each picture and class, or one for each defect."""

    name = "Severstal"

    def recognises(self, tree: FileTree) -> bool:
        """Where `train.csv` has a column of runs."""
        try:
            return _table(tree) is not None
        except DataError:
            return False

    def entries(self, tree: FileTree, account: Account) -> Iterator[PictureEntry]:
        """As in `DatasetReader`. Pictures without any runs are good."""
        table = _table(tree)
        if table is None:
            raise DataError(
                f"{tree.root} has no {TABLE} with a column {RUNS}", fix="unpack the whole set there"
            )
        account.use(table.path, "labels")
        folder = table.path.parent / PICTURES
        here = {path.name: path for path in tree.pictures if path.parent == folder}
        marked = _runs(table, here, account)
        account.note("pictures without runs of pixels are good")
        several = [name for name, classes in marked.items() if len(classes) > 1]
        if several:
            account.note(
                f"{len(several)} pictures have several classes of defect and count as that of the "
                "most pixels"
            )
        for name, image in here.items():
            classes = marked.get(name, {})
            account.use(image, "picture")
            kind = max(classes, key=lambda one: classes[one].area) if classes else ""
            yield PictureEntry(
                image,
                f"class {kind}" if kind else GOOD,
                mask=joined(list(classes.values())),
            )
        for path in tree.pictures_below(table.path.parent / "test_images"):
            account.leave_out(path, UNLABELLED)


def _table(tree: FileTree) -> CsvTable | None:
    path = tree.labels or tree.root / TABLE
    if path.name.lower() != TABLE or path not in tree.files:
        return None
    table = CsvTable.read(path)
    columns = set(table.header)
    known = RUNS in columns and (BOTH in columns or {"ImageId", "ClassId"} <= columns)
    return table if known else None


def _runs(table: CsvTable, here: dict[str, Path], account: Account) -> dict[str, _Classes]:
    """The runs of each picture by class. A row that can't be understood is a flaw."""
    found: dict[str, _Classes] = {}
    for line, cells in table.cells(account):
        if BOTH in cells:
            name, _, kind = cells[BOTH].rpartition("_")
        else:
            name, kind = cells.get("ImageId", ""), cells.get("ClassId", "")
        text = cells.get(RUNS, "")
        if name not in here:
            account.flaw(table.path, f"{name or 'a picture'} is not in {PICTURES}", line)
        elif text and kind in found.get(name, {}):
            account.flaw(table.path, f"{name} has class {kind} twice", line)
        elif text:
            try:
                found.setdefault(name, {})[kind] = RunMask.of(text)
            except ValueError as error:
                account.flaw(table.path, f"{RUNS}: {error}", line)
    return found
