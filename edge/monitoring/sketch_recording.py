"""What the box sees of its parts lately, summed up so that a cloud may tell when it changes."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from edge.monitoring.picture_measurement import PictureMeasurement, measure
from shared.clock import Clock
from shared.contracts import Finding, Frame
from shared.inspection import storable_text
from shared.sketch import SCALES, Quantity, joined
from shared.wire import Sketch

SHARE = 0.005
"""Of all time that the processor may measure pictures: on a fast line some are left out."""
SAVED_S = 0.01
"""How much of that may be saved up, so that nothing long follows a pause."""
LONGEST_S = 60.0
MOST_WAITING = 256
LONGEST_BUNDLE, LONGEST_RECIPE = 128, 64


@dataclass(slots=True)
class _Window:
    """Parts in a row with one bundle and recipe."""

    bundle: str
    recipe: str
    opened: float
    begun: float
    parts: int = 0
    counts: dict[Quantity, dict[int, int]] = field(default_factory=dict)

    def add(self, quantity: Quantity, value: float) -> None:
        at = SCALES[quantity].bin(value)
        if at is not None:
            bins = self.counts.setdefault(quantity, {})
            bins[at] = bins.get(at, 0) + 1


class SketchBook:
    """Watches what the live model sees; an `edge.inspection.model.Observes`.

    A sketch is of so many parts, of more where they come faster than `seconds` allow, and of fewer
    where bundle or recipe change, or after LONGEST_S. While the link is down MOST_WAITING wait, and
    older ones are put together two by two. They are not on disk: a restart begins anew. Safe to
    share between threads.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        boot: str,
        bundle: str,
        recipe: str = "",
        parts: int = 10,
        seconds: float = 2.0,
        measured: Callable[[Any], PictureMeasurement] = measure,
        worked: Callable[[], float] = time.thread_time,
    ) -> None:
        """
        bundle   that judges now
        recipe   of parts of which the camera says nothing else
        worked   seconds of processor that the calling thread has had: on a box that is busy with
                 other things a measurement takes long and costs as little as ever
        """
        self._clock = clock
        self._boot = boot
        self._bundle = bundle
        self._recipe = recipe
        self._parts = parts
        self._seconds = seconds
        self._measure = measured
        self._worked = worked
        self._lock = threading.Lock()
        self._window: _Window | None = None
        self._waiting: deque[Sketch] = deque()
        self._said: tuple[object, str, str, str] = ("", "", "", "")
        self._number = 0
        self._saved_s, self._saved_at = SAVED_S, clock.monotonic()

    def changed(self, bundle: str) -> None:
        """Another model judges from the next part on."""
        self._bundle = bundle

    def saw(self, frame: Frame, finding: Finding, seconds: float) -> None:
        del seconds
        now = self._clock.monotonic()
        seen = self._picture(frame, now)
        said = frame.fields.get("recipe", self._recipe)
        if (said, self._bundle) != self._said[:2]:
            # Texts are looked at where they change: this is asked for every part.
            recipe = storable_text(str(said), LONGEST_RECIPE)
            bundle = storable_text(self._bundle, LONGEST_BUNDLE)
            self._said = (said, self._bundle, recipe, bundle)
        with self._lock:
            window = self._opened(*self._said[2:], now)
            window.parts += 1
            window.add("score", finding.score)
            if finding.novelty > 0:
                window.add("novelty", finding.novelty)
            if seen is not None:
                window.add("brightness", seen.brightness)
                window.add("sharpness", seen.sharpness)
                window.add("noise", seen.noise)
            if window.parts >= self._parts and now - window.opened >= self._seconds:
                self._close()

    def failed(self) -> None:
        """Nothing is known of a part that could not be judged."""

    def waiting(self) -> Sketch | None:
        """The oldest one that is not sent yet."""
        with self._lock:
            window = self._window
            if window and self._clock.monotonic() - window.opened >= LONGEST_S:
                self._close()
            return self._waiting[0] if self._waiting else None

    def sent(self, sketch: Sketch) -> None:
        """The broker has it."""
        with self._lock:
            if self._waiting and self._waiting[0] is sketch:
                self._waiting.popleft()

    def _picture(self, frame: Frame, begun: float) -> PictureMeasurement | None:
        """None where there is no time for it."""
        saved_s = self._saved_s + (begun - self._saved_at) * SHARE
        self._saved_s, self._saved_at = min(saved_s, SAVED_S), begun
        if self._saved_s <= 0:
            return None
        before = self._worked()
        seen = self._measure(frame.pixels)
        self._saved_s -= self._worked() - before
        return seen

    def _opened(self, recipe: str, bundle: str, now: float) -> _Window:
        window = self._window
        if window is not None and (window.bundle, window.recipe) != (bundle, recipe):
            self._close()
            window = None
        if window is None:
            window = self._window = _Window(bundle, recipe, now, self._clock.utc())
        return window

    def _close(self) -> None:
        window, self._window = self._window, None
        if window is None:
            return
        self._number += 1
        self._waiting.append(
            Sketch(
                self._boot,
                self._number,
                window.bundle,
                window.recipe,
                window.begun,
                self._clock.utc(),
                window.parts,
                {str(name): bins for name, bins in window.counts.items()},
            )
        )
        if len(self._waiting) > MOST_WAITING:
            self._waiting = deque(_coarser(list(self._waiting)))


def _coarser(sketches: list[Sketch]) -> list[Sketch]:
    """The older half, put together two by two where they are of one bundle and recipe; where none
    are, without the oldest."""
    half = len(sketches) // 2
    kept: list[tuple[Sketch, bool]] = []
    for sketch in sketches[:half]:
        before = kept[-1] if kept and not kept[-1][1] else None
        if before is not None and _alike(before[0], sketch):
            kept[-1] = (_joined(before[0], sketch), True)
        else:
            kept.append((sketch, False))
    found = [sketch for sketch, _ in kept]
    return (found if len(found) < half else found[1:]) + sketches[half:]


def _alike(one: Sketch, other: Sketch) -> bool:
    return (one.bundle, one.recipe) == (other.bundle, other.recipe)


def _joined(earlier: Sketch, later: Sketch) -> Sketch:
    return msgspec.structs.replace(
        later,
        begun=earlier.begun,
        parts=earlier.parts + later.parts,
        counts=joined(earlier.counts, later.counts),
    )
