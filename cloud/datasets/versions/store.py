"""The versions of a data set, kept beside it: `.splitsight/versions/`."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Sequence
from graphlib import TopologicalSorter
from pathlib import Path

import msgspec

from cloud.datasets.versions.file_hashes import FOLDER
from cloud.datasets.versions.version import (
    DataVersion,
    VersionedPicture,
    content_of,
    counts_of,
)
from shared.errors import DataError
from shared.storage.files import PUBLIC, replace_file

LATEST = "latest"
PICTURES = ".pictures.json.gz"
LEAST_DIGITS = 4
_FETCH = "fetch `.splitsight/versions` again from where the data set comes from"


class VersionStore:
    """Versions of the data set in one folder, a file of facts and a file of pictures each.

    Files are written once and never changed, so that two people's versions can be copied together:
    the next version then has both as parents.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / FOLDER / "versions"

    def versions(self) -> list[DataVersion]:
        """The newest first, each before those that it follows, whatever the clocks of who recorded
        them said. Raises DataError where one can't be read."""
        found = {one.id: one for one in map(self._read, sorted(self.folder.glob("*.json")))}
        order = TopologicalSorter[str](dict.fromkeys(found, ()))
        for one in found.values():
            for parent in one.parents:
                if parent in found:
                    order.add(parent, one.id)
        order.prepare()
        every: list[DataVersion] = []
        ready: list[DataVersion] = []
        while order.is_active():
            ready += [found[name] for name in order.get_ready()]
            newest = max(ready, key=lambda one: (one.creation_date, one.id))
            ready.remove(newest)
            every.append(newest)
            order.done(newest.id)
        return every

    def heads(self) -> list[DataVersion]:
        """Those that none follows, the newest first: one, or several that were not yet brought
        together."""
        every = self.versions()
        followed = {parent for one in every for parent in one.parents}
        return [one for one in every if one.id not in followed]

    def find(self, wanted: str) -> DataVersion:
        """The version of an id, of its first digits, or `latest`. Raises DataError."""
        every = self.heads() if wanted == LATEST else self.versions()
        if not every:
            raise DataError(
                f"{self.root} has no version yet",
                fix=f"splitsight cloud data version create {self.root}",
            )
        if wanted == LATEST:
            return every[0]
        fits = [one for one in every if one.id.startswith(wanted)]
        if len(wanted) < LEAST_DIGITS or len(fits) != 1:
            found = f"{len(fits)} versions begin" if len(fits) > 1 else "no version begins"
            raise DataError(
                f"{found} with {wanted!r}",
                fix=f"give {LEAST_DIGITS} digits or more of one that `version list` shows",
            )
        return fits[0]

    def pictures(self, version: DataVersion) -> tuple[VersionedPicture, ...]:
        """All of a version. Raises DataError where its list is gone or was changed."""
        path = self.folder / f"{version.id}{PICTURES}"
        try:
            raw = gzip.decompress(path.read_bytes())
            if hashlib.sha256(raw).hexdigest() != version.listing:
                raise DataError(f"{path} is not the list that {version.id} names", fix=_FETCH)
            return msgspec.json.decode(raw, type=tuple[VersionedPicture, ...])
        except (OSError, EOFError, ValueError) as error:
            raise DataError(f"{path} can't be read ({error})", fix=_FETCH) from error

    def add(
        self,
        pictures: Sequence[VersionedPicture],
        *,
        name: str,
        committer: str,
        message: str,
        at: float,
    ) -> DataVersion | None:
        """Record them as the version that follows the heads; None where that would be the only
        head again. Raises DataError where it can't be written."""
        heads = self.heads()
        content = content_of(pictures)
        if len(heads) == 1 and heads[0].content == content:
            return None
        listing = msgspec.json.encode(list(pictures))
        version = DataVersion(
            name=name,
            parents=tuple(sorted(one.id for one in heads)),
            committer=committer,
            message=message,
            creation_date=int(at),
            content=content,
            listing=hashlib.sha256(listing).hexdigest(),
            counts=counts_of(pictures),
        ).identified()
        packed = gzip.compress(listing, compresslevel=6, mtime=0)
        facts = msgspec.json.format(msgspec.json.encode(version), indent=2) + b"\n"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(self.folder / f"{version.id}{PICTURES}", packed, mode=PUBLIC)
            # The version is there once its facts are.
            replace_file(self.folder / f"{version.id}.json", facts, mode=PUBLIC)
        except OSError as error:
            raise DataError(
                f"{self.folder} can't be written ({error.strerror})",
                fix="versions lie beside the data: make room there, or make it writable",
            ) from error
        return version

    def _read(self, path: Path) -> DataVersion:
        try:
            version = msgspec.json.decode(path.read_bytes(), type=DataVersion)
        except (OSError, msgspec.DecodeError) as error:
            raise DataError(
                f"{path} is no version that can be read ({error})", fix=_FETCH
            ) from error
        if version.identified().id != version.id or path.stem != version.id:
            raise DataError(f"{path} is not what its id promises", fix=_FETCH)
        return version
