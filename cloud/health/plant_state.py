"""How the whole plant is: its lines, what matters most, and what is to be said first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cloud.health.line_state import CONDITIONS, Condition, LineHealth, Word

WINDOW_MINUTES = 30


@dataclass(frozen=True, slots=True)
class PlantState:
    """All lines at once.

    at          UTC seconds
    word        the worst of all; `well` only where every line is well or off, and one is well
    headline    what matters most, in one sentence
    since       of what the headline says; None: of nothing
    conditions  of everything, what matters most first
    diverted    parts of the last WINDOW_MINUTES that the deadline diverted, since nobody answered
    """

    at: float
    word: Word
    headline: str
    since: float | None
    lines: tuple[LineHealth, ...]
    conditions: tuple[Condition, ...]
    diverted: int = 0


def plant_state(
    at: float, lines: Sequence[LineHealth], more: Iterable[Condition] = (), diverted: int = 0
) -> PlantState:
    """more: conditions that are of no line, such as the cloud's own"""
    found = [*more, *(one for line in lines for one in line.conditions)]
    found.sort(key=lambda one: (one.severity != "bad", CONDITIONS.index(one.name)))
    word = _word(lines, found)
    first = found[0] if found else None
    since = first.since if first else _off_since(lines) if word == "off" else None
    headline = _headline(word, found, lines)
    if diverted and not any(one.name == "deadline_share" for one in found[:1]):
        parts = "part was" if diverted == 1 else "parts were"
        headline += f"; {diverted:,} {parts} diverted by a deadline in {WINDOW_MINUTES} minutes"
    return PlantState(at, word, headline, since, tuple(lines), tuple(found), diverted)


def _word(lines: Sequence[LineHealth], conditions: Sequence[Condition]) -> Word:
    if conditions:
        return conditions[0].severity
    words = {line.word for line in lines}
    if not words or words == {"empty"}:
        return "empty"
    if words <= {"off", "empty"}:
        return "off"
    return "well" if words <= {"well", "off"} else "starting"


def _headline(word: Word, found: Sequence[Condition], lines: Sequence[LineHealth]) -> str:
    if found:
        first = found[0]
        says = f"{first.place}: {first.says}" if first.place else first.says
        # Several boxes of a line that went together are one thing to a reader.
        others = len({one.key for one in found}) - 1
        return says + (f"; and {others} more" if others else "")
    if word == "empty":
        return "No parts yet" if lines else "Waiting for the first device"
    if word == "off":
        return "All lines are off"
    if word == "starting":
        begun = [line for line in lines if line.word in {"starting", "empty"}]
        names = ", ".join(line.line for line in begun[:3])
        return f"Running; too little has come to judge {names}"
    return "All well"


def _off_since(lines: Sequence[LineHealth]) -> float | None:
    return max((line.since for line in lines if line.since is not None), default=None)
