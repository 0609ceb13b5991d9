"""Gathers what files of labels say of each picture, checks it, and makes entries of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from cloud.datasets.account import Account
from cloud.datasets.dataset import GOOD, Split
from cloud.datasets.entry import PictureEntry
from cloud.datasets.file_tree import FileTree
from cloud.datasets.kinds import is_good
from cloud.datasets.label_fault import LabelFault
from cloud.datasets.masks import Mask, joined
from cloud.datasets.outlines import Size
from cloud.datasets.picture_size import picture_size
from cloud.datasets.readers.tools.picture_labels import LabelPlace, PictureLabels, marked_area
from cloud.datasets.readers.tools.picture_names import PictureNames

SPOILT = "its labels can't be used"
UNNAMED = "a picture that no label names"


class LabelledPictures:
    """Pictures of one data set, in the order in which they are named.

    names   finds them
    """

    def __init__(self, tree: FileTree, account: Account) -> None:
        self._tree = tree
        self._account = account
        self._declared: dict[str, None] = {}
        self._used: set[str] = set()
        self._pictures: dict[Path, PictureLabels] = {}
        self._gone: set[Path] = set()
        self.names = PictureNames(tree, account)

    def declare(self, kinds: Iterable[str]) -> None:
        """The set says that it has these kinds; those that no label uses are said."""
        self._declared.update(dict.fromkeys(kinds))

    def flaw(self, place: LabelPlace, what: str, line: int = 0) -> None:
        said = f"{place.entry}: {what}" if place.entry else what
        self._account.flaw(place.file, said, line or place.line)

    def note(self, text: str) -> None:
        self._account.note(text)

    def leave_out(self, path: Path, why: str) -> None:
        self._account.leave_out(path, why)

    def picture(
        self,
        place: LabelPlace,
        path: Path,
        *,
        drawn_on: Size | None = None,
        split: Split | None = None,
        part: str = "",
        domain: str = "",
    ) -> PictureLabels | None:
        """What is known of a picture that a label names; None once it was said to be unreadable.

        drawn_on   (height, width) as the labels say
        """
        found = self._pictures.get(path)
        if found is None:
            if path in self._gone:
                return None
            try:
                found = PictureLabels(path, picture_size(path), place)
            except LabelFault as fault:
                self._account.flaw(path, str(fault))
                self._account.leave_out(path, "not a picture that can be read")
                self._gone.add(path)
                return None
            self._pictures[path] = found
            found.split = split
        if split is not None and found.split != split:
            if found.split is not None:
                found.spoilt = True
                self.flaw(place, f"{path.name} lies in two splits, {found.split} and {split}")
            found.split = split
        found.part = part or found.part
        found.domain = domain or found.domain
        if drawn_on is not None and drawn_on != found.size:
            found.spoilt = True
            self.flaw(place, found.other_size(drawn_on))
        return found

    def mark(
        self,
        picture: PictureLabels,
        place: LabelPlace,
        kind: str,
        draw: Callable[[Size], Mask | None],
    ) -> None:
        """One label of a picture; what is wrong with it becomes a flaw, and costs the picture.

        draw   its pixels on a picture of (height, width); None for what is said of all of it
        """
        self._used.add(kind)
        picture.labelled = True
        if not kind.strip():
            picture.spoilt = True
            self.flaw(place, "it has no kind")
            return
        try:
            mask = draw(picture.size)
        except LabelFault as fault:
            picture.spoilt = True
            self.flaw(place, str(fault))
            return
        if is_good(kind):
            picture.called_good |= mask is None
            return
        picture.kinds[kind.strip()] += marked_area(mask)
        if mask is not None:
            picture.masks.append(mask)

    def spoil(self, picture: PictureLabels, place: LabelPlace, what: str, line: int = 0) -> None:
        """Something is wrong with what is said of a picture."""
        picture.spoilt = True
        self.flaw(place, what, line)

    def entries(self, unmarked: str) -> Iterator[PictureEntry]:
        """Every picture that was named; says what was decided of them.

        unmarked   why a picture without labels is good, after "n pictures …"
        """
        bare = several = 0
        for picture in self._pictures.values():
            kinds = picture.kinds
            if picture.called_good and kinds:
                self.spoil(picture, picture.place, f"it is called good, and {_listed(kinds)}")
            if picture.spoilt:
                self._account.leave_out(picture.path, SPOILT)
                continue
            bare += not picture.labelled
            several += len(kinds) > 1
            self._account.use(picture.path, "picture")
            for mask in picture.masks:
                for file in mask.files:
                    self._account.use(file, "mask")
            yield PictureEntry(
                image=picture.path,
                defect=max(kinds, key=lambda kind: kinds[kind]) if kinds else GOOD,
                mask=joined(picture.masks),
                part=picture.part,
                domain=picture.domain,
                split=picture.split,
            )
        self._say(bare, unmarked, several)

    def _say(self, bare: int, unmarked: str, several: int) -> None:
        if bare:
            self._account.note(f"{_pictures(bare)} {unmarked}: good")
        if several:
            self._account.note(
                f"{_pictures(several)} with several kinds of defect: each counts as the kind that "
                f"marks the most of it"
            )
        unused = [kind for kind in self._declared if kind not in self._used]
        if unused:
            self._account.note(f"kinds that no label uses: {_listed(unused)}")
        good = sorted(kind for kind in self._used if kind.strip() and is_good(kind))
        if good:
            self._account.note(f"labels of the kind {_listed(good)} mark no defect")
        splits = {picture.split for picture in self._pictures.values()}
        if "calibrate" in splits:
            self._account.note("the set's own validation pictures are used to calibrate")
        unnamed = [path for path in self._tree.pictures if path not in self._pictures]
        for path in unnamed:
            self._account.leave_out(path, UNNAMED)


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    shown = ", ".join(every[:8])
    return f"{shown} and {len(every) - 8} more" if len(every) > 8 else shown
