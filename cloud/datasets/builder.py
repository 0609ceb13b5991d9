"""What a reader found → a data set: wrong entries told together, parts found, splits divided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cloud.datasets.account import Account
from cloud.datasets.dataset import GOOD, Dataset, Sample
from cloud.datasets.entry import PictureEntry
from cloud.datasets.glances import Glances, glance
from cloud.datasets.likeness import SamePart, group_near_identical
from cloud.datasets.mask_check import with_fitting_masks
from cloud.datasets.partition import Division

LICENCES = ("LICENSE", "LICENCE", "LICENSE.txt", "license.txt")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a data set shall be read.

    seed          of the division into splits, where the set has none of its own
    data_format   the name of a reader; empty: the one that recognises the files
    skip_bad      go on without the entries that are wrong
    same_part     when pictures are of one part, where the set names none
    look          open every picture, also where parts are named
    """

    seed: int = 0
    data_format: str = ""
    skip_bad: bool = False
    same_part: SamePart = field(default_factory=SamePart)
    look: bool = False


@dataclass(frozen=True, slots=True)
class BuiltDataset:
    """A data set, and what was seen on the way.

    groups   pictures that were kept together as one part, where the set named none
    seen     of every picture; None where none was opened
    """

    dataset: Dataset
    groups: tuple[tuple[Path, ...], ...]
    seen: Glances | None


@dataclass(frozen=True, slots=True)
class DatasetBuilder:
    """Makes a data set of entries. Says what is wrong and what it decided to the account."""

    account: Account
    options: ReadOptions = field(default_factory=ReadOptions)

    def build(self, found: Iterable[PictureEntry], root: Path) -> BuiltDataset:
        """The entries as samples, each with a part and a split.

        What is wrong with an entry is a flaw of the account, and the entry is left out; who calls
        closes the account, which raises them.
        """
        entries = self._without_missing(list(found))
        groups: tuple[tuple[Path, ...], ...] = ()
        seen = None
        if self.options.look or not all(entry.part for entry in entries):
            seen = glance([entry.image for entry in entries], self.account)
            places = with_fitting_masks(entries, self.account, seen.shapes)
            entries, seen = [entries[place] for place in places], seen.some(places)
            self._refuse_two_labels(entries, seen)
            entries, groups = self._with_parts(entries, seen)
        else:
            entries = [entries[place] for place in with_fitting_masks(entries, self.account)]
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
                lot=one.lot,
                line=one.line,
            )
            for one, split in zip(entries, splits, strict=True)
        )
        merged = sum(len(group) - 1 for group in groups)
        notes = tuple(self.account.notes)
        return BuiltDataset(
            Dataset(root.name, licence_of(root), samples, merged, notes), groups, seen
        )

    def _without_missing(self, entries: Sequence[PictureEntry]) -> list[PictureEntry]:
        kept: dict[Path, PictureEntry] = {}
        for entry in entries:
            missing, before = _missing(entry), kept.get(entry.image)
            if missing is not None:
                self.account.flaw(missing, f"is not there; {entry.image.name} needs it")
            elif before is None:
                kept[entry.image] = entry
            elif _said(before) == _said(entry):
                self.account.note("a picture that is listed twice in the same way counts once")
            else:
                what = f"is there twice, as {' '.join(_said(before))} and {' '.join(_said(entry))}"
                self.account.flaw(entry.image, what)
        return list(kept.values())

    def _refuse_two_labels(self, entries: Sequence[PictureEntry], seen: Glances) -> None:
        """One picture under two names can't be good and defective."""
        first: dict[bytes, PictureEntry] = {}
        for entry, content in zip(entries, seen.hashes, strict=True):
            if not content:
                continue
            before = first.setdefault(content, entry)
            if before.defect != entry.defect:
                what = f"is {entry.defect}, and the same picture as {before.image}, {before.defect}"
                self.account.flaw(entry.image, what)

    def _with_parts(
        self, entries: Sequence[PictureEntry], seen: Glances
    ) -> tuple[list[PictureEntry], tuple[tuple[Path, ...], ...]]:
        """The entries that could be read, each with a part, and what was kept together.

        A part is called by the content of its first picture, in the order of paths, so that its
        name says nothing of how many pictures there are.
        """
        nameless = [n for n, one in enumerate(entries) if seen.good[n] and not one.part]
        images = [entries[n].image for n in nameless]
        grouping = group_near_identical(images, seen.some(nameless), self.options.same_part)
        members: dict[int, list[int]] = {}
        for label, n in sorted(
            zip(grouping.labels.tolist(), nameless, strict=True),
            key=lambda pair: entries[pair[1]].image,
        ):
            members.setdefault(label, []).append(n)
        names = {
            n: f"part-{seen.hashes[group[0]].hex()[:12]}"
            for group in members.values()
            for n in group
        }
        groups = tuple(
            tuple(entries[n].image for n in group) for group in members.values() if len(group) > 1
        )
        if groups:
            self.account.note(
                f"{grouping.merged} pictures are near-identical to another and kept with it as one "
                f"part, the first {groups[0][1].name} with {groups[0][0].name}; --same-part never "
                "keeps them apart"
            )
        found = [
            replace(one, part=one.part or names[n]) for n, one in enumerate(entries) if seen.good[n]
        ]
        return self._apart_by_owner(found), groups

    def _apart_by_owner(self, entries: list[PictureEntry]) -> list[PictureEntry]:
        """What the owner put into two splits stays there, and it is said that it is alike."""
        homes: dict[str, set[str]] = {}
        for one in entries:
            if one.split and one.part.startswith("part-"):
                homes.setdefault(one.part, set()).add(one.split)
        torn = {part for part, splits in homes.items() if len(splits) > 1}
        if torn:
            first = next(one for one in entries if one.part in torn)
            self.account.note(
                f"{len(torn)} groups of near-identical pictures lie in several of the owner's "
                f"splits, the first around {first.image.name}: what is measured there is too good"
            )
        return [
            replace(one, part=f"{one.part}-{one.split}") if one.part in torn else one
            for one in entries
        ]


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
