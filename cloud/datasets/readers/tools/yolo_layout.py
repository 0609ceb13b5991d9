"""Where a YOLO set says that its pictures are: Ultralytics' YAML, or Darknet's lists of names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import yaml

from cloud.datasets.account import Account
from cloud.datasets.dataset import Split
from cloud.datasets.file_tree import SUFFIXES, FileTree
from cloud.datasets.label_fault import LabelFault
from cloud.datasets.readers.tools.darknet import YoloLayout, listed_pictures, read_darknet
from cloud.datasets.readers.tools.documents import content, files_of, lines_of
from cloud.datasets.readers.tools.labelled_pictures import SPOILT
from cloud.datasets.readers.tools.picture_names import split_in, without_dots
from shared.opener import Unopenable, read_yaml

_NAMES = frozenset({"obj.names", "classes.txt", "obj.data"})
_SPLITS: dict[str, Split] = {"train": "train", "val": "calibrate", "test": "test"}


def descriptions(tree: FileTree) -> list[Path]:
    """The files that describe a YOLO set, the most telling kind of them alone."""
    settings = [path for path in files_of(tree, ".yaml", ".yml") if _describes(path)]
    if settings:
        return settings
    found = files_of(tree, ".names", ".txt", ".data")
    found = [path for path in found if path.name.lower() in _NAMES]
    found = [path for path in found if path.suffix.lower() == ".data"] or found[:1]
    return found if any(holds_labels(path) for path in _texts(tree)[:20]) else []


def read_layout(tree: FileTree, account: Account, path: Path) -> YoloLayout:
    """What one of them says. Raises LabelFault where it can't be read."""
    account.use(path, "labels")
    if path.suffix.lower() in {".yaml", ".yml"}:
        return _Ultralytics(tree, account, path).layout()
    if path.suffix.lower() == ".data":
        return read_darknet(tree, account, path)
    kinds = dict(enumerate(line.strip() for line in lines_of(path) if line.strip()))
    return YoloLayout(kinds, {picture: split_in(tree, picture) for picture in tree.pictures})


def holds_labels(path: Path) -> bool:
    """Whether a text begins as labels do, so that it is no list, and no text for people."""
    try:
        first = next((line.split() for line in lines_of(path) if line.strip()), [])
    except LabelFault:
        return False
    return len(first) > 4 and first[0].isdecimal()


class _Ultralytics:
    """`path`, `train`, `val`, `test`, each a folder, a list of names, or several of them."""

    def __init__(self, tree: FileTree, account: Account, path: Path) -> None:
        self._tree, self._account, self._path = tree, account, path
        self._files = frozenset(tree.files)

    def layout(self) -> YoloLayout:
        try:
            _, said = read_yaml(content(self._path).decode("utf-8-sig"))
        except (yaml.YAMLError, UnicodeDecodeError, Unopenable) as error:
            line = getattr(getattr(error, "problem_mark", None), "line", -1) + 1
            raise LabelFault(f"it is no YAML ({error})".replace("\n", " "), line) from error
        if not isinstance(said, dict):
            raise LabelFault("it is no YAML of names and splits")
        layout = YoloLayout(_named(said.get("names")), keypoints=_keypoints(said.get("kpt_shape")))
        count = said.get("nc", len(layout.kinds))
        if count != len(layout.kinds):
            raise LabelFault(f"`nc` is {count}, `names` has {len(layout.kinds)}")
        root = self._root(said.get("path"))
        twice: set[Path] = set()
        for name, split in _SPLITS.items():
            try:
                for picture in self._of(root, name, said):
                    other = layout.pictures.setdefault(picture, split)
                    if other != split:
                        what = f"{picture.name} lies in two splits, {other} and {split}"
                        self._account.flaw(self._path, what)
                        twice.add(picture)
            except LabelFault as fault:
                self._account.flaw(self._path, f"{name}: {fault}")
        for picture in twice:
            del layout.pictures[picture]
            self._account.leave_out(picture, SPOILT)
        return layout

    def _of(self, root: Path, name: str, said: dict[object, object]) -> Iterator[Path]:
        """The pictures of one split."""
        match said.get(name):
            case None | "":
                return
            case str(where):
                yield from self._pictures(root, where)
            case [*several] if all(isinstance(one, str) for one in several):
                for one in several:
                    yield from self._pictures(root, str(one))
            case _:
                raise LabelFault("it is neither a path nor a list of them")

    def _root(self, said: object) -> Path:
        """`path` is often that of the machine on which the file was written."""
        here = self._path.parent
        wanted = without_dots(here / str(said or "").replace("\\", "/"))
        if wanted in self._tree.folders:
            return wanted
        self._account.note(f"{self._path.name} says `path: {said}`, taken for its own folder")
        return here

    def _pictures(self, root: Path, where: str) -> Iterator[Path]:
        found = self._found(root, where)
        if found in self._files and found.suffix.lower() == ".txt":
            self._account.use(found, "labels")
            yield from listed_pictures(self._tree, self._account, found, root)
        elif found in self._files and found.suffix.lower() in SUFFIXES:
            yield found
        else:
            yield from self._tree.pictures_below(found)

    def _found(self, root: Path, where: str) -> Path:
        wanted = PurePosixPath(where.replace("\\", "/"))
        inside = [part for part in wanted.parts if part not in {"..", ".", "/"}]
        # Exports of Roboflow say `../train/images`, and mean `train/images`; others name the
        # folders of the machine that wrote them.
        tails = [inside[cut:] for cut in range(len(inside))]
        near = [folder.joinpath(*tail) for tail in tails for folder in (root, self._path.parent)]
        for found in (root / wanted, *near):
            plain = without_dots(found)
            if plain in self._tree.folders or plain in self._files:
                return plain
        raise LabelFault(f"{where} is neither a folder with files nor a list")


def _named(said: object) -> dict[int, str]:
    match said:
        case list():
            return {number: str(name) for number, name in enumerate(said)}
        case dict() if all(str(number).isdecimal() for number in said):
            return {int(number): str(name) for number, name in said.items()}
    raise LabelFault("`names` is neither a list nor names by number")


def _keypoints(said: object) -> int:
    match said:
        case [int(count), int(each)]:
            return count * each
    return 0


def _describes(path: Path) -> bool:
    try:
        text = content(path)[: 1 << 16].decode("utf-8-sig", errors="replace")
    except LabelFault:
        return False
    names = re.search(r"^[\"']?names[\"']?\s*:", text, re.MULTILINE)
    return bool(names and re.search(r"^[\"']?(train|val|test)[\"']?\s*:", text, re.MULTILINE))


def _texts(tree: FileTree) -> list[Path]:
    known = {path.with_suffix("").name for path in tree.pictures}
    return [p for p in tree.files if p.suffix.lower() == ".txt" and p.stem in known]
