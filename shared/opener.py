"""Opens what comes from outside: limits before anything is unpacked, names that stay inside.

Everything raises `Unopenable`, a ValueError, whose text says what was found; callers say what to
do. Nothing here takes more memory than `most` and what is known of the format's own index.
"""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import zipfile
from math import prod
from pathlib import Path

import yaml

MOST_MEMBERS = 4096
# A zip's index: 46 B and a name for each member.
MOST_INDEX = 1 << 20
MOST_TEXT = 1 << 20
MOST_NODES = 100_000
DEEPEST = 64
MOST_PIXELS = 1 << 28
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}")
_END = b"PK\x05\x06"
_END_SIZE, _LONGEST_COMMENT = 22, 65_535
# JPEG's markers: fill bytes and those without a length, frames' headers, the start of the scan.
_STANDALONE = frozenset({0xFF, 0x01, *range(0xD0, 0xD8)})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN = 0xDA
_PACKED = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


class Unopenable(ValueError):
    """What came is damaged, or claims more than is taken."""


class TooLarge(Unopenable):
    """It has or claims more bytes than are taken."""


def require_plain(name: str) -> str:
    """A file's name that can't lead anywhere: no folder, no dots in front."""
    if not PLAIN_NAME.fullmatch(name):
        raise Unopenable(f"{name[:80]!r} is not a plain file name")
    return name


