"""What a reader found → a data set: wrong entries told together, parts found, splits divided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cloud.datasets.account import Account
from cloud.datasets.dataset import GOOD, Dataset, Sample
from cloud.datasets.entry import PictureEntry
from cloud.datasets.likeness import group_near_identical
from cloud.datasets.mask_check import wrong_mask
from cloud.datasets.partition import Division
from shared.errors import DataError

LICENCES = ("LICENSE", "LICENCE", "LICENSE.txt", "license.txt")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a data set shall be read.

    seed          of the division into splits, where the set has none of its own
    data_format   the name of a reader; empty: the one that recognises the files
    skip_bad      go on without the entries that are wrong
    """

    seed: int = 0
    data_format: str = ""
    skip_bad: bool = False


@dataclass(frozen=True, slots=True)
class DatasetBuilder:
    """Makes a data set of entries. Says what is wrong and what it decided to the account."""

    account: Account
    options: ReadOptions = field(default_factory=ReadOptions)

    def build(self, found: Iterable[PictureEntry], root: Path) -> Dataset:
        """The entries as samples, each with a part and a split.

        What is wrong with an entry is a flaw of the account, and the entry is left out; who calls
        closes the account, which raises them.
        """
        entries = self._without_wrong(list(found))
        parts, merged = self._parts(entries)
        entries = [replace(one, part=part) for one, part in zip(entries, parts, strict=True)]
        splits = Division(self.options.seed).splits(
            [one.part for one in entries], [one.split for one in entries], self.account
        )
        samples = tuple(
            Sample(
                image=one.image,
                mask=one.mask,
                defect=one.defect,
                target=float(one.defect != GOOD) if one.target is None else one.target,
                part=one.part,
                domain=one.domain,
                split=split,
            )
            for one, split in zip(entries, splits, strict=True)
        )
        return Dataset(root.name, licence_of(root), samples, merged)

    def noted(self, dataset: Dataset) -> Dataset:
        """The set with all that was decided on the way."""
        return replace(dataset, notes=tuple(self.account.notes))

    def _without_wrong(self, entries: Sequence[PictureEntry]) -> list[PictureEntry]:
        kept: dict[Path, PictureEntry] = {}
        for entry in entries:
            missing, before = _missing(entry), kept.get(entry.image)
            if missing is not None:
                self.account.flaw(missing, f"is not there; {entry.image.name} needs it")
            elif before is None:
                if self._fits(entry):
                    kept[entry.image] = entry
            elif _said(before) == _said(entry):
                self.account.note("a picture that is listed twice in the same way counts once")
            else:
                what = f"is there twice, as {' '.join(_said(before))} and {' '.join(_said(entry))}"
                self.account.flaw(entry.image, what)
        return list(kept.values())

    def _fits(self, entry: PictureEntry) -> bool:
        try:
            wrong = wrong_mask(entry)
        except DataError as error:
            wrong = error.message
        if wrong:
            self.account.flaw(entry.image, wrong)
        return not wrong

    def _parts(self, entries: Sequence[PictureEntry]) -> tuple[list[str], int]:
        nameless = [entry.image for entry in entries if not entry.part]
        found, merged = group_near_identical(nameless)
        named = iter(found)
        return [entry.part or next(named) for entry in entries], merged


def licence_of(root: Path) -> str:
    """The first line of a licence that lies in the folder."""
    for name in LICENCES:
        if (root / name).is_file():
            return (root / name).read_text(errors="replace").splitlines()[0].strip()
    return "not stated by the data set"


def _said(entry: PictureEntry) -> tuple[str, ...]:
    return entry.defect, entry.part, entry.split or ""


def _missing(entry: PictureEntry) -> Path | None:
    files = (entry.image, *(entry.mask.files if entry.mask else ()))
    return next((file for file in files if not file.is_file()), None)
