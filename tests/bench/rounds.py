"""A federated round beside live inspection: what it costs the line, and beside its training."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import yaml

from cloud.broker.embedded import EmbeddedBroker
from edge.learning.throttle import p99
from fleet.rounds.configuration.settings import LocalSettings, RoundSettings, ScopeSettings
from fleet.rounds.coordination.coordinator import Coordinator, RunPlan
from fleet.rounds.grids.mqtt import MqttGrid
from hardware_sim.demo.cells import lanes
from hardware_sim.processes.child import Child, splitsight, stop_all
from shared.errors import TransportError
from shared.federation.base_network import BaseNetwork
from shared.loopback import free_port
from shared.splitnet.base_network import export_base
from shared.splitnet.network import Architecture, SplitNet
from shared.topics import Address, everyone, parse
from shared.transport.base import Delivery
from shared.transport.mqtt import BrokerSettings, MqttTransport
from shared.wire import (
    Inspections,
    LabelReceipts,
    Labels,
    PartLabel,
    Receipt,
    decode,
    encode,
)

DEVICES = ("one", "two")
LABELS = 32
ROUNDS = 6
RATE = 20.0
FIRST = -15
IDLE_S = 10.0
PATIENCE_S = 120.0
Span = tuple[float, float]
SHAPE = Architecture(height=96, width=96)


class Inspector:
    """Plays the cloud: takes inspections, and labels the first ones of every device."""

    def __init__(self, port: int) -> None:
        self.transport = MqttTransport(BrokerSettings(port=port), "inspector")  # type: ignore[call-arg]
        self.transport.subscribe(everyone("inspections"), self._inspected)
        self.transport.subscribe(everyone("labelled"), self._labelled)
        self.kept = dict.fromkeys(DEVICES, 0)
        self._said = dict.fromkeys(DEVICES, 0)
        self.changed = threading.Condition()

    def wait(self) -> None:
        """Until every device has kept its labels."""
        with self.changed:
            done = self.changed.wait_for(lambda: min(self.kept.values()) >= LABELS, PATIENCE_S)
        if not done:
            raise RuntimeError(f"labels came to {self.kept} within {PATIENCE_S:.0f} s")

    def _inspected(self, delivery: Delivery) -> None:
        address, _ = parse(delivery.topic)
        batch, _ = decode(delivery.payload, Inspections)
        self._say(address, "receipt", encode(Receipt(batch.boot, batch.batch)))
        rows = batch.rows[: max(0, LABELS - self._said[address.device])]
        self._said[address.device] += len(rows)
        if rows:
            # Half of them are called defective: what is measured does not depend on the truth.
            labels = [
                PartLabel(r.boot, r.sequence, "reject" if r.part % 2 else "pass", "", time.time())
                for r in rows
            ]
            self._say(address, "label", encode(Labels(labels)))

    def _labelled(self, delivery: Delivery) -> None:
        address, _ = parse(delivery.topic)
        rows = decode(delivery.payload, LabelReceipts)[0].rows
        with self.changed:
            self.kept[address.device] += sum(row.kept for row in rows)
            self.changed.notify_all()

    def _say(self, address: Address, channel: str, payload: bytes) -> None:
        try:
            self.transport.publish(address.topic(channel), payload)  # type: ignore[arg-type]
        except TransportError as error:
            raise RuntimeError(error.message) from error


def measure(bundle: Path, folder: Path) -> list[dict[str, object]]:
    """Two real agents with real learners, rounds over Mosquitto."""
    torch.manual_seed(0)
    export_base(SplitNet(SHAPE, pretrained=False), folder / "base.npz")
    port = free_port()
    with EmbeddedBroker("mosquitto", "127.0.0.1", port):
        inspector = Inspector(port)
        inspector.transport.start()
        boxes = [_box(bundle, folder, name, port) for name in DEVICES]
        for box in boxes:
            box.start()
            _undisturbed(box)
        try:
            inspector.wait()
            return _rounds(boxes, folder, port)
        finally:
            stop_all(boxes)
            inspector.transport.stop()


def _undisturbed(box: Child) -> None:
    """Before everything else on this machine, whose work is none of the round's."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, int(box.pid or 0), FIRST)
        # Linux may weigh whole sessions against each other.
        Path(f"/proc/{box.pid}/autogroup").write_text(str(FIRST))


