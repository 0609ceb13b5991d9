"""Rows of labels, from whatever holds them → entries: labels understood over all rows at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from cloud.datasets.account import Account
from cloud.datasets.dataset import GOOD
from cloud.datasets.entry import PictureEntry
from cloud.datasets.file_tree import FileTree
from cloud.datasets.kinds import SPLIT_NAMES, KindNames, split_of
from cloud.datasets.masks import MaskFiles
from cloud.datasets.readers.tables.file_search import NamedFiles
from shared.errors import DataError

MISSING = frozenset({"", "nan", "null", "n/a", "#n/a", "<na>"})


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One picture's row, as it stands there; empty where the table does not say.

    file, line   where it stands, from 1
    image, mask  as written, or the file itself where it was unpacked from the table
    split        None where the table has no such column
    probability  of a defect, as text; a comma for the point will do
    conveyor     a column `line`: `line` is that of the file
    """

    file: Path
    line: int
    image: str | Path
    defect: str = ""
    mask: str | Path = ""
    part: str = ""
    domain: str = ""
    split: str | None = None
    probability: str = ""
    lot: str = ""
    conveyor: str = ""


def label_row(
    file: Path, line: int, cells: Mapping[str, str | Path], split: str | None
) -> LabelRow:
    """A row of cells by what each is for. split: of the whole file, where no cell says it."""
    image, mask = (cells.get(name, "") for name in ("image", "mask"))
    text = {name: str(cell).strip() for name, cell in cells.items()}
    return LabelRow(
        file=file,
        line=line,
        image=image if isinstance(image, Path) else image.strip(),
        mask=mask if isinstance(mask, Path) else mask.strip(),
        defect=text.get("defect", ""),
        part=text.get("part", ""),
        domain=text.get("domain", ""),
        split=text.get("split", split),
        probability=text.get("probability", ""),
        lot=text.get("lot", ""),
        conveyor=text.get("line", ""),
    )


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """All rows of a set.

    column   that says which are defective; empty where the probability does
    """

    rows: Sequence[LabelRow]
    column: str

    def entries(self, tree: FileTree, account: Account) -> Iterator[PictureEntry]:
        """One for each picture. What is wrong with a row is a flaw with its line.

        Raises DataError where it can't be told which labels mean good.
        """
        kinds = self._kinds()
        for note in kinds.notes if self.column else ():
            account.note(note)
        files = NamedFiles(tree, account)
        listed = _Listed(account)
        unlabelled: dict[Path, list[int]] = {}
        for row in self.rows:
            target = _probability(row, account)
            missing = row.defect.strip().casefold() in MISSING
            if missing if self.column else target is None:
                unlabelled.setdefault(row.file, []).append(row.line)
                continue
            image = self._file(row, row.image, files, account)
            mask = self._file(row, row.mask, files, account) if row.mask else None
            if image is None or (row.mask and mask is None) or not _known_split(row, account):
                continue
            kind = kinds.kind(row.defect) if self.column else _by_probability(target)
            entry = PictureEntry(
                image=image,
                defect=kind,
                mask=None if mask is None else MaskFiles((mask,)),
                part=row.part,
                domain=row.domain or "all",
                split=None if row.split is None else split_of(row.split),
                target=target,
                lot=row.lot,
                line=row.conveyor,
            )
            if listed.first(entry, row):
                account.use(image, "picture")
                if mask is not None:
                    account.use(mask, "mask")
                yield entry
        for file, lines in unlabelled.items():
            what = f"{self.column or 'probability'} is empty in {len(lines)} rows: {_ranges(lines)}"
            account.flaw(file, f"{what}; say `good`, or the kind of defect", lines[0])

    def _kinds(self) -> KindNames:
        names = {row.defect for row in self.rows}
        kinds = KindNames.of(
            (name for name in names if name.strip().casefold() not in MISSING), self.column
        )
        if self.column and kinds.names and kinds.unclear:
            raise DataError(
                f"{self.rows[0].file}: {kinds.unclear}",
                fix="call good parts `good`, or the column `defect` or `good` and its values 0 "
                "and 1",
            )
        return kinds

    @staticmethod
    def _file(row: LabelRow, named: str | Path, files: NamedFiles, account: Account) -> Path | None:
        found = named if isinstance(named, Path) else files.find(named, row.file)
        if isinstance(found, Path):
            return found
        account.flaw(row.file, found, row.line)
        return None


class _Listed:
    """Which pictures and parts were there already, and where."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._pictures: dict[Path, tuple[PictureEntry, LabelRow]] = {}
        self._parts: dict[str, tuple[PictureEntry, LabelRow]] = {}

    def first(self, entry: PictureEntry, row: LabelRow) -> bool:
        """Whether it is listed for the first time and agrees with what else is said of its part."""
        before, there = self._pictures.setdefault(entry.image, (entry, row))
        if there is not row:
            if before == entry:
                self._account.note("a picture that is listed twice in the same way counts once")
            else:
                self._account.flaw(
                    row.file, f"{row.image} stands in line {there.line} with other labels", row.line
                )
            return False
        if entry.part and entry.split:
            of_part, there = self._parts.setdefault(entry.part, (entry, row))
            if of_part.split != entry.split:
                what = f"part {entry.part} is in {entry.split}, in line {there.line} it is in"
                self._account.flaw(row.file, f"{what} {of_part.split}", row.line)
                return False
        return True


def _known_split(row: LabelRow, account: Account) -> bool:
    if row.split is None or split_of(row.split):
        return True
    known = ", ".join(SPLIT_NAMES)
    account.flaw(row.file, f"split is {row.split!r}; use one of {known}", row.line)
    return False


def _probability(row: LabelRow, account: Account) -> float | None:
    if row.probability.strip().casefold() in MISSING:
        return None
    try:
        found = float(row.probability.strip().replace(",", "."))
    except ValueError:
        found = -1.0
    if 0 <= found <= 1:
        return found
    account.flaw(row.file, f"probability is {row.probability!r}, want 0 to 1", row.line)
    return None


def _by_probability(target: float | None) -> str:
    return "defect" if target is not None and target > 0.5 else GOOD


def _ranges(lines: Sequence[int]) -> str:
    """2, 4–7, 9: every line, neighbours together."""
    starts = [lines[0], *(b for a, b in pairwise(lines) if b != a + 1)]
    ends = [*(a for a, b in pairwise(lines) if b != a + 1), lines[-1]]
    both = zip(starts, ends, strict=True)
    return ", ".join(f"{a}" if a == b else f"{a}–{b}" for a, b in both)
