"""What people who watch cost: the cloud's CPU with and without 20 live pages, at 200 parts/s."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil

from shared.bundles.bundle import Bundle
from shared.topics import Address
from tests.cloud.makers import batch, row
from tests.cloud.server import Device, Server

VIEWERS = 20
PARTS_S = 200
BATCH = 50
# VIEWERS_SECONDS=600 is the ten minutes in which memory must stay flat.
SECONDS = float(os.environ.get("VIEWERS_SECONDS", "20"))
ALONE_S = min(SECONDS, 60.0)
MINUTE_S = 60.0
MINUTES_SHOWN = (0, 1, 2, 5, 10)


def measure(bundle_path: Path, folder: Path) -> list[dict[str, object]]:
    """Per cent of one core, and the memory, of `splitsight cloud serve`, alone, then watched."""
    with ExitStack() as stack:
        server = stack.enter_context(Server(folder, Bundle.open(bundle_path)))
        process = psutil.Process(server.process.pid)
        stopping = threading.Event()
        line = threading.Thread(target=_run_line, args=(server, stopping))
        line.start()
        stack.callback(line.join)
        stack.callback(stopping.set)
        _observe(process, 5.0)
        alone = _observe(process, ALONE_S)
        heard = [0] * VIEWERS
        viewers = [
            threading.Thread(target=_watch, args=(server.url, stopping, heard, number))
            for number in range(VIEWERS)
        ]
        for viewer in viewers:
            viewer.start()
            stack.callback(viewer.join)
        stack.callback(stopping.set)
        _observe(process, 5.0)
        began, start = time.perf_counter(), _busy_s(process)
        memory = [process.memory_info().rss]
        while (left := SECONDS - (time.perf_counter() - began)) > 0:
            _observe(process, min(left, MINUTE_S))
            memory.append(process.memory_info().rss)
        watched = 100 * (_busy_s(process) - start) / (time.perf_counter() - began)
    if not all(heard):
        raise RuntimeError(f"{heard.count(0)} of {VIEWERS} viewers heard nothing")
    rows: list[dict[str, object]] = [
        {"what": f"{PARTS_S} parts/s, nobody watches, {ALONE_S:.0f} s", "figure": f"{alone:.1f} %"},
        {"what": f"{VIEWERS} viewers too, {SECONDS:.0f} s", "figure": f"{watched:.1f} %"},
        {"what": "more of one core (wanted ≤ 10 %)", "figure": f"{watched - alone:.1f} %"},
    ]
    for minute, rss in enumerate(memory):
        if minute in MINUTES_SHOWN or minute == len(memory) - 1:
            rows.append({"what": f"memory after {minute} min", "figure": f"{rss / 1e6:.1f} MB"})
    return rows


def _observe(process: psutil.Process, seconds: float) -> float:
    """Per cent of one core over this time, all of the process's children included."""
    began, start = time.perf_counter(), _busy_s(process)
    threading.Event().wait(seconds)
    return 100 * (_busy_s(process) - start) / (time.perf_counter() - began)


def _busy_s(process: psutil.Process) -> float:
    everyone = [process, *process.children(recursive=True)]
    return float(sum(sum(one.cpu_times()[:2]) for one in everyone))


def _run_line(server: Server, stopping: threading.Event) -> None:
    device = Device(server, Address("plant", "line-1", "box-1"))
    begun = time.perf_counter()
    for number in itertools.count():
        first = number * BATCH + 1
        now = time.time()
        device.report(
            batch(number, *(row(part, inspected_at=now) for part in range(first, first + BATCH)))
        )
        due = begun + (number + 1) * BATCH / PARTS_S
        if stopping.wait(max(0.0, due - time.perf_counter())):
            break
    device.stop()


def _watch(url: str, stopping: threading.Event, heard: list[int], number: int) -> None:
    with httpx.Client(base_url=url, timeout=30.0) as client:
        client.get("/", headers={"accept": "text/html"}).raise_for_status()
        with client.stream("GET", "/events") as answer:
            for _ in _until(answer.iter_lines(), stopping):
                heard[number] += 1


def _until(lines: Iterator[str], stopping: threading.Event) -> Iterator[str]:
    return itertools.takewhile(lambda _: not stopping.is_set(), lines)
