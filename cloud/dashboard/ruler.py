"""A score beside the marks of the gate that judged it."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.records.views import InspectionView
from shared.certification.promises import GateSpec

LEFT, RIGHT = 2.0, 98.0


@dataclass(frozen=True, slots=True)
class RulerZone:
    """What happens to scores of a stretch: `pass`, `escalate`, `review` or `reject`; per cent."""

    what: str
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class ScoreRuler:
    """One half's ruler, 0 to 1 from left to right.

    marks   name and value of each threshold
    place   of the score, per cent; None where it is not a number
    """

    title: str
    score: float | None
    place: float | None
    marks: tuple[tuple[str, float], ...]
    zones: tuple[RulerZone, ...]


def rulers(view: InspectionView, gate: GateSpec | None) -> list[ScoreRuler]:
    """The head's, and of what went to the cloud that of both halves together; none where the
    bundle's marks are not known here."""
    if gate is None:
        return []
    between = "escalate" if gate.escalates else "review"
    head = (("pass below", gate.pass_below), ("reject from", gate.reject_from))
    found = [_ruler("Head", view.score, head, ("pass", between, "reject"))]
    if view.tail is not None:
        cloud = [("reject from", gate.cloud_reject_from)]
        names = ["pass", "reject"]
        if gate.cloud_pass_below is not None:
            cloud.insert(0, ("pass below", gate.cloud_pass_below))
            names.insert(1, "review")
        found.append(_ruler("Head and tail together", view.tail.score, tuple(cloud), tuple(names)))
    return found


def _ruler(
    title: str,
    score: float | None,
    marks: tuple[tuple[str, float], ...],
    names: tuple[str, ...],
) -> ScoreRuler:
    ends = [0.0, *(value for _, value in marks), 1.0]
    zones = tuple(
        RulerZone(name, _place(low), round(_place(high) - _place(low), 2))
        for name, low, high in zip(names, ends, ends[1:], strict=False)
        if high > low
    )
    place = None if score is None else _place(score)
    return ScoreRuler(title, score, place, marks, zones)


def _place(value: float) -> float:
    return round(LEFT + (RIGHT - LEFT) * min(max(value, 0.0), 1.0), 2)
