"""Findings of the real head on real pictures, recorded once and drawn from by every device."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.inspection.inspector import Inspector, load_head
from hardware_sim.demo.cells import lanes
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import TAIL
from shared.bundles.runtime_choice import choose_runtime
from shared.contracts import Decision, Finding, Frame
from shared.errors import DataError
from shared.runtime.base import RuntimeOptions

PICTURES = 64
TAIL_RUNS = 20


class HeadCost(NamedTuple):
    """What one part costs the network's halves, core milliseconds, medians; and the mean size of
    an escalation's features, bytes, 0 where none escalated.
    """

    head_ms: float
    tail_ms: float
    escalation_bytes: float


@dataclass(frozen=True, slots=True)
class Recording:
    """Findings of one bundle's head."""

    findings: tuple[Finding, ...]

    def save(self, path: Path) -> None:
        np.savez(
            path,
            decisions=np.array([finding.decision.value for finding in self.findings]),
            scores=np.array([finding.score for finding in self.findings]),
            symbols=np.stack([finding.symbols for finding in self.findings]),
            maps=np.stack([finding.defect_map for finding in self.findings]),
        )

    @classmethod
    def load(cls, path: Path) -> Recording:
        with np.load(path, allow_pickle=False) as arrays:
            rows = zip(
                *(arrays[name] for name in ("decisions", "scores", "symbols", "maps")), strict=True
            )
            return cls(
                tuple(
                    Finding(Decision(str(decision)), float(score), symbols, defect_map)
                    for decision, score, symbols, defect_map in rows
                )
            )

    def where(self, *, escalated: bool) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if (f.decision is Decision.ESCALATE) == escalated)

    def require(self, escalated: float) -> None:
        """Raises DataError where a kind of finding that this share needs was not seen."""
        if escalated > 0 and not self.where(escalated=True):
            raise DataError(
                f"the head escalates none of the {len(self.findings)} recorded pictures",
                fix="use --escalated 0, or a bundle whose gate escalates some",
            )
        if escalated < 1 and not self.where(escalated=False):
            raise DataError(
                f"the head escalates all of the {len(self.findings)} recorded pictures",
                fix="use --escalated 1, or a bundle whose gate decides some",
            )


class RecordedFindings:
    """An inspector that draws from a recording by part number: two that see one part agree.

    Not by chance but in turn, from a random start: after n parts the share that escalates is right
    within 1 / n.
    """

    def __init__(self, recording: Recording, escalated: float, seed: str) -> None:
        self._unsure = recording.where(escalated=True)
        self._sure = recording.where(escalated=False)
        self._escalated = escalated
        # Findings are drawn for a load, nothing is kept secret by them.
        start = random.Random(seed)  # noqa: S311
        self._owed, self._first = start.random(), start.randrange(len(recording.findings))

    def of(self, part: int) -> Finding:
        unsure = (self._owed + part * self._escalated) % 1.0 < self._escalated
        drawn = self._unsure if unsure else self._sure
        return drawn[(part * 7919 + self._first) % len(drawn)]

    def look(self, frame: Frame) -> Finding:
        """The picture was seen long ago."""
        return self.of(frame.part)


def record(bundle: Bundle, runtime: str) -> tuple[Recording, HeadCost]:
    """Let the bundle's head look at real test cells, or at its golden inputs where none are there.

    Raises what opening the bundle or the runtime raises.
    """
    # One thread, as in a box; the cloud's cost is compared with it.
    options = RuntimeOptions(threads=1)
    chosen = load_head(bundle, runtime, options)
    spec = bundle.manifest
    inspector = Inspector(
        chosen.runtime,
        bundle.codec,
        spec.gate.gate,
        spec.input.shape,
        pixels=spec.input.pixels,
    )
    findings, head_ms = [], []
    for number, pixels in enumerate(pictures(bundle), start=1):
        started = time.process_time()
        findings.append(inspector.look(Frame(pixels, number, 0.0, 0.0)))
        head_ms.append((time.process_time() - started) * 1000)
    tail_ms = _tail_ms(bundle, runtime, options, findings)
    recording = Recording(tuple(findings))
    cap = spec.features.cap_bytes
    escalated = [f.symbols for f in recording.where(escalated=True)]
    sizes = [len(bundle.codec.encode_within(symbols, cap).body) for symbols in escalated]
    mean_bytes = float(np.mean(sizes)) if sizes else 0.0
    return recording, HeadCost(float(np.median(head_ms)), tail_ms, mean_bytes)


def pictures(bundle: Bundle) -> Sequence[NDArray[np.uint8]]:
    """Real test cells beside the bundle; without them its golden inputs, as a camera gives them."""
    try:
        cells = lanes(bundle.path, 1)[0].cells[:PICTURES]
    except (DataError, ImportError):
        return [_as_frame(picture) for picture in bundle.golden.inputs]
    grey = [cv2.imread(str(cell.image), cv2.IMREAD_GRAYSCALE) for cell in cells]
    return [np.asarray(pixels, np.uint8) for pixels in grey if pixels is not None]


def _as_frame(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(channels, height, width) → (height, width) or (height, width, 3)."""
    return np.ascontiguousarray(picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0))


def _tail_ms(
    bundle: Bundle, runtime: str, options: RuntimeOptions, findings: Sequence[Finding]
) -> float:
    tail = choose_runtime(runtime, bundle.read(TAIL), options).runtime
    times = []
    for run in range(TAIL_RUNS):
        symbols = findings[run % len(findings)].symbols[np.newaxis]
        started = time.process_time()
        tail.run(symbols)
        times.append((time.process_time() - started) * 1000)
    return float(np.median(times))
