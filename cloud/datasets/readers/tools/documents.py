"""Files of labels as JSON, XML and lines, with limits; what is wrong has a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

import msgspec
from defusedxml.common import DefusedXmlException
from defusedxml.expatreader import create_parser

from cloud.datasets.file_tree import FileTree
from cloud.datasets.label_fault import LabelFault
from shared.opener import DEEPEST

MOST_BYTES = 1 << 29
_CHUNK = 1 << 16
_KEY = re.compile(rb'"([A-Za-z_]\w{0,40})"\s*:')
_ROOT = re.compile(rb"<([A-Za-z_][\w.-]*)[\s/>]")
Document = TypeVar("Document")


def keys_of(path: Path) -> frozenset[str]:
    """Names that stand near a JSON file's begin or end, in whatever depth, and `[` for a list.

    Also of a file that is cut off, so that its reader says so. None where it can't be read.
    """
    ends = _ends(path)
    keys = frozenset(key.decode() for key in _KEY.findall(ends))
    return keys | {"["} if ends.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").startswith(b"[") else keys


def files_of(tree: FileTree, *suffixes: str) -> list[Path]:
    """Those with such names, in lower case; the one alone that was asked for by its path."""
    files = tree.files if tree.labels is None else (tree.labels,)
    return [path for path in files if path.suffix.lower() in suffixes]


def root_of(path: Path) -> str:
    """The name of an XML file's root, empty where there is none."""
    found = _ROOT.search(_ends(path)[:_CHUNK])
    return found[1].decode() if found else ""


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


@dataclass(slots=True)
class Element:
    """One element of an XML file, with the line in which it begins."""

    name: str
    line: int
    attributes: dict[str, str]
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, name: str) -> list[Element]:
        return [child for child in self.children if child.name == name]

    def child(self, *path: str) -> Element | None:
        """The first element at the end of a path of names."""
        found: Element | None = self
        for name in path:
            found = next(iter(found.all(name)), None) if found else None
        return found

    def said(self, *path: str) -> str:
        """The text of the first element at the end of a path, empty where there is none."""
        found = self.child(*path)
        return found.text.strip() if found else ""


def elements(path: Path, names: frozenset[str]) -> Iterator[Element]:
    """The outermost elements of these names, one after the other, whole.

    Raises LabelFault for damage, entities of its own, and too much depth.
    """
    parser = create_parser(forbid_dtd=False, forbid_entities=True, forbid_external=True)
    whole = _Whole(names)
    parser.setContentHandler(whole)
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                parser.feed(chunk)
                yield from whole.taken()
        parser.close()
    except SAXParseException as error:
        line = error.getLineNumber() or 0
        raise LabelFault(f"it is no XML ({error.getMessage()})", line) from error
    except DefusedXmlException as error:
        raise LabelFault("it defines entities, which are not taken", whole.line) from error
    except OSError as error:
        raise LabelFault(f"it can't be read ({error.strerror})") from error
    yield from whole.taken()


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


class _Whole(ContentHandler):
    """Keeps what lies inside of the wanted elements, and nothing else."""

    def __init__(self, names: frozenset[str]) -> None:
        super().__init__()
        self._names = names
        self._open: list[Element] = []
        self._done: list[Element] = []
        self._depth = 0
        self._locator: Locator | None = None

    @property
    def line(self) -> int:
        return (self._locator.getLineNumber() or 0) if self._locator else 0

    def taken(self) -> list[Element]:
        done, self._done = self._done, []
        return done

    def setDocumentLocator(self, locator: Locator) -> None:  # noqa: N802 - SAX's own name
        self._locator = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802
        self._depth += 1
        if self._depth > DEEPEST:
            raise LabelFault(f"it is nested deeper than {DEEPEST} levels", self.line)
        if self._open or name in self._names:
            element = Element(name, self.line, dict(attrs.items()))
            if self._open:
                self._open[-1].children.append(element)
            self._open.append(element)

    def characters(self, content: str) -> None:
        if self._open:
            self._open[-1].text += content

    def endElement(self, name: str) -> None:  # noqa: ARG002, N802
        self._depth -= 1
        if self._open:
            closed = self._open.pop()
            if not self._open:
                self._done.append(closed)


def _ends(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            head = stream.read(_CHUNK)
            stream.seek(max(_CHUNK, path.stat().st_size - _CHUNK))
            # Without NULs names in UTF-16 are those in ASCII.
            return (head + b"\n" + stream.read(_CHUNK)).replace(b"\0", b"")
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
