"""What to tell somebody whose parts are too few for the promise that was asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shared.certification.certificate import (
    PromiseLimits,
    most_allowed,
    paid_at_edge,
    parts_needed,
    upper_bound,
)
from shared.certification.promises import percent
from shared.certification.thresholds import SystemLimits
from shared.errors import TooFewParts

OPTIONS = ("--escape", "--false-reject")


@dataclass(frozen=True, slots=True)
class Shortage:
    """Parts of one kind, too few to show that at most a share `limit` of it errs.

    happen, happens  what erring is called: of many, of one
    option           of the command, by which a higher limit is asked for
    erring           how many of these parts do, by the gate as it is
    where            it is promised of: ` at the edge`, or nothing for all of the system
    """

    kind: str
    happen: str
    happens: str
    option: str
    limit: float
    delta: float
    parts: int
    erring: int
    where: str = " at the edge"

    @property
    def message(self) -> str:
        none, one, two = (
            f"{needed} ({needed - self.parts} more)"
            for needed in (parts_needed(count, self.limit, self.delta) for count in range(3))
        )
        return (
            f"{self.parts} {self.kind} parts are too few to promise, with "
            f"{percent(1 - self.delta)} confidence, that at most {percent(self.limit)} "
            f"{self.happen}{self.where}\n"
            f"  needed: {none} if none of them {self.happens}, {one} if one does, {two} if two do"
        )

    @property
    def fix(self) -> str:
        least = offered(upper_bound(0, self.parts, self.delta))
        now = offered(upper_bound(self.erring, self.parts, self.delta))
        support = (
            f", or ask for what {self.parts} support: {self.option} {least:g}" if least else ""
        )
        told = f" ({self.erring} {self.happen} by the gate as it is: that supports "
        seen = told + (f"{now:g})" if now else "nothing)")
        return f"photograph more {self.kind} parts" + support + (seen if self.erring else "")


class Erring(NamedTuple):
    """Parts of one kind, and how many of them err by the gate as it is."""

    parts: int
    erring: int


def too_few(
    defective: Erring, good: Erring, limits: PromiseLimits, options: tuple[str, str]
) -> TooFewParts:
    """What is lacking for the edge's promises, and what these parts support instead.

    options   by which higher limits are asked for: of escapes, of overkill
    """
    return _refusal(list(_shortages(defective, good, limits, options)))


def system_too_few(
    defective: Erring, good: Erring, limits: SystemLimits, weights_compared: int
) -> TooFewParts:
    """The same for the promise of edge, cloud and person together."""
    delta = limits.delta / weights_compared
    sides = (
        (("defective", "pass", "passes", OPTIONS[0]), limits.escape, defective),
        (
            ("good", "are rejected without a person", "is", OPTIONS[1]),
            limits.false_reject,
            good,
        ),
    )
    shared = (
        f"; or fix --tail-weight beforehand: these parts chose among {weights_compared}, which "
        "share --delta"
    )
    return _refusal(
        [
            Shortage(*words, limit, delta, *parts, "")
            for words, limit, parts in sides
            if most_allowed(parts.parts, limit, delta) < 0
        ],
        shared if weights_compared > 1 else "",
    )


def _refusal(found: Sequence[Shortage], besides: str = "") -> TooFewParts:
    return TooFewParts(
        "\n".join(shortage.message for shortage in found),
        fix="; ".join(shortage.fix for shortage in found) + besides,
    )


def system_supported(defective: int, limits: PromiseLimits, weights_compared: int) -> float | None:
    """The lowest limit of the system that so many parts support; None where they support none."""
    paid = paid_at_edge(defective, limits)
    return offered(upper_bound(paid, defective, limits.delta / weights_compared))


def offered(limit: float) -> float | None:
    """Rounded up to three digits, so that it can be asked for; None where it says nothing."""
    step = 10.0 ** (math.floor(math.log10(limit)) - 2)
    rounded = float(f"{math.ceil(limit / step) * step:.3g}")
    return rounded if rounded < 1 else None


def _shortages(
    defective: Erring, good: Erring, limits: PromiseLimits, options: tuple[str, str]
) -> Iterator[Shortage]:
    delta = limits.delta
    if most_allowed(defective.parts, limits.escapes, delta) < 0:
        words = ("defective", "pass", "passes", options[0])
        yield Shortage(*words, limits.escapes, delta, *defective)
    if most_allowed(good.parts, limits.overkill, delta) < 0:
        words = ("good", "are rejected", "is rejected", options[1])
        yield Shortage(*words, limits.overkill, delta, *good)
