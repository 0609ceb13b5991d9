"""The whole agent beside the bare head: frames a second, and memory."""

from __future__ import annotations

import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import yaml

from edge.monitoring.sketch_recording import SketchBook
from hardware_sim.demo.cells import lanes
from hardware_sim.processes.child import splitsight
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD
from shared.clock import SystemClock
from shared.contracts import Decision, Finding, Frame
from shared.loopback import free_port
from shared.runtime.base import RuntimeOptions, open_runtime

PARTS = 3000
ROUNDS = 3
HEAD_S = 3.0


def measure(bundle_path: Path, folder: Path) -> list[dict[str, object]]:
    """Per runtime: the median of interleaved rounds, each the head alone and then the agent."""
    bundle = Bundle.open(bundle_path)
    (lane,) = lanes(bundle_path, 1)
    pictures = folder / "cells.txt"
    lane.write(pictures)
    rows: list[dict[str, object]] = []
    for name in ("openvino", "onnx"):
        pairs = [
            (
                head_rate(bundle, name),
                *_agent(bundle_path, folder / f"{name}-{n}", name, pictures),
            )
            for n in range(ROUNDS)
        ]
        head, agent, memory = (float(np.median(column)) for column in zip(*pairs, strict=True))
        rows.append(
            {
                "runtime": name,
                "head_frames_per_s": head,
                "agent_parts_per_s": agent,
                "ratio": agent / head,
                "wanted_ratio": 0.6,
                "agent_mb": memory,
                "wanted_mb": 250,
                "sketch_share": _sketches(bundle, name),
                "wanted_sketch_share": 0.01,
            }
        )
    return rows


def _sketches(bundle: Bundle, name: str) -> float:
    """Which share of the time goes into sketches, 0–1, between looks of the head and nothing else:
    the agent does more in between, and its share is smaller."""
    golden = bundle.golden.inputs
    pictures = [np.ascontiguousarray(one.mean(0) * 255).astype(np.uint8) for one in golden]
    nothing = np.zeros((1, 1, 1), np.int8)
    found = Finding(Decision.PASS, 0.2, nothing, nothing[0].astype(np.float32), 0.3)
    book = SketchBook(SystemClock(), boot="bench", bundle="bench")
    runtime = open_runtime(name, bundle.read(HEAD), RuntimeOptions("CPU", 1))
    count, spent, started = 0, 0.0, time.perf_counter()
    while time.perf_counter() - started < HEAD_S:
        runtime.run(golden[:1])
        frame = Frame(pictures[count % len(pictures)], count, 0.0, 1.0)
        # Of this thread: what else runs on the machine is none of theirs.
        begun = time.thread_time()
        book.saw(frame, found, 0.0)
        spent += time.thread_time() - begun
        count += 1
    return spent / (time.perf_counter() - started)


def head_rate(bundle: Bundle, name: str) -> float:
    """Frames a second of the head alone, one thread, on a picture already prepared."""
    runtime = open_runtime(name, bundle.read(HEAD), RuntimeOptions("CPU", 1))
    picture = bundle.golden.inputs[:1]
    for _ in range(50):
        runtime.run(picture)
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < HEAD_S:
        runtime.run(picture)
        count += 1
    return count / (time.perf_counter() - started)


def _agent(bundle: Path, folder: Path, runtime: str, pictures: Path) -> tuple[float, float]:
    """Parts a second from the first to the last journaled verdict, and resident megabytes."""
    folder.mkdir()
    config = folder / "edge.yaml"
    settings = {
        "site": "bench",
        "line": "one",
        "device": "box",
        "bundle": str(bundle.resolve()),
        "broker": {"port": free_port()},
        "camera": {"kind": "folder", "path": str(pictures), "loop": True, "limit": PARTS},
        "actuator": {"kind": "log"},
        # Everything is decided at the edge: what an escalation costs is measured elsewhere.
        "gate": {"pass_below": 0.5, "reject_from": 0.5},
        "runtime": {"name": runtime, "threads": 1},
        "journal": {"path": str(folder / "journal.db")},
    }
    config.write_text(yaml.safe_dump(settings))
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(splitsight("edge", "run", "--config", str(config)), stderr=log)
    most = _watch_memory(child)
    if child.returncode != 0:
        raise RuntimeError((folder / "log").read_text()[-500:])
    with sqlite3.connect(folder / "journal.db") as journal:
        first, last, count = journal.execute(
            "SELECT min(inspected_at), max(inspected_at), count(*) FROM inspections"
        ).fetchone()
    assert count == PARTS
    return (PARTS - 1) / (last - first), most / 1e6


def _watch_memory(child: subprocess.Popen[bytes]) -> int:
    process, most, pause = psutil.Process(child.pid), 0, threading.Event()
    while child.poll() is None:
        try:
            most = max(most, process.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        pause.wait(0.1)
    child.wait()
    return most
