from __future__ import annotations

import pytest

from edge.benchmark import BenchRow, _judge, _Trial, bench
from edge.checks import checks
from shared.bundles.bundle import Bundle
from shared.clock import SystemClock


def trial(name: str, frames_per_s: float, delta: float, *, agrees: bool) -> _Trial:
    row = BenchRow(name, "CPU", "int8", "s", 1.0, 1.0, 1.0, frames_per_s, delta, False, "0.0%")
    return _Trial(row, agrees)


@pytest.mark.torch
def test_every_backend_that_runs_the_head_is_measured_and_one_is_chosen(bundle: Bundle) -> None:
    rows = bench(bundle, seconds=0.01, threads=1, clock=SystemClock())
    assert {(row.runtime, row.precision) for row in rows} >= {
        ("onnx", "int8"),
        ("onnx", "float32"),
        ("openvino", "int8"),
        ("openvino", "float32"),
    }
    assert "torch" not in {row.runtime for row in rows}
    (chosen,) = [row for row in rows if row.chosen]
    assert chosen.frames_per_s == max(row.frames_per_s for row in rows)
    for row in rows:
        assert 0 < row.p50_ms <= row.p95_ms <= row.p99_ms
        assert row.max_score_delta < 1e-5
        assert row.reason


def test_a_fast_backend_that_disagrees_is_not_chosen() -> None:
    fast = trial("fast", 1000, 0.4, agrees=False)
    slow = trial("slow", 100, 0.0, agrees=True)
    medium = trial("medium", 200, 0.0, agrees=True)
    rows = {row.runtime: row for row in _judge([fast, slow, medium], 0.05)}
    assert [name for name, row in rows.items() if row.chosen] == ["medium"]
    assert rows["fast"].reason == "disagrees: scores differ by 0.400, at most 0.05"
    assert rows["slow"].reason == "agrees, but the chosen one is 2.0 times as fast"


def test_where_none_agrees_none_is_chosen() -> None:
    rows = _judge([trial("fast", 1000, 0.4, agrees=False)], 0.05)
    assert not any(row.chosen for row in rows)


@pytest.mark.torch
def test_the_doctor_hears_of_every_runtime_camera_and_actuator() -> None:
    rows = {str(row["check"]): row for row in checks()}
    assert rows["runtime onnx"]["ok"]
    assert "CPU" in str(rows["runtime openvino"]["found"])
    for name in ("camera folder", "camera v4l2", "camera rtsp", "actuator log", "actuator mqtt"):
        assert rows[name]["ok"], rows[name]
    assert all(set(row) == {"check", "ok", "found", "wanted", "fix"} for row in rows.values())
