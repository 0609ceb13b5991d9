"""A small record that no power cut can lose: two copies, written in turn and never in place.

A copy is 512 B of text, so that a boot script can read it with `dd` and `sha256sum`:

    splitsight 1
    sequence=12
    live=a
    ...
    sha256=<of every byte before this line>

padded with newlines. The valid copy with the highest sequence holds; the next one is written over
the other copy and flushed before anything relies on it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shared.errors import UpdateError
from shared.storage.files import sync_folder

SIZE = 512
_FIRST = "splitsight 1\n"
_FIELD = re.compile(r"[a-z][a-z0-9_]*=[A-Za-z0-9_.:/+-]*")


@dataclass(frozen=True, slots=True)
class Copy:
    """One valid copy.

    place     which of the two it is, 0 or 1
    sequence  counts up with each write, from 1
    """

    place: int
    sequence: int
    fields: Mapping[str, str]


class TwinCopies(Protocol):
    """Where the two copies lie."""

    def read(self, place: int) -> bytes:
        """At most SIZE bytes; empty where nothing was ever written."""

    def write(self, place: int, raw: bytes) -> None:
        """Returns when `raw` would survive a power cut."""


def pack(sequence: int, fields: Mapping[str, str]) -> bytes:
    """One copy, SIZE bytes. Raises UpdateError for fields that it can't hold."""
    lines = [f"{key}={value}" for key, value in fields.items()]
    for line in lines:
        if not _FIELD.fullmatch(line):
            raise UpdateError(f"a record can't hold {line!r}", fix="use plain names")
    body = _FIRST + "".join(f"{line}\n" for line in (f"sequence={sequence}", *lines))
    raw = body.encode() + f"sha256={hashlib.sha256(body.encode()).hexdigest()}\n".encode()
    if len(raw) > SIZE:
        raise UpdateError(f"a record of {len(raw)} B is too long", fix=f"{SIZE} B fit")
    return raw.ljust(SIZE, b"\n")


def unpack(place: int, raw: bytes) -> Copy | None:
    """The copy, or None where it is torn, empty or not ours."""
    body, mark, checksum = raw.rpartition(b"sha256=")
    if not mark or not body.startswith(_FIRST.encode()):
        return None
    if hashlib.sha256(body).hexdigest().encode() != checksum.rstrip(b"\n"):
        return None
    lines = body.decode().splitlines()[1:]
    fields = dict(line.partition("=")[::2] for line in lines)
    return Copy(place, int(fields.pop("sequence")), fields)


class Twin:
    """The record over both copies."""

    def __init__(self, pair: TwinCopies) -> None:
        self._pair = pair

    def read(self) -> Copy | None:
        """What holds; None where neither copy is valid."""
        copies = (unpack(place, self._pair.read(place)) for place in (0, 1))
        return max((c for c in copies if c), key=lambda copy: copy.sequence, default=None)

    def write(self, fields: Mapping[str, str]) -> None:
        """Returns when the new fields hold, whatever happens then."""
        present = self.read()
        place = 1 - present.place if present else 0
        sequence = present.sequence + 1 if present else 1
        self._pair.write(place, pack(sequence, fields))


class FilePair:
    """Two files in one folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._paths = tuple(folder / f"{name}.{place}" for place in (0, 1))

    def read(self, place: int) -> bytes:
        try:
            with self._paths[place].open("rb") as stream:
                return stream.read(SIZE)
        except FileNotFoundError:
            return b""

    def write(self, place: int, raw: bytes) -> None:
        path = self._paths[place]
        fresh = not path.exists()
        # Overwritten where it lies: the other copy holds until this one is whole.
        with path.open("wb" if fresh else "r+b") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        if fresh:
            sync_folder(path.parent)
