"""The repository's files: what is served, and what waits for signatures.

    repository/metadata/   served: 1.root.json … 7.models.json, 12.snapshot.json, timestamp.json
    repository/targets/    served: payloads, under names that hold their sha256
    releases/staged/       not served: the next version of a role until enough keys have signed
    releases/keys/         the keys that stay online

Each file appears whole and flushed, or not at all.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp

from fleet.releases.roles import ROLES, ROOT, SNAPSHOT, TIMESTAMP
from shared.errors import ReleaseError
from shared.storage.files import PUBLIC, replace_file, replacing, sync_folder

S = TypeVar("S", Root, Targets, Snapshot, Timestamp)
_VERSIONED = re.compile(r"(\d+)\.([a-z]+)\.json")
# A release with its patches takes seconds. Unsigned lists expire, so it must not wait for ever.
CHANGE_S = 120.0
LOOK_S = 0.05
KEPT_VERSIONS = 10
"""Of a role but root: devices in the middle of a refresh still ask for the last one."""


class ReleaseStore:
    """A fleet's folder, as far as releases go."""

    def __init__(self, folder: Path) -> None:
        self.metadata = folder / "repository" / "metadata"
        self.targets = folder / "repository" / "targets"
        self.staged = folder / "releases" / "staged"
        self.keys = folder / "releases" / "keys"
        self._lock = folder / "releases" / "lock"

    @property
    def exists(self) -> bool:
        return (self.metadata / "timestamp.json").exists()

    def make(self) -> None:
        """Raises ReleaseError where there are releases already, or it can't be written."""
        if self.exists:
            raise ReleaseError(
                f"{self.metadata} holds releases already", fix="give another --folder"
            )
        try:
            for folder in (self.metadata, self.targets, self.staged):
                folder.mkdir(parents=True, exist_ok=True)
            self.keys.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ReleaseError(
                f"{self.metadata} can't be made ({error})", fix="check the folder"
            ) from error

    def require(self) -> None:
        """Raises ReleaseError where there are no releases."""
        if not self.exists:
            raise _missing(self.metadata)

    @contextmanager
    def changing(self, wait_s: float = CHANGE_S) -> Iterator[None]:
        """One writer at a time: a command, or the cloud that signs again.

        Raises ReleaseError where another one does not end within `wait_s`.
        """
        if not self._lock.parent.is_dir():
            raise _missing(self.metadata)
        with self._lock.open("ab") as stream:
            give_up, pause = time.monotonic() + wait_s, threading.Event()
            while not _locked(stream):
                if time.monotonic() > give_up:
                    raise ReleaseError(
                        f"another program has been changing {self.metadata} for {wait_s:.0f} s",
                        fix="see what `splitsight fleet release` does there, and end it",
                    )
                pause.wait(LOOK_S)
            yield

    def versions(self, role: str) -> list[int]:
        """Every version that is served, the newest last."""
        found = (_VERSIONED.fullmatch(path.name) for path in self.metadata.glob(f"*.{role}.json"))
        return sorted(int(match[1]) for match in found if match)

    def published(self, role: str, kind: type[S]) -> Metadata[S]:
        """What a device gets now, found as it finds it. Raises ReleaseError where there is none.

        A publication that was cut off leaves files that nothing refers to; they don't count.
        """
        if role == ROOT:
            return read(self._numbered(role, max(self.versions(role), default=1)), kind)
        self.require()
        if role == TIMESTAMP:
            return read(self.metadata / "timestamp.json", kind)
        if role == SNAPSHOT:
            meta = self.published(TIMESTAMP, Timestamp).signed.snapshot_meta
        else:
            meta = self.published(SNAPSHOT, Snapshot).signed.meta[f"{role}.json"]
        return read(self._numbered(role, meta.version), kind)

    def waiting(self, role: str, kind: type[S]) -> Metadata[S] | None:
        """The version that waits for signatures, where there is one."""
        path = self.staged / f"{role}.json"
        return read(path, kind) if path.exists() else None

    def stage(self, role: str, metadata: Metadata[S]) -> None:
        write(self.staged / f"{role}.json", metadata.to_bytes())

    def unstage(self, role: str) -> None:
        (self.staged / f"{role}.json").unlink(missing_ok=True)
        sync_folder(self.staged)

    def serve(self, role: str, metadata: Metadata[S]) -> None:
        version = metadata.signed.version
        stamp = self.metadata / "timestamp.json"
        write(stamp if role == TIMESTAMP else self._numbered(role, version), metadata.to_bytes())

    def sweep(self) -> None:
        """Remove versions of metadata that no device can want any more."""
        for role in ROLES:
            if role not in {ROOT, TIMESTAMP}:
                for version in self.versions(role)[:-KEPT_VERSIONS]:
                    self._numbered(role, version).unlink(missing_ok=True)

    def payload(self, target: TargetFile) -> Path:
        return self.targets / target.get_prefixed_paths()[0]

    def keep(self, path: str, source: Path) -> TargetFile:
        """Copy a payload to where it is served. Nothing refers to it until it is published."""
        try:
            target = TargetFile.from_file(path, str(source))
            place = self.payload(target)
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                with replacing(place) as partial:
                    shutil.copyfile(source, partial)
        except OSError as error:
            raise ReleaseError(
                f"{source} can't be copied ({error})", fix="check the file, and the free space"
            ) from error
        return target

    def intact(self, target: TargetFile) -> bool:
        """Whether a payload is there as it was signed."""
        place = self.payload(target)
        if not place.exists() or place.stat().st_size != target.length:
            return False
        with place.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        return found == target.hashes.get("sha256")

    def stamp(self) -> int:
        """Changes with each publication; 0 where nothing was ever published."""
        if not self.exists:
            return 0
        return self.published(TIMESTAMP, Timestamp).signed.snapshot_meta.version

    def _numbered(self, role: str, version: int) -> Path:
        return self.metadata / f"{version}.{role}.json"


def read(path: Path, kind: type[S]) -> Metadata[S]:
    """Raises ReleaseError where it can't be read, or is another role's."""
    try:
        metadata: Metadata[S] = Metadata.from_file(str(path))
    except (RepositoryError, OSError) as error:
        raise ReleaseError(f"{path} can't be read ({error})", fix="restore it") from error
    if metadata.signed.type != kind.type:
        raise ReleaseError(f"{path} holds {metadata.signed.type}", fix=f"it must hold {kind.type}")
    return metadata


def write(path: Path, raw: bytes) -> None:
    """As `replace_file`. Raises ReleaseError."""
    try:
        replace_file(path, raw, mode=PUBLIC)
    except OSError as error:
        raise ReleaseError(f"{path} can't be written ({error})", fix="check the disk") from error


def _missing(folder: Path) -> ReleaseError:
    return ReleaseError(
        f"{folder} holds no releases", fix="start with `splitsight fleet release init`"
    )


def _locked(stream: IO[bytes]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
