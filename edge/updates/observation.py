"""Watches the live model, and lets a candidate look at the same parts beside it."""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

from edge.inspection.inspector import Looks
from edge.updates.base import Opinion
from edge.updates.drift import DriftLimits, Looked, against_candidate, p99, psi
from shared.clock import Clock
from shared.contracts import Finding, Frame
from shared.errors import SplitsightError
from shared.log import get_logger
from shared.worker import Worker

log = get_logger("updates")

KEPT = 500
# The candidate looks at one part while the next one waits; more would only be older.
WAITING = 1
# At the lowest priority of a busy single core the first look may take tens of seconds, on a slow
# one minutes: it gets a sixtieth of what the live model gets, and has more to do at first.
HANGS_S = 120.0
HANGS_LOOKS = 300
"""How many of the live model's looks it may take, where that is longer."""
LOWEST_PRIORITY = 19


class JudgedPart(NamedTuple):
    """A part that the live model has judged."""

    frame: Frame
    live: Looked


@dataclass
class ShadowRun:
    """A candidate that looks at parts and decides none, on a thread of the lowest priority.

    Parts that come while it looks at another one are left out.
    """

    candidate: Looks
    parts: int
    limits: DriftLimits
    clock: Clock

    def __post_init__(self) -> None:
        self._queue: queue.Queue[JudgedPart | None] = queue.Queue(WAITING)
        self._live: list[Looked] = []
        self._found: list[Looked] = []
        self._against = ""
        self._since: float | None = None
        self._limit_s = HANGS_S
        self._worker = Worker(
            "shadow", self._look_at_next, on_death=self._died, unblock=self._look_again
        )

    def offer(self, seen: JudgedPart) -> None:
        """Returns at once."""
        if self._queue.full() or self._worker.stopping.is_set():
            return
        # The camera may use its buffer again.
        kept = replace(seen.frame, pixels=seen.frame.pixels.copy())
        self._queue.put_nowait(JudgedPart(kept, seen.live))

    def look(self, seen: JudgedPart) -> None:
        """One part, on the shadow's thread."""
        self._limit_s = max(HANGS_S, HANGS_LOOKS * seen.live.seconds)
        self._since = begun = self.clock.monotonic()
        try:
            finding = self.candidate.look(seen.frame)
        except SplitsightError as error:
            self._against = f"it fails: {error.message}"
            return
        except Exception as error:
            log.exception("shadow_failed")
            self._against = f"it fails: {type(error).__name__}: {error}"
            return
        finally:
            self._since = None
        self._live.append(seen.live)
        self._found.append(Looked(finding.score, finding.decision, self.clock.monotonic() - begun))

    def opinion(self) -> Opinion:
        since, count = self._since, len(self._found)
        figures = {
            "shadow_parts": float(count),
            "shadow_p99_ms": p99(self._found) * 1000,
            "shadow_live_p99_ms": p99(self._live) * 1000,
        }
        if since is not None and self.clock.monotonic() - since > self._limit_s:
            return Opinion(True, f"it hangs: no answer for {self._limit_s:.0f} s", figures)
        if self._against or count < self.parts:
            return Opinion(bool(self._against), self._against, figures)
        live, found = self._live[:count], self._found[:count]
        figures["shadow_psi"] = psi([one.score for one in live], [one.score for one in found])
        return Opinion(True, against_candidate(live, found, self.limits), figures)

    def start(self) -> None:
        self._worker.start()

    def stop(self) -> None:
        """Does not wait: a candidate may hang."""
        self._worker.stop(0.0)

    def _look_at_next(self) -> float | None:
        if sys.platform == "linux":
            # Linux gives each thread a priority of its own; this thread never becomes live.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
        if self._against or len(self._found) >= self.parts:
            return None
        seen = self._queue.get()
        if seen is not None:
            self.look(seen)
        return 0.0

    def _look_again(self) -> None:
        with suppress(queue.Full):
            self._queue.put_nowait(None)

    def _died(self, _name: str, error: BaseException) -> None:
        self._against = f"it fails: {type(error).__name__}: {error}"


class ModelWatch:
    """What the live model did lately; an `edge.inspection.model.Observes`."""

    def __init__(self) -> None:
        self._looks: deque[Looked] = deque(maxlen=KEPT)
        self._shadow: ShadowRun | None = None
        self.parts = 0
        self.failures = 0

    def saw(self, frame: Frame, finding: Finding, seconds: float) -> None:
        looked = Looked(finding.score, finding.decision, seconds)
        self._looks.append(looked)
        self.parts += 1
        shadow = self._shadow
        if shadow is not None:
            shadow.offer(JudgedPart(frame, looked))

    def failed(self) -> None:
        self.failures += 1

    @property
    def looks(self) -> list[Looked]:
        """The last KEPT ones since `begin`."""
        return list(self._looks)

    def begin(self) -> None:
        """Another model is live: count from here."""
        self._looks = deque(maxlen=KEPT)
        self.parts = self.failures = 0

    def shade(self, shadow: ShadowRun | None) -> None:
        """Let a candidate look at the same parts from here on; None: no longer."""
        self._shadow = shadow
