"""What the bundle makes of a cell: by the head, gate, codec and tail that run in the demo."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import cv2
import numpy as np

from cloud.datasets.elpv_wheel import SolarCell
from cloud.inference.defect_maps import map_png, seen_png
from cloud.inference.tail import LoadedTail
from edge.inspection.inspector import Inspector, load_head
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import TAIL
from shared.bundles.runtime_choice import choose_runtime
from shared.contracts import Decision, Frame, Verdict
from shared.inspection import Inspection
from shared.runtime.base import RuntimeOptions


class Judged(NamedTuple):
    """What became of one cell.

    inspection   as if it had been the first part of all
    tail         of what the cloud was asked: columns of its TailRow; None: it was not
    """

    cell: SolarCell
    inspection: Inspection
    tail: dict[str, Any] | None


class CellJudge:
    """Judges cells. Opening it raises what opening the bundle's models raises."""

    def __init__(self, bundle: Bundle, runtime: str) -> None:
        options, spec = RuntimeOptions(threads=1), bundle.manifest
        head = load_head(bundle, runtime, options).runtime
        self._bundle = bundle
        self._inspector = Inspector(
            head, bundle.codec, spec.gate.gate, spec.input.shape, pixels=spec.input.pixels
        )
        chosen = choose_runtime(runtime, bundle.read(TAIL), options)
        self._tail = LoadedTail(bundle, chosen.runtime)

    def judge(self, cell: SolarCell) -> Judged:
        spec = self._bundle.manifest
        pixels = cv2.imread(str(cell.image), cv2.IMREAD_GRAYSCALE)
        began = time.perf_counter()
        finding = self._inspector.look(Frame(np.asarray(pixels, np.uint8), 1, 0.0, 0.0))
        edge_ms = (time.perf_counter() - began) * 1000
        verdict: Verdict = "review"
        answer, sent = None, 0
        if finding.decision is Decision.ESCALATE:
            began = time.perf_counter()
            within = self._bundle.codec.encode_within(finding.symbols, spec.features.cap_bytes)
            sent = len(within.body)
            found = self._tail.run(finding.symbols[np.newaxis])
            score = spec.gate.gate.cloud_score(finding.score, float(found.scores[0]))
            verdict = self._tail.conclude(finding.symbols, score)
            kind = found.kind(0, spec.classes) if verdict == "reject" else None
            answer = {
                "pair": spec.pair,
                "score": score,
                "verdict": verdict,
                "kind": kind.name if kind else None,
                "kind_probability": kind.probability if kind else None,
                "coarseness": within.coarseness,
                "cloud_ms": (time.perf_counter() - began) * 1000,
                "batch": 1,
                "map_png": map_png(found.maps[0]),
                "seen_png": seen_png(finding.symbols),
            }
        elif finding.decision is not Decision.REVIEW:
            verdict = "pass" if finding.decision is Decision.PASS else "reject"
        return Judged(
            cell,
            Inspection(
                boot="",
                sequence=1,
                part=1,
                decision=finding.decision,
                verdict=verdict,
                decided_by="cloud" if answer else "edge",
                score=finding.score,
                inspected_at=0.0,
                edge_ms=edge_ms,
                total_ms=edge_ms,
                escalated_bytes=sent,
                frame_bytes=cell.image.stat().st_size,
                source=cell.image.name,
                bundle=self._bundle.id,
            ),
            answer,
        )
