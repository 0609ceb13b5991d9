"""Drift as a condition for alerts."""

from __future__ import annotations

from cloud.alerts.conditions import AlertCondition
from cloud.alerts.keeper import Watch
from cloud.drift.store import DriftStore, StreamView
from cloud.drift.stream import Shift
from shared.clock import Clock
from shared.sketch import Quantity

RECENT_S = 3600.0
"""What came before says nothing of the line as it is: it stands still."""
FIXES: dict[Quantity, str] = {
    "brightness": "Look at the lamp, the exposure and the lens of the camera.",
    "sharpness": "Look at the focus and the lens of the camera, and whether it hangs fast.",
    "noise": "Look at the lamp and the camera's gain: a dark picture is a noisy one.",
    "score": "Look at the parts: is it another lot or supplier? Label some, and certify anew.",
    "novelty": "Look at the parts: the network has seen few like them. Label some, train anew.",
}


def of_drift(store: DriftStore, clock: Clock) -> Watch:
    """The shifts of every stream that still comes; each one's measure is its stability index."""

    def look() -> list[AlertCondition]:
        now = clock.utc()
        return [
            _condition(view, quantity, shift)
            for view in store.streams(now)
            if now - view.last_at < RECENT_S
            for quantity, shift in view.stream.shifts.items()
            if shift.drifted
        ]

    return Watch(frozenset({"drift"}), look)


def _condition(view: StreamView, quantity: Quantity, shift: Shift) -> AlertCondition:
    key = view.key
    of = f" of {key.recipe}" if key.recipe else ""
    return AlertCondition(
        "drift",
        f"The {quantity}{of} is not what it was: {shift.now:.3g} now, {shift.before:.3g} at the "
        f"beginning, by the last {shift.parts} parts (gap {shift.gap:.2f}, by chance at most "
        f"{shift.allowed:.2f}; PSI {shift.psi:.2f}).",
        FIXES[quantity],
        site=key.site,
        line=key.line,
        device=key.device,
        about=f"{quantity} {key.recipe}".strip(),
        since=shift.since,
        measure=shift.psi,
    )
