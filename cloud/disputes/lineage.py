"""From which inspection a picture of a data set came, and what inspectors said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import msgspec

from shared.errors import DataError

LINEAGE = "lineage.jsonl"


class LineOrigin(msgspec.Struct, frozen=True):
    """The inspection whose picture it is."""

    device: str
    boot: str
    sequence: int


class LineOpinion(msgspec.Struct, frozen=True):
    """One label, as an inspector said it; `undone_by` whoever took it back."""

    number: int
    verdict: str
    inspector: str
    undone_by: str | None = None


class _Line(LineOrigin, frozen=True):
    """A picture's line in the file that `splitsight fleet collect` writes."""

    image: str
    site: str
    line: str
    labels: tuple[LineOpinion, ...] = ()


@dataclass(frozen=True, slots=True)
class PartOpinions:
    """What inspectors said last of one part, by inspector, and was not taken back."""

    place: str
    verdicts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LineOrigins:
    """Of all pictures of a set that came off a line."""

    known: Mapping[Path, LineOrigin]
    opinions: tuple[PartOpinions, ...] = field(default=())

    def of(self, image: Path) -> LineOrigin | None:
        return self.known.get(image)

    @classmethod
    def read(cls, source: str) -> Self:
        """Of the set that `--data` names; none where it was not collected from a line.

        Raises DataError with the line that can't be read.
        """
        path = Path(source).resolve()
        lineage = (path if path.is_dir() else path.parent) / LINEAGE
        known: dict[Path, LineOrigin] = {}
        opinions: dict[LineOrigin, PartOpinions] = {}
        try:
            raw = lineage.read_bytes() if lineage.is_file() else b""
        except OSError as error:
            raise DataError(f"{lineage} can't be read ({error})", fix="check its rights") from error
        for number, text in enumerate(raw.splitlines(), start=1):
            if not text.strip():
                continue
            try:
                row = msgspec.json.decode(text, type=_Line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise DataError(
                    f"{lineage}:{number}: is no picture's line ({error})",
                    fix="collect the pictures again, or remove this line",
                ) from error
            origin = LineOrigin(row.device, row.boot, row.sequence)
            known[lineage.parent / row.image] = origin
            opinions[origin] = PartOpinions(f"{row.site} / {row.line}", _last(row.labels))
        return cls(known, tuple(opinions.values()))


def _last(labels: tuple[LineOpinion, ...]) -> dict[str, str]:
    """Whoever spoke twice counts with what they said last."""
    ordered = sorted(labels, key=lambda one: one.number)
    return {one.inspector: one.verdict for one in ordered if one.undone_by is None}
