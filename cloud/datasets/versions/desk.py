"""A data set and the versions beside it: recorded, and compared with what is there now."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from cloud.datasets.builder import ReadOptions
from cloud.datasets.dataset import Dataset
from cloud.datasets.readers import survey
from cloud.datasets.versions.difference import VersionDifference
from cloud.datasets.versions.file_hashes import FileHashes
from cloud.datasets.versions.store import VersionStore
from cloud.datasets.versions.version import DataVersion, VersionedPicture, pictures_of, root_of
from shared.clock import Clock, SystemClock
from shared.console import err
from shared.errors import DataError

NOW = "now"


@dataclass(frozen=True, slots=True)
class NamedDifference:
    """What changed between two versions; `after` is `now` for what is there."""

    before: str
    after: str
    difference: VersionDifference


class VersionDesk:
    """The data set at a path, which is read when something asks what is there now."""

    def __init__(
        self, source: str, options: ReadOptions | None = None, *, clock: Clock | None = None
    ) -> None:
        """Raises DataError where the path is none."""
        root = root_of(source)
        if root is None:
            raise DataError(
                f"{source} is not there",
                fix="give a folder of pictures or a file of labels; a set that is known by its "
                "name has the version of its package",
            )
        self.store = VersionStore(root)
        self._source = source
        self._options = options or ReadOptions()
        self._clock = clock or SystemClock()

    def record(self, message: str, by: str) -> tuple[DataVersion, bool]:
        """The version that it is now, and whether that is a new one. Raises DataError."""
        dataset, pictures = self._now()
        version = self.store.add(
            pictures,
            name=dataset.name,
            committer=by,
            message=message,
            at=self._clock.utc(),
        )
        return (version, True) if version is not None else (self.store.heads()[0], False)

    def difference(self, before: str, after: str) -> NamedDifference:
        """Between two versions, or one and `now`. Raises DataError."""
        old = self.store.find(before)
        if after == NOW:
            name, pictures = NOW, self._now()[1]
        else:
            new = self.store.find(after)
            name, pictures = new.id, self.store.pictures(new)
        found = VersionDifference.between(self.store.pictures(old), pictures)
        return NamedDifference(old.id, name, found)

    def _now(self) -> tuple[Dataset, tuple[VersionedPicture, ...]]:
        read = survey(self._source, self._options)
        dataset, flaws = read.dataset, read.account.flaws
        if flaws:
            err.print(f"{len(flaws)} entries are left out, the first: {flaws[0]}", highlight=False)
        hashes = FileHashes(self.store.root, self._clock)
        pictures = pictures_of(dataset, hashes)
        with contextlib.suppress(OSError):
            # It only saves time, and a folder that is read only has its difference all the same.
            hashes.keep()
        return dataset, pictures
