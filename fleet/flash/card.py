"""What goes onto one card: an image, checked, with the files of one site in its boot partition."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fleet.flash.bmap import Bmap, Range, pieces, read_bmap
from fleet.flash.gpt import Partition, Table, parse
from fleet.flash.manifest import ImageManifest, bmap_path, read_manifest
from fleet.flash.tools import run_tool
from shared.errors import ImageError
from shared.storage.disks import BOOT_LABEL, RECORD_LABEL

SITE_FOLDER = "splitsight"
COPY = 4 << 20
MTOOLS_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes to write at `start` of the card, found at `at` of a file."""

    start: int
    size: int
    file: Path
    at: int

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the span, from `offset` within it. Raises ImageError where the file is short."""
        with self.file.open("rb") as stream:
            stream.seek(self.at + offset)
            data = stream.read(length)
        if len(data) != length:
            raise ImageError(f"{self.file.name} became shorter", fix="copy it again")
        return data


@dataclass(frozen=True, slots=True)
class Card:
    """What the flasher writes.

    identity  of the image, to tell whether a half-written card has the same one
    table     as the image has it; `size` is the image's
    body      what is the same on every card; boot: what differs by site
    """

    identity: str
    table: Table
    size: int
    body: tuple[Span, ...]
    boot: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """An image whose signature, size and table hold; its content is yet to be checked."""

    path: Path
    manifest: ImageManifest
    bmap: Bmap
    table: Table


def open_image(image: Path, key: Ed25519PublicKey) -> OpenedImage:
    """Raises ImageError."""
    if not image.is_file():
        raise ImageError(f"{image} is not there", fix="check the path")
    manifest = read_manifest(image, key)
    size = image.stat().st_size
    if size != manifest.size:
        raise ImageError(
            f"{image.name} has {size} B, its manifest says {manifest.size} B",
            fix="copy it again from where it was built",
        )
    bmap = read_bmap(bmap_path(image), manifest.bmap)
    with image.open("rb") as stream:
        table = parse(lambda offset, length: os.pread(stream.fileno(), length, offset), size)
    if table is None:
        raise ImageError(f"{image.name} has no partition table", fix="copy it again")
    return OpenedImage(image, manifest, bmap, table)


def check_content(opened: OpenedImage) -> Iterator[int]:
    """Bytes checked so far. Raises ImageError where the image is not what was signed."""
    done = 0
    for part in opened.bmap.ranges:
        for _, data in pieces(opened.path, part):
            done += len(data)
            yield done


def make_card(opened: OpenedImage, site: Mapping[str, bytes], work: Path) -> Card:
    """site: files for the boot partition, by name; work: a folder for the time of writing"""
    image, bmap, table = opened.path, opened.bmap, opened.table
    boot = table.named(BOOT_LABEL)
    body = tuple(
        Span(start, size, image, start)
        for partition in table.partitions
        if partition.label not in {BOOT_LABEL, RECORD_LABEL}
        for start, size in within(bmap.ranges, partition)
    )
    personal = work / "boot.vfat"
    _take_out(image, bmap, boot, personal)
    _put_in(personal, site, work)
    spans = (Span(boot.start + at, size, personal, at) for at, size in data_in(personal))
    return Card(opened.manifest.bmap[:32], table, opened.manifest.size, body, tuple(spans))


def within(ranges: tuple[Range, ...], partition: Partition) -> Iterator[tuple[int, int]]:
    """Start and size of what is used in a partition."""
    for part in ranges:
        start = max(part.start, partition.start)
        end = min(part.start + part.size, partition.end)
        if start < end:
            yield start, end - start


def data_in(path: Path) -> Iterator[tuple[int, int]]:
    """Start and size of what a sparse file holds."""
    size, at = path.stat().st_size, 0
    with path.open("rb") as stream:
        while at < size:
            try:
                start = os.lseek(stream.fileno(), at, os.SEEK_DATA)
            except OSError:
                return
            at = os.lseek(stream.fileno(), start, os.SEEK_HOLE)
            yield start, at - start


def copy_data(source: Path, target: int, offset: int) -> None:
    """What a sparse file holds, to `offset` of an open file; its holes stay holes."""
    with source.open("rb") as stream:
        for start, size in data_in(source):
            for at in range(start, start + size, COPY):
                data = os.pread(stream.fileno(), min(COPY, start + size - at), at)
                os.pwrite(target, data, offset + at)


def _take_out(image: Path, bmap: Bmap, boot: Partition, path: Path) -> None:
    with image.open("rb") as source, path.open("w+b") as stream:
        stream.truncate(boot.size)
        for start, size in within(bmap.ranges, boot):
            for at in range(start, start + size, COPY):
                data = os.pread(source.fileno(), min(COPY, start + size - at), at)
                os.pwrite(stream.fileno(), data, at - boot.start)


def _put_in(boot: Path, site: Mapping[str, bytes], work: Path) -> None:
    folder = work / "site"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    for name, content in site.items():
        path = folder / name
        path.write_bytes(content)
        command = ["mcopy", "-o", "-i", str(boot), str(path), f"::{SITE_FOLDER}/{name}"]
        run_tool(command, timeout_s=MTOOLS_TIMEOUT_S)
