"""Records and messages with something sensible in every field."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloud.inference.defect_maps import map_png, seen_png
from cloud.records.tables import (
    InspectionRow,
    LabelRecord,
    StateRow,
    TailRow,
    inspection_row,
)
from shared import wire
from shared.bundles.bundle import Bundle
from shared.contracts import Decision, Verdict
from shared.inspection import Inspection
from shared.topics import Address

NOON = 1_800_000_000.0
DEVICE = Address("plant", "line-1", "box-1")


def inspection(sequence: int, **changes: Any) -> InspectionRow:
    return {**inspection_row(DEVICE, row(sequence), NOON + sequence), **changes}


def label(sequence: int, **changes: Any) -> LabelRecord:
    row: dict[str, Any] = {
        "device": "box-1",
        "boot": "b1",
        "sequence": sequence,
        "verdict": "pass",
        "inspector": "schulz",
        "reviewed_at": NOON + 60,
    }
    return LabelRecord(**(row | changes))


def tail(sequence: int, **changes: Any) -> TailRow:
    row: dict[str, Any] = {
        "device": "box-1",
        "boot": "b1",
        "sequence": sequence,
        "site": "plant",
        "line": "line-1",
        "part": sequence,
        "pair": "0" * 16,
        "score": 0.9,
        "verdict": "reject",
        "kind": None,
        "kind_probability": None,
        "coarseness": 1,
        "cloud_ms": 4.0,
        "batch": 1,
        "queue_ms": 1.0,
        "tail_ms": 2.0,
        "map_png": map_png(np.full((8, 8), 0.5, np.float32)),
        "seen_png": seen_png(np.ones((4, 4, 4), np.int8)),
        "received_at": NOON + sequence,
    }
    return row | changes


def device(**changes: Any) -> StateRow:
    row: dict[str, Any] = {
        "site": "plant",
        "line": "line-1",
        "device": "box-1",
        "state": "online",
        "boot": "b1",
        "at": NOON,
        "seen_at": NOON,
        "bundle": "tiny 1.0.0",
        "runtime": "openvino",
        "camera": "folder",
        "inspected": 7,
        "waiting": 0,
        "problems": "",
        "clock_off_s": None,
        "beat_s": 30.0,
    }
    return row | changes


def symbols_of(bundle: Bundle, level: int) -> NDArray[np.int8]:
    """Symbols whose tail score lies above 0.5 where `level` is positive."""
    symbols = np.zeros(bundle.manifest.features.shape, np.int8)
    symbols[0] = level
    return symbols


def escalation(
    bundle: Bundle, sequence: int, *, level: int = 2, remaining: float = 0.5, **changes: Any
) -> bytes:
    fields: dict[str, Any] = {
        "boot": "b1",
        "sequence": sequence,
        "part": sequence,
        "pair": bundle.manifest.pair,
        "shape": bundle.manifest.features.shape,
        "remaining": remaining,
        "expires": NOON + remaining,
        "score": 0.5,
    }
    body = bundle.codec.encode(symbols_of(bundle, level))
    return wire.encode(wire.Escalation(**(fields | changes)), body)


def row(sequence: int, **changes: Any) -> Inspection:
    verdict: Verdict = "pass"
    fields: dict[str, Any] = {
        "boot": "b1",
        "sequence": sequence,
        "part": sequence,
        "decision": Decision.PASS,
        "verdict": verdict,
        "decided_by": "edge",
        "score": 0.1,
        "inspected_at": NOON + sequence,
        "edge_ms": 2.0,
        "total_ms": 3.0,
        "escalated_bytes": 0,
        "frame_bytes": 5000,
        "source": "a.png",
        "bundle": "tiny 1.0.0",
    }
    return Inspection(**(fields | changes))


def batch(number: int, *rows: Inspection) -> bytes:
    return wire.encode(wire.Inspections.of("b1", number, rows))
