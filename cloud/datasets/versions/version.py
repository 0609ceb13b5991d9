"""What a version of a data set is: its pictures with their labels, and who recorded it when.

A version names its fields as a commit of lakeFS does, and lists pictures as DVC lists a folder: by
`relpath`, in its order. docs/decisions/0067 says why it is neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from cloud.datasets.dataset import Dataset, Split
from cloud.datasets.masks import JoinedMasks, Mask, MaskFiles
from cloud.datasets.versions.file_hashes import FileHashes
from shared.console import track

ID_DIGITS = 16


class VersionedPicture(msgspec.Struct, frozen=True):
    """One picture with all that a training sees of it.

    relpath  from the data set's folder on; whole where the picture lies elsewhere
    sha256   of its file
    mask     changes with what is marked; empty: the set says nothing
    target   how surely it is defective, 0–1
    """

    relpath: str
    sha256: str
    defect: str
    target: float
    part: str
    domain: str
    split: Split
    mask: str = ""

    @property
    def content(self) -> tuple[str, ...]:
        """All of it but its place."""
        return (
            *(self.sha256, self.defect, repr(self.target), self.part, self.domain, self.split),
            self.mask,
        )


class DataVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version, without its pictures.

    id             sha256 of everything else, the first 16 digits
    parents        ids of the versions that it follows: several where two were brought together
    creation_date  UTC seconds
    content        sha256 over all pictures, wherever they lie
    listing        sha256 of the list of pictures as it is stored
    counts         pictures by kind of defect and split
    """

    id: str = ""
    name: str
    parents: tuple[str, ...]
    committer: str
    message: str
    creation_date: int
    content: str
    listing: str
    counts: dict[str, dict[Split, int]]

    @property
    def pictures(self) -> int:
        return sum(sum(by_split.values()) for by_split in self.counts.values())

    def identified(self) -> DataVersion:
        """The same with its id."""
        blank = msgspec.structs.replace(self, id="")
        found = hashlib.sha256(msgspec.json.encode(blank, order="sorted")).hexdigest()
        return msgspec.structs.replace(self, id=found[:ID_DIGITS])


def root_of(source: str) -> Path | None:
    """The folder of a data set, beside whose files its versions lie; None of a set that is known
    by its name."""
    path = Path(source).resolve()
    if not path.exists():
        return None
    return path if path.is_dir() else path.parent


def pictures_of(dataset: Dataset, hashes: FileHashes) -> tuple[VersionedPicture, ...]:
    """Every picture as it is now, in the order of places. Raises DataError for what can't be
    read."""
    found = [
        VersionedPicture(
            relpath=hashes.relative(sample.image),
            sha256=hashes.sha256(sample.image),
            defect=sample.defect,
            target=sample.target,
            part=sample.part,
            domain=sample.domain,
            split=sample.split,
            mask="" if sample.mask is None else _digest(sample.mask, hashes),
        )
        for sample in track(dataset.samples, "hashing pictures")
    ]
    return tuple(sorted(found, key=lambda one: one.relpath))


def content_of(pictures: Sequence[VersionedPicture]) -> str:
    """sha256 over what pictures are, whatever their order and places."""
    whole = hashlib.sha256()
    for content in sorted(one.content for one in pictures):
        whole.update(msgspec.json.encode(content))
    return whole.hexdigest()


def counts_of(pictures: Sequence[VersionedPicture]) -> dict[str, dict[Split, int]]:
    """How many there are of each kind in each split."""
    counts: dict[str, dict[Split, int]] = {}
    for one in sorted(pictures, key=lambda one: (one.defect, one.split)):
        of_kind = counts.setdefault(one.defect, {})
        of_kind[one.split] = of_kind.get(one.split, 0) + 1
    return counts


def _digest(mask: Mask, hashes: FileHashes) -> str:
    """As the mask's own digest, by hashes that are kept where it is made of files."""
    match mask:
        case MaskFiles(files):
            parts = [*map(hashes.sha256, files)]
        case JoinedMasks(masks):
            parts = [_digest(one, hashes) for one in masks]
        case _:
            parts = [mask.digest()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