def _rounds(boxes: list[Child], folder: Path, port: int) -> list[dict[str, object]]:
    agents = [psutil.Process(box.pid) for box in boxes]
    before = max(agent.memory_info().rss for agent in agents)
    grid = MqttGrid(
        MqttTransport(BrokerSettings(port=port), "rounds"),  # type: ignore[call-arg]
        base=folder / "base.npz",
    ).open()
    watch = Watch(agents)
    idle: list[Span] = []
    busy: list[Span] = []
    try:
        coordinator = _coordinator(grid, folder)
        for _ in range(ROUNDS):
            # In turn, so that whatever else this machine does falls on both.
            idle.append(_during(lambda: threading.Event().wait(IDLE_S)))
            busy.append(_during(coordinator.step))
    finally:
        grid.close()
    largest = watch.stop()
    threading.Event().wait(2.0)
    left = sum(len(agent.children()) for agent in agents)
    grown = max(agent.memory_info().rss for agent in agents) - before
    history, values = coordinator.progress.history, 2 * coordinator.layout.size
    trained = _trained(folder)
    beside = [record.seconds - trained[record.round] for record in history[1:]]
    quiet, with_round = (_p99(folder, spans) for spans in (idle, busy))
    return [
        _row("devices that took part", min(len(one.took_part) for one in history), len(DEVICES)),
        _row("first round, its learners started, s", history[0].seconds),
        _row("training in a round, s", float(np.median([trained[r.round] for r in history[1:]]))),
        _row("a round beside its training, s", float(np.median(beside)), "≤ 1"),
        _row("bytes down, of 16-bit values", history[-1].bytes_down / values, "≤ 1.2"),
        _row("bytes up, of 16-bit values", history[-1].bytes_up / values, "≤ 1.2"),
        _row("times that a learner was stopped for its line", _pauses(folder)),
        _row("p99 without a round, ms", quiet),
        _row("p99 in a round, ms", with_round),
        _row("p99 ratio", with_round / quiet, "≤ 1.5"),
        _row("p99 ratio after the first round", _p99(folder, busy[1:]) / quiet, "≤ 1.5"),
        _row("missed deadlines without a round", _missed(folder, idle)),
        _row("missed deadlines in rounds", _missed(folder, busy)),
        _row("learner at its largest, MB", largest / 1e6),
        _row("learners left after the run", left, 0),
        _row("agent grew, MB", grown / 1e6),
    ]


class Watch:
    """Looks how large learners get."""

    def __init__(self, agents: list[psutil.Process]) -> None:
        self._agents = agents
        self._largest = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """The most bytes that one held resident."""
        self._stopped.set()
        self._thread.join()
        return self._largest

    def _look(self) -> None:
        while not self._stopped.wait(0.3):
            for agent in self._agents:
                for learner in agent.children():
                    self._largest = max(self._largest, _resident(learner))


def _during(work: Callable[[], object]) -> Span:
    began = time.time()
    work()
    return began, time.time()


def _row(what: str, found: object, wanted: object = "") -> dict[str, object]:
    return {"what": what, "found": found, "wanted": wanted}


def _coordinator(grid: MqttGrid, folder: Path) -> Coordinator:
    settings = RoundSettings(
        base=folder / "base.npz",
        folder=folder / "run",
        scope=ScopeSettings(from_block=7),
        local=LocalSettings(versions=2, epochs=8),
        deadline_s=PATIENCE_S,
        answer_s=10.0,
    )
    base = BaseNetwork.read(folder / "base.npz")
    return Coordinator(grid, settings, RunPlan(ROUNDS), base)


def _box(bundle: Path, folder: Path, name: str, port: int) -> Child:
    (lane,) = lanes(bundle, 1)
    pictures = folder / f"{name}.txt"
    lane.write(pictures)
    config = folder / f"{name}.yaml"
    settings = {
        "site": "bench",
        "line": "line",
        "device": name,
        "bundle": str(bundle.resolve()),
        "broker": {"port": port},
        "camera": {"kind": "folder", "path": str(pictures), "loop": True, "rate": RATE},
        "actuator": {"kind": "log"},
        "gate": {"pass_below": 0.5, "reject_from": 0.5},
        "runtime": {"name": "onnx", "threads": 1},
        "journal": {"path": str(folder / f"{name}.db"), "ring_keep": "all"},
        "learning": {"enabled": True, "folder": str(folder / name)},
    }
    config.write_text(yaml.safe_dump(settings))
    return Child(name, splitsight("edge", "run", "--config", str(config)), folder / f"{name}.log")


def _p99(folder: Path, spans: Sequence[Span]) -> float:
    """Of the slower device."""
    return max(
        p99([row[0] for row in _asked(folder / f"{name}.db", "edge_ms", spans)]) for name in DEVICES
    )


def _missed(folder: Path, spans: Sequence[Span]) -> int:
    """Of both devices."""
    rows = [r for name in DEVICES for r in _asked(folder / f"{name}.db", "decided_by", spans)]
    return sum(row[0] == "deadline" for row in rows)


def _asked(journal: Path, column: str, spans: Sequence[Span]) -> list[tuple[Any, ...]]:
    query = f"SELECT {column} FROM inspections WHERE inspected_at BETWEEN ? AND ?"  # noqa: S608
    with closing(sqlite3.connect(journal)) as connection:
        return [row for span in spans for row in connection.execute(query, span).fetchall()]


def _trained(folder: Path) -> dict[int, float]:
    """Seconds that the slower learner took, by round, as it logged them."""
    longest: dict[int, float] = {}
    for name in DEVICES:
        for line in (folder / f"{name}.log").read_text().splitlines():
            if '"round_trained"' in line:
                said = json.loads(line)
                longest[said["round"]] = max(longest.get(said["round"], 0.0), said["seconds"])
    return longest


def _pauses(folder: Path) -> int:
    logs = [(folder / f"{name}.log").read_text() for name in DEVICES]
    return sum(log.count('"learner_paused"') for log in logs)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
