"""One folder a kind, in any depth, divided by its owner or not, with masks beside it or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cloud.datasets.account import Account
from cloud.datasets.dataset import GOOD
from cloud.datasets.entry import PictureEntry
from cloud.datasets.file_tree import FileTree
from cloud.datasets.kinds import BAD_NAMES, KindNames, is_good, plain, split_of
from cloud.datasets.mask_pairs import CONTAINERS, MaskPairs
from cloud.datasets.masks import MaskFiles
from shared.errors import DataError

ORPHAN = "a mask whose picture is not there"
OUTSIDE = "a picture outside of the folders of kinds"
_Names = tuple[str, ...]


@dataclass(frozen=True)
class KindFolders:
    """`good` (or ok, normal, free) and any others, each a kind of defect.

    They may lie in train, val and test, and in folders of products, which become domains.
    Without defects they can be trained on with --good-only.

    name     of the form
    aside    folders whose pictures are left out, and why
    aliases  folders of this form's splits that have names of their own
    """

    name: str = "folders"
    aside: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    def recognises(self, tree: FileTree) -> bool:
        """Where pictures lie in folders."""
        return tree.labels is None and any(p.parent != tree.root for p in tree.pictures)

    def entries(self, tree: FileTree, account: Account) -> Iterator[PictureEntry]:
        """As in `DatasetReader`. Raises DataError where no folder is of good parts."""
        pairs = MaskPairs.of(self._read(tree, account), tree.root)
        _tell(pairs, account)
        places = {
            folder: self._place(folder, tree) for folder in {p.parent for p in pairs.pictures}
        }
        plan = FolderPlan.of(tree.root, [place.names for place in places.values()])
        divided = _owners_division(plan, places.values(), account)
        for note in plan.notes:
            account.note(note)
        for image in pairs.pictures:
            place = places[image.parent]
            if len(place.names) <= plan.depth:
                account.leave_out(image, OUTSIDE)
                continue
            account.use(image, "picture")
            masks = pairs.masks.get(image, ())
            yield PictureEntry(
                image,
                plan.kind(place.names),
                mask=MaskFiles(tuple(masks)) if masks else None,
                domain="/".join(place.names[: plan.depth]) or "all",
                split=split_of(place.split) if divided else None,
            )

    def _read(self, tree: FileTree, account: Account) -> list[Path]:
        """The pictures that this form reads."""
        passed: dict[Path, str] = {}
        for folder in {path.parent for path in tree.pictures} if self.aside else ():
            names = (name.lower() for name in folder.relative_to(tree.root).parts)
            passed[folder] = next((self.aside[name] for name in names if name in self.aside), "")
        found = []
        for path in tree.pictures:
            why = passed.get(path.parent, "")
            if why:
                account.leave_out(path, why)
            else:
                found.append(path)
        return found

    def _place(self, folder: Path, tree: FileTree) -> FolderPlace:
        names, split = [], ""
        for name in folder.relative_to(tree.root).parts:
            owners = self.aliases.get(name.lower(), name)
            if not split and split_of(owners):
                split = owners
            elif plain(name) not in CONTAINERS:
                names.append(name)
        return FolderPlace(tuple(names), split)


@dataclass(frozen=True, slots=True)
class FolderPlace:
    """A folder's names without those of splits, and of the kind of `images`; its owner's split."""

    names: _Names
    split: str


@dataclass(frozen=True, slots=True)
class FolderPlan:
    """At which depth the kinds' folders lie.

    deeper   folders of defects in general whose own folders are the kinds
    """

    depth: int
    kinds: KindNames
    deeper: frozenset[str]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, root: Path, places: Sequence[_Names]) -> FolderPlan:
        """Find it out. Raises DataError where no folder is of good parts, or it can't be told."""
        deepest = max(map(len, places), default=0)
        for depth in range(deepest):
            here = [names for names in places if len(names) > depth]
            kinds = KindNames.of({names[depth] for names in here})
            if kinds.good and not kinds.unclear:
                _refuse_good_below(root, here, depth, kinds)
                return cls._with_deeper(here, depth, kinds)
        seen = sorted({names[0] for names in places if names})
        unclear = KindNames.of(seen).unclear if seen else ""
        raise DataError(
            f"{root} has the folders {', '.join(seen) or 'none'}"
            + (f": {unclear}" if unclear else ""),
            fix="put good parts in a folder `good`, and others, if any, in one folder a kind of "
            "defect",
        )

    @classmethod
    def _with_deeper(cls, places: Sequence[_Names], depth: int, kinds: KindNames) -> FolderPlan:
        below = {
            name: {names[depth + 1 : depth + 2] for names in places if names[depth] == name}
            for name in kinds.names
        }
        of_good = {one for name in kinds.names if kinds.kind(name) == GOOD for one in below[name]}
        deeper = {
            name
            for name, inside in below.items()
            if plain(name) in BAD_NAMES and () not in inside and not inside & of_good
        }
        notes = [
            *kinds.notes,
            *(f"the folders in {name} are taken as kinds of defects" for name in sorted(deeper)),
        ]
        for name in sorted(set(below) - deeper):
            inside = sorted(one[0] for one in below[name] if one)
            if inside:
                notes.append(f"the folders in {name} ({', '.join(inside[:4])}) all count as {name}")
        names = kinds.names - deeper | {one[0] for name in deeper for one in below[name]}
        return cls(depth, KindNames.of(names), frozenset(deeper), tuple(notes))

    def kind(self, names: _Names) -> str:
        own = names[self.depth]
        return self.kinds.kind(names[self.depth + 1] if own in self.deeper else own)


def _refuse_good_below(root: Path, places: Sequence[_Names], depth: int, kinds: KindNames) -> None:
    for names in places:
        if kinds.kind(names[depth]) != GOOD and any(map(is_good, names[depth + 1 :])):
            raise DataError(
                f"{root} has good parts at two depths: there is {'/'.join(names)}, and a folder of "
                f"good parts beside {names[depth]}",
                fix="put all folders of kinds at one depth",
            )


def _owners_division(plan: FolderPlan, places: Iterable[FolderPlace], account: Account) -> bool:
    """Whether the owner's division is kept. Without defects in train it can't be."""
    kinds: dict[str, set[str]] = {}
    for place in places:
        split = split_of(place.split)
        if split and len(place.names) > plan.depth:
            kinds.setdefault(split, set()).add(plan.kind(place.names))
    if not kinds:
        return False
    found = set().union(*kinds.values())
    if found != {GOOD} and kinds.get("train", {GOOD}) == {GOOD}:
        account.note("divided anew: the owner's train has no defects")
        return False
    account.note(f"the owner's division is kept: {', '.join(sorted(kinds))}")
    return True


def _tell(pairs: MaskPairs, account: Account) -> None:
    for path, what in pairs.wrong:
        account.flaw(path, what)
    for path in pairs.orphans:
        account.leave_out(path, ORPHAN)
    masks = [mask for several in pairs.masks.values() for mask in several]
    for mask in masks:
        account.use(mask, "mask")
    if masks:
        account.note(f"{len(masks)} files are masks of {len(pairs.masks)} pictures, not parts")
