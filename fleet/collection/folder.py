"""The folder of a collection: pictures, a manifest that training reads, and where each is from."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from fleet.collection.lineage import CollectedPicture
from shared.errors import DataError
from shared.opener import Unopenable, require_plain
from shared.storage.files import PUBLIC, replace_file
from shared.storage.lock import ProcessLock

LINEAGE = "lineage.jsonl"
MANIFEST, UNLABELLED, REGIONS = "manifest.csv", "unlabelled.csv", "regions.csv"
LOCK = ".lock"
SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png"}

Column = Callable[[CollectedPicture], object]
_LABELLED: dict[str, Column] = {
    "image": lambda one: one.image,
    "mask": lambda one: one.mask,
    "defect": lambda one: one.defect,
}
_WHERE_FROM: dict[str, Column] = {
    "part": lambda one: one.part_name,
    "domain": lambda one: f"{one.site}/{one.line}",
    "device": lambda one: one.device,
    "boot": lambda one: one.boot,
    "sequence": lambda one: one.sequence,
    "bundle": lambda one: one.bundle,
    "lot": lambda one: one.lot,
    "line": lambda one: one.line,
    # Not `verdict`, which a reader would take for a label.
    "line_verdict": lambda one: one.line_verdict or one.verdict,
    "line_decider": lambda one: one.line_decided_by or one.decided_by,
    "score": lambda one: one.score,
    "labels": lambda one: len(one.labels),
    "inspector": lambda one: one.inspector,
}
# Not `image`: a region is no part that could be learned from.
_REGION: dict[str, Column] = {
    "region": lambda one: one.image,
    "defect": lambda one: one.defect,
    "window": lambda one: " ".join(map(str, one.window)),
    "frame": lambda one: " ".join(map(str, one.frame)),
}


class CollectionFolder:
    """Holds whole files only, however a run ends; the next one goes on with what is there."""

    def __init__(self, root: Path) -> None:
        """Raises DataError for a folder of something else, and while another run fills it."""
        self.root = root
        self._lineage = root / LINEAGE
        self.pictures: dict[tuple[str, str, int], CollectedPicture] = {}
        try:
            strange = root.is_dir() and not self._lineage.exists() and any(root.iterdir())
            if strange:
                raise DataError(
                    f"{root} holds something else: it has no {LINEAGE}",
                    fix="give a new folder, or one that this command has filled before",
                )
            root.mkdir(parents=True, exist_ok=True)
            self._lineage.touch()
            self._lock = ProcessLock(root / LOCK)
            self._load()
        except BlockingIOError as error:
            raise DataError(
                f"another run fills {root} ({(root / LOCK).read_text()})",
                fix="wait for its end, or give another folder",
            ) from error
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        """Let others fill it."""
        self._lock.release()

    def path(self, one: CollectedPicture) -> Path:
        return self.root / one.image

    def place(self, device: str, boot: str, sequence: int, media: str, what: str) -> str:
        """Where a picture lies. Raises DataError for names that lead elsewhere."""
        name = f"{boot}-{sequence}{SUFFIXES[media]}"
        folder = "regions" if what == "region" else "pictures"
        try:
            return f"{folder}/{require_plain(device)}/{require_plain(name)}"
        except Unopenable as error:
            raise DataError(
                f"a part of {device[:80]!r} can't be a file: {error}",
                fix="see what runs on that box",
            ) from error

    def save(self, place: str, content: bytes) -> str:
        """Write a file; its sha256. Raises DataError where it can't be written."""
        path = self.root / place
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, content, mode=PUBLIC)
        except OSError as error:
            raise self._unwritable(error) from error
        return hashlib.sha256(content).hexdigest()

    def add(self, one: CollectedPicture) -> None:
        """Note whose picture it is, on the disk too. Raises DataError."""
        self.pictures[one.key] = one
        try:
            with self._lineage.open("ab") as stream:
                stream.write(msgspec.json.encode(one) + b"\n")
        except OSError as error:
            raise self._unwritable(error) from error

    def change(self, one: CollectedPicture) -> None:
        """What is known now of a picture that is there; `finish` writes it."""
        self.pictures[one.key] = one

    def finish(self) -> None:
        """Write the lists of what is there. Raises DataError."""
        every = sorted(self.pictures.values(), key=lambda one: (one.received_at, *one.key))
        whole = [one for one in every if one.what == "full"]
        labelled = {**_LABELLED, **_WHERE_FROM}
        unlabelled = {"image": _LABELLED["image"], **_WHERE_FROM}
        try:
            lines = b"".join(msgspec.json.encode(one) + b"\n" for one in every)
            replace_file(self._lineage, lines, mode=PUBLIC)
            self._write(MANIFEST, labelled, (one for one in whole if one.defect))
            self._write(UNLABELLED, unlabelled, (one for one in whole if not one.defect))
            regions = (one for one in every if one.what == "region")
            self._write(REGIONS, {**_REGION, **_WHERE_FROM}, regions)
        except OSError as error:
            raise self._unwritable(error) from error

    def _write(
        self, name: str, columns: dict[str, Column], pictures: Iterable[CollectedPicture]
    ) -> None:
        """A list that has no lines is none."""
        stream = io.StringIO(newline="")
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        rows = [[told(one) for told in columns.values()] for one in pictures]
        writer.writerows(rows)
        path = self.root / name
        if rows:
            replace_file(path, stream.getvalue().encode(), mode=PUBLIC)
        else:
            path.unlink(missing_ok=True)

    def _load(self) -> None:
        raw = self._lineage.read_bytes()
        whole, _, torn = raw.rpartition(b"\n")
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                one = msgspec.json.decode(line, type=CollectedPicture)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise DataError(
                    f"{self._lineage}:{number}: is no picture's line ({error})",
                    fix="remove that line: the picture is then asked for again",
                ) from error
            self.pictures[one.key] = one
        self.pictures = {key: one for key, one in self.pictures.items() if self.path(one).is_file()}
        if torn:
            # The run before was ended while it wrote: what comes now begins a line of its own.
            replace_file(self._lineage, whole + b"\n" if whole else b"", mode=PUBLIC)

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(
            f"{error.filename or self.root} can't be written ({error.strerror})",
            fix="make room or give another folder; run it again, it goes on where it stopped",
        )