def read_file(folder: Path, name: str, most: int) -> bytes:
    """A regular file that lies in `folder` itself. Raises OSError where it is not there.

    most   bytes; a link is refused, wherever it leads
    """
    try:
        handle = os.open(folder / require_plain(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if (folder / name).is_symlink():
            raise Unopenable(f"{name} is a link, and links are not followed") from error
        raise
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise Unopenable(f"{name} is not a file")
    with os.fdopen(handle, "rb") as stream:
        if found.st_size > most:
            raise TooLarge(f"{name} has {found.st_size} B, at most {most} are taken")
        content = stream.read(most + 1)
    if len(content) > most:
        raise TooLarge(f"{name} grows while it is read")
    return content


def open_zip(source: Path | io.BytesIO, most: int) -> zipfile.ZipFile:
    """An archive whose index is small and whose members together claim at most `most` bytes.

    Members may lie in folders inside; extract none by its own name. Raises OSError too.
    """
    _require_small_index(source)
    try:
        archive = zipfile.ZipFile(source)
    except (zipfile.BadZipFile, struct.error, NotImplementedError, UnicodeError) as error:
        raise Unopenable(f"it is no zip archive ({error})") from error
    try:
        _require_members(archive, most)
    except Unopenable:
        archive.close()
        raise
    return archive


def read_member(archive: zipfile.ZipFile, name: str, most: int | None = None) -> bytes:
    """One member of an archive that `open_zip` opened, of at most so many bytes."""
    if name not in archive.NameToInfo:
        raise Unopenable(f"it holds no {name}")
    claimed = archive.getinfo(name).file_size
    if most is not None and claimed > most:
        raise TooLarge(f"{name} unpacks to {claimed} B, at most {most} are taken")
    try:
        # `archive.read` would unpack all that is there before it looks at what was claimed.
        with archive.open(name) as stream:
            content = stream.read(claimed + 1)
    except Exception as error:
        # zipfile and zlib answer damage with a dozen kinds of exception.
        raise Unopenable(f"{name} is damaged ({error})") from error
    if len(content) != claimed:
        raise Unopenable(f"{name} claims {claimed} B and has {len(content)}")
    return content


def require_picture(raw: bytes, most: int = MOST_PIXELS) -> None:
    """Refuses a PNG or JPEG whose header claims more pixels than `most`, before it is decoded.

    Of other formats OpenCV's own limit holds, 2³⁰ pixels.
    """
    size = _png_size(raw) or _jpeg_size(raw)
    if size is not None and prod(size) > most:
        raise TooLarge(f"it claims {size[0]} x {size[1]} pixels, at most {most} are taken")


def read_yaml(text: str) -> tuple[yaml.Node | None, object]:
    """A YAML document as nodes and as plain values; (None, None) where it is empty.

    Raises yaml.YAMLError for what is no YAML, and Unopenable for what unfolds to more than
    `MOST_NODES` values, is deeper than `DEEPEST`, or holds itself.
    """
    if len(text) > MOST_TEXT:
        raise Unopenable(f"it has {len(text)} characters, at most {MOST_TEXT} are taken")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            return None, None
        if _unfolded(node, {}, 0) > MOST_NODES:
            raise Unopenable(f"it unfolds to more than {MOST_NODES} values")
        return node, yaml.safe_load(text)
    except RecursionError as error:
        raise Unopenable(f"it is nested deeper than {DEEPEST} levels") from error


def _png_size(raw: bytes) -> tuple[int, int] | None:
    if not raw.startswith(b"\x89PNG\r\n\x1a\n") or len(raw) < 24:
        return None
    width, height = struct.unpack_from(">II", raw, 16)
    return width, height


def _jpeg_size(raw: bytes) -> tuple[int, int] | None:
    """The largest that any of its frames claims."""
    if not raw.startswith(b"\xff\xd8"):
        return None
    place, largest = 2, None
    while place + 9 <= len(raw) and raw[place] == 0xFF:
        kind = raw[place + 1]
        if kind in _STANDALONE:
            place += 1 if kind == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", raw, place + 2)
        if kind in _FRAMES:
            height, width = struct.unpack_from(">HH", raw, place + 5)
            largest = max(largest or (0, 0), (width, height), key=prod)
        if kind == _SCAN or length < 2:
            break
        place += 2 + length
    return largest


def _unfolded(node: yaml.Node, known: dict[int, int], depth: int) -> int:
    """How many values a node stands for once its aliases are written out."""
    if depth > DEEPEST:
        raise Unopenable(f"it is nested deeper than {DEEPEST} levels, or holds itself")
    if id(node) in known:
        return known[id(node)]
    count = 1
    if isinstance(node, yaml.SequenceNode):
        count += sum(_unfolded(one, known, depth + 1) for one in node.value)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            count += _unfolded(key, known, depth + 1) + _unfolded(value, known, depth + 1)
    known[id(node)] = count
    return count


def _require_small_index(source: Path | io.BytesIO) -> None:
    """Before zipfile reads it: an index of a gigabyte makes ten of objects."""
    with source.open("rb") if isinstance(source, Path) else io.BytesIO(source.getbuffer()) as raw:
        size = raw.seek(0, os.SEEK_END)
        raw.seek(max(0, size - _END_SIZE - _LONGEST_COMMENT))
        end = raw.read()
    place = end.rfind(_END)
    if place < 0 or len(end) - place < _END_SIZE:
        raise Unopenable("it is no zip archive (its end is missing)")
    members, index = struct.unpack_from("<HI", end, place + 10)
    if members > MOST_MEMBERS or index > MOST_INDEX:
        raise Unopenable(f"it lists {members} files, at most {MOST_MEMBERS} are taken")


def _require_members(archive: zipfile.ZipFile, most: int) -> None:
    infos = archive.infolist()
    if len(infos) > MOST_MEMBERS:
        raise Unopenable(f"it lists {len(infos)} files, at most {MOST_MEMBERS} are taken")
    if len({info.filename for info in infos}) < len(infos):
        raise Unopenable("it lists one file twice")
    claimed = sum(info.file_size for info in infos)
    if claimed > most:
        raise Unopenable(f"it unpacks to {claimed} B, at most {most} are taken")
    strange = [info.filename for info in infos if info.compress_type not in _PACKED]
    if strange:
        raise Unopenable(f"{strange[0][:80]} is packed in a way that is not taken")
