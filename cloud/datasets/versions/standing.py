"""How a data set that is about to be used stands to its versions."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.datasets.dataset import Dataset
from cloud.datasets.versions.difference import VersionDifference
from cloud.datasets.versions.file_hashes import FileHashes
from cloud.datasets.versions.store import VersionStore
from cloud.datasets.versions.version import DataVersion, content_of, pictures_of, root_of

CHANGED = "-changed"


@dataclass(frozen=True, slots=True)
class VersionStanding:
    """The version that a set is, or the last one before it changed."""

    version: DataVersion
    since: VersionDifference

    @property
    def name(self) -> str:
        """For a bundle's record: the version's id, with `-changed` behind it where it is not
        quite that."""
        return self.version.id + (CHANGED if self.since.counts() else "")

    def told(self, source: str) -> str:
        """For people, in a line or two."""
        said = f"version {self.version.id}"
        if not self.since.counts():
            return f"{said}: {self.version.message}"
        return (
            f"changed since {said}: {self.since.in_words()}; to record it: "
            f"splitsight cloud data version create {source}"
        )


def standing_of(dataset: Dataset, source: str) -> VersionStanding | None:
    """None of a set that has no versions. Raises DataError where one can't be read.

    source   where the set was read from
    """
    root = root_of(source)
    if root is None:
        return None
    store = VersionStore(root)
    heads = store.heads()
    if not heads:
        return None
    pictures = pictures_of(dataset, FileHashes(root))
    content = content_of(pictures)
    for version in [*heads, *store.versions()]:
        if version.content == content:
            return VersionStanding(version, VersionDifference())
    before = store.pictures(heads[0])
    return VersionStanding(heads[0], VersionDifference.between(before, pictures))
