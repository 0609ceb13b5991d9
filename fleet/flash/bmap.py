"""The used blocks of an image and their hashes, as bmaptool writes them."""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fleet.flash.tools import run_tool
from shared.errors import ImageError

CREATE_TIMEOUT_S = 600.0
PIECE = 4 << 20


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes of the image that mean something, and their sha256."""

    start: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Bmap:
    """size: of the image; what lies between the ranges may hold anything."""

    size: int
    ranges: tuple[Range, ...]

    @property
    def used(self) -> int:
        return sum(part.size for part in self.ranges)


def create_bmap(image: Path, path: Path) -> None:
    run_tool(["bmaptool", "create", image, "-o", path], timeout_s=CREATE_TIMEOUT_S)


def read_bmap(path: Path, wanted_sha256: str) -> Bmap:
    """Raises ImageError where it is missing, or not the one that was signed."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ImageError(
            f"{path} can't be read ({error.strerror})", fix="copy it along with the image"
        ) from error
    if hashlib.sha256(raw).hexdigest() != wanted_sha256:
        raise ImageError(f"{path.name} is not the one that was signed", fix="copy it again")
    return parse_bmap(raw)


def parse_bmap(raw: bytes) -> Bmap:
    """Of a file that is already trusted."""
    root = ET.fromstring(raw)  # noqa: S314 - its hash was signed
    block, size = int(_text(root, "BlockSize")), int(_text(root, "ImageSize"))
    return Bmap(size, tuple(_range(element, block, size) for element in root.iter("Range")))


def pieces(image: Path, part: Range) -> Iterator[tuple[int, bytes]]:
    """A range in pieces: offset and content.

    Raises ImageError at its end where the content is not what the bmap promises.
    """
    digest = hashlib.sha256()
    with image.open("rb") as stream:
        stream.seek(part.start)
        for offset in range(part.start, part.start + part.size, PIECE):
            wanted = min(PIECE, part.start + part.size - offset)
            data = stream.read(wanted)
            if len(data) != wanted:
                raise ImageError(f"{image.name} ends at byte {offset + len(data)}", fix=_AGAIN)
            digest.update(data)
            yield offset, data
    if digest.hexdigest() != part.sha256:
        raise ImageError(f"{image.name} is damaged at byte {part.start}", fix=_AGAIN)


def _range(element: ET.Element, block: int, size: int) -> Range:
    first, _, last = (element.text or "").strip().partition("-")
    start = int(first) * block
    end = min((int(last or first) + 1) * block, size)
    return Range(start, end - start, element.attrib["chksum"])


def _text(root: ET.Element, name: str) -> str:
    found = root.findtext(name)
    if found is None:
        raise ImageError(f"a bmap without {name}", fix=_AGAIN)
    return found.strip()


_AGAIN = "copy it again from where it was built"
