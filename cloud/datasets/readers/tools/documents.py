"""Files of labels as JSON and lines, with limits; what is wrong has a line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TypeVar

import msgspec

from cloud.datasets.file_tree import FileTree
from cloud.datasets.label_fault import LabelFault

MOST_BYTES = 1 << 29
CHUNK = 1 << 16
_KEY = re.compile(rb'"([A-Za-z_]\w{0,40})"\s*:')
Document = TypeVar("Document")


def keys_of(path: Path) -> frozenset[str]:
    """Names that stand near a JSON file's begin or end, in whatever depth, and `[` for a list.

    Also of a file that is cut off, so that its reader says so. None where it can't be read.
    """
    ends = ends_of(path)
    keys = frozenset(key.decode() for key in _KEY.findall(ends))
    return keys | {"["} if ends.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").startswith(b"[") else keys


def files_of(tree: FileTree, *suffixes: str) -> list[Path]:
    """Those with such names, in lower case; the one alone that was asked for by its path."""
    files = tree.files if tree.labels is None else (tree.labels,)
    return [path for path in files if path.suffix.lower() in suffixes]


def json_of(path: Path, kind: type[Document]) -> Document:
    """A JSON file as what it should be. Raises LabelFault for what is none."""
    raw = content(path).removeprefix(b"\xef\xbb\xbf")
    try:
        if not raw.isascii():
            # Entries that are decoded later are not looked at here.
            raw.decode()
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise LabelFault(f"it is not as its format says ({error})") from error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _forgiving(raw, kind)
    except RecursionError as error:
        raise LabelFault("it is nested too deeply") from error


def converted(raw: msgspec.Raw, kind: type[Document]) -> Document:
    """One entry of a JSON file. Raises LabelFault for what it should not be."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise LabelFault(str(error)) from error
    except RecursionError as error:
        raise LabelFault("it is nested too deeply") from error


def lines_of(path: Path) -> list[str]:
    """The lines of a text, a byte order mark taken off. Raises LabelFault where it is no UTF-8."""
    try:
        return content(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = content(path)[: error.start].count(b"\n") + 1
        raise LabelFault("it is not UTF-8 text", line) from error


def content(path: Path) -> bytes:
    """The bytes of a file that is not too large. Raises LabelFault."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise LabelFault(f"it has {path.stat().st_size} B, at most {MOST_BYTES} are taken")
        return path.read_bytes()
    except OSError as error:
        raise LabelFault(f"it can't be read ({error.strerror})") from error


def ends_of(path: Path) -> bytes:
    """A file's first and last 64 KiB, without NULs; nothing where it can't be read."""
    try:
        with path.open("rb") as stream:
            head = stream.read(CHUNK)
            stream.seek(max(CHUNK, path.stat().st_size - CHUNK))
            # Without NULs names in UTF-16 are those in ASCII.
            return (head + b"\n" + stream.read(CHUNK)).replace(b"\0", b"")
    except OSError:
        return b""


def _forgiving(raw: bytes, kind: type[Document]) -> Document:
    """As Python's own parser takes it: NaN is a number there, and other encodings are found.

    What is no number becomes null, which the entry's own check names.
    """
    try:
        plain = json.loads(raw)
        return msgspec.json.decode(msgspec.json.encode(plain), type=kind)
    except json.JSONDecodeError as error:
        raise LabelFault(f"it is no JSON ({error.msg})", error.lineno) from error
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise LabelFault("it is not UTF-8 text", line) from error
    except RecursionError as error:
        raise LabelFault("it is nested too deeply") from error
    except msgspec.MsgspecError as error:
        raise LabelFault(f"it is not as its format says ({error})") from error
