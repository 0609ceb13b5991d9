"""What a reader says of one picture, before parts and splits are known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cloud.datasets.account import Account
from cloud.datasets.dataset import Split
from cloud.datasets.file_tree import FileTree
from cloud.datasets.masks import Mask


@dataclass(frozen=True, slots=True)
class PictureEntry:
    """One picture, as its data set describes it.

    image   an absolute path
    defect  the kind of defect; `good` for none
    mask    where it is; None where the set does not say
    part    the physical part; empty where the set does not say
    domain  the lighting, line or plant that it comes from
    split   where the set's owner put it; None where nobody did
    target  an expert's probability of a defect; None: 1 for a defect, 0 for none
    lot, line  what the part was made with, and on which conveyor; empty where the set does not say
    """

    image: Path
    defect: str
    mask: Mask | None = None
    part: str = ""
    domain: str = "all"
    split: Split | None = None
    target: float | None = None
    lot: str = ""
    line: str = ""


class DatasetReader(Protocol):
    """One form in which pictures and labels come."""

    @property
    def name(self) -> str:
        """As people call it, say `COCO`."""
        ...

    def recognises(self, tree: FileTree) -> bool:
        """Whether the files are in this form; opens no more of them than it must."""
        ...

    def entries(self, tree: FileTree, account: Account) -> Iterable[PictureEntry]:
        """Every picture with its labels; says to the account what each file is.

        Raises DataError for what ends the reading; what costs one entry is a flaw.
        """
        ...
