"""What is known of a picture that was taken off the line: whose it is and who judged it how."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from shared.contracts import InspectionKey

UNNAMED = "defect"
"""The kind of a defect to which the inspector gave none."""


class SaidLabel(msgspec.Struct, frozen=True):
    """One label, as an inspector said it."""

    number: int
    verdict: str
    kind: str | None
    inspector: str
    said_at: float
    why: str
    stands: bool
    undone_by: str | None


class CollectedPicture(msgspec.Struct, frozen=True, kw_only=True):
    """One picture and its inspection. Paths are relative to the collection's folder.

    what      full: all of it; region: `window` (left, top, width, height) of `frame` (width,
              height)
    sha256    of the file
    mask      where an inspector drew the defect; empty: nowhere
    labels    everything that was said, newest first
    """

    device: str
    boot: str
    sequence: int
    site: str
    line: str
    part: int
    bundle: str | None = None
    lot: str | None = None
    recipe: str | None = None
    verdict: str | None = None
    decided_by: str | None = None
    line_verdict: str | None = None
    line_decided_by: str | None = None
    control: str | None = None
    score: float | None = None
    tail_score: float | None = None
    at: float
    received_at: float
    image: str
    what: Literal["full", "region"]
    sha256: str
    frame: tuple[int, ...] = ()
    window: tuple[int, ...] = ()
    label_verdict: str = ""
    label_kind: str = ""
    inspector: str = ""
    mask: str = ""
    labels: tuple[SaidLabel, ...] = ()

    @property
    def key(self) -> InspectionKey:
        return InspectionKey(self.device, self.boot, self.sequence)

    @property
    def defect(self) -> str:
        """`good`, or the kind of defect; empty where no inspector has labelled it."""
        if self.label_verdict == "pass":
            return "good"
        return self.label_verdict and (self.label_kind or UNNAMED)

    @property
    def part_name(self) -> str:
        """Parts are counted by device."""
        return f"{self.site}/{self.device}/{self.part}"


def facts_of(view: dict[str, Any]) -> dict[str, Any]:
    """An inspection, as the API shows it, by the names above; without its label and picture."""
    known = {
        field.name
        for field in msgspec.structs.fields(CollectedPicture)
        if field.name not in {"labels", "mask", "image", "what"}
    }
    tail = view.get("tail") or {}
    return {
        **{name: value for name, value in view.items() if name in known},
        "tail_score": tail.get("score"),
    }


def label_of(view: dict[str, Any]) -> dict[str, str]:
    """The label that stands, by the names above."""
    label = view.get("review") or {}
    return {
        "label_verdict": label.get("verdict") or "",
        "label_kind": label.get("kind") or "",
        "inspector": label.get("inspector") or "",
    }
