"""Times in which something has changed, for inspectors to look at parts of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cloud.drift.store import DriftStore, StreamView
from cloud.labels.queue import Window
from shared.clock import Clock

SKETCH_S = 60.0
"""A sketch holds parts of so many seconds at most before it came."""


def drifted_windows(store: DriftStore, clock: Clock) -> Callable[[], Sequence[Window]]:
    """Where streams are not what they were at the beginning, the worst by its stability index
    first. What it gives raises RecordsError."""

    def windows() -> Sequence[Window]:
        drifted = [view for view in store.drifted(clock.utc()) if _worst(view) > 0]
        return [_window(view) for view in sorted(drifted, key=_worst, reverse=True)]

    return windows


def _worst(view: StreamView) -> float:
    found = (one.psi for one in view.stream.shifts.values() if one.drifted)
    return max(found, default=0.0)


def _window(view: StreamView) -> Window:
    began = (one.since for one in view.stream.shifts.values() if one.drifted)
    since = min((at for at in began if at is not None), default=view.last_at)
    key = view.key
    # A part may be reported before the sketch that it is in comes, and after it.
    span = (since - SKETCH_S, view.last_at + SKETCH_S)
    return Window(key.site, key.line, *span, key.device, key.recipe, key.bundle)
