"""Files of labels as XML: whole elements one after the other, each with its line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

from defusedxml.common import DefusedXmlException
from defusedxml.expatreader import create_parser

from cloud.datasets.label_fault import LabelFault
from cloud.datasets.readers.tools.documents import CHUNK, ends_of
from shared.opener import DEEPEST

_ROOT = re.compile(rb"<([A-Za-z_][\w.-]*)[\s/>]")


def root_of(path: Path) -> str:
    """The name of an XML file's root, empty where there is none."""
    found = _ROOT.search(ends_of(path)[:CHUNK])
    return found[1].decode() if found else ""


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
    # Only a parser that opens the file itself would say so.
    whole.setDocumentLocator(parser)
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK):
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


def number_of(text: str, name: str) -> float:
    """A finite number that XML holds as text. Raises LabelFault for what is none."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise LabelFault(f"{name} is {text[:40]!r}")
    return number


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
        # What is longer is no number and no name.
        if self._open and len(self._open[-1].text) < CHUNK:
            self._open[-1].text += content

    def endElement(self, name: str) -> None:  # noqa: ARG002, N802
        self._depth -= 1
        if self._open:
            closed = self._open.pop()
            if not self._open:
                self._done.append(closed)
