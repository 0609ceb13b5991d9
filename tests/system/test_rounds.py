"""Federated rounds over a real broker, among real processes, while one of them is killed, cut off
or started again. Two devices reach the broker directly, the third through a link that can fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import psutil
import pytest

from cloud.broker.embedded import EmbeddedBroker
from fleet.rounds.coordination.coordinator import Coordinator
from fleet.rounds.report.findings import RoundRecord
from hardware_sim.network.conditions import Conditions
from hardware_sim.network.proxy import NetworkProxy
from hardware_sim.processes.child import Child, stop_all
from shared.loopback import free_port
from tests.fleet.rounds.box import fill
from tests.fleet.rounds.coordinate import coordinator, open_grid
from tests.fleet.rounds.tiny import tiny_base
from tests.fleet.rounds.tiny_learner import STEP_S
from tests.support.waiting import wait_until

pytestmark = pytest.mark.torch

TRAINING_S = 2.0
PATIENCE_S = 90.0
BEYOND_S = 10.0
HOST = "127.0.0.1"


class Floor:
    """The broker, three boxes `a`, `b`, `c`, and the link of `c`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.broker = EmbeddedBroker("mosquitto", HOST, self.port)
        self.link = NetworkProxy((HOST, self.port))
        self.boxes: dict[str, Child] = {}
        tiny_base(folder)
        for seed, name in enumerate("abc"):
            fill(folder, name, seed)

    def start(self) -> None:
        self.broker.start()
        self.link.start()
        for name, port in (("a", self.port), ("b", self.port), ("c", self.link.port)):
            command = [sys.executable, "-m", "tests.fleet.rounds.box", str(self.folder), name]
            slow = {**os.environ, STEP_S: str(TRAINING_S)}
            log = self.folder / f"{name}.log"
            self.boxes[name] = Child(name, [*command, str(port)], log, environment=slow)
            self.boxes[name].start()

    def stop(self) -> None:
        stop_all(list(self.boxes.values()))
        self.link.stop()
        self.broker.stop()

    def learners(self, name: str) -> list[psutil.Process]:
        """Processes that the box has started."""
        pid = self.boxes[name].pid
        assert pid is not None
        return psutil.Process(pid).children(recursive=True)


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    floor = Floor(tmp_path_factory.mktemp("floor"))
    floor.start()
    yield floor
    floor.stop()


class Run:
    """Rounds in a thread of their own, so that a test can break something meanwhile."""

    def __init__(self, floor: Floor, rounds: int, *, deadline_s: float = 60.0) -> None:
        self.records: list[RoundRecord] = []
        self.failure: Exception | None = None
        self._changed = threading.Condition()
        self._grid = open_grid(floor.folder, floor.port, grace_s=4.0)
        wait_until(
            lambda: len(list(self._grid.get_node_ids())) == 3, "three devices", within_s=PATIENCE_S
        )
        folder = floor.folder / "runs" / str(time.monotonic_ns())
        folder.mkdir(parents=True)
        (folder / "base-0.npz").write_bytes((floor.folder / "base-0.npz").read_bytes())
        self._coordinator: Coordinator = coordinator(
            self._grid, folder, rounds, self._watch, deadline_s=deadline_s
        )
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(PATIENCE_S)
        self._grid.close()
        if self.failure is not None:
            raise self.failure
        assert not self._thread.is_alive()

    def wait_for(self, rounds: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.records) >= rounds, PATIENCE_S)

    def _run(self) -> None:
        try:
            self._coordinator.run()
        except Exception as error:  # noqa: BLE001 - for the test's own thread
            self.failure = error

    def _watch(self, record: RoundRecord) -> None:
        with self._changed:
            self.records.append(record)
            self._changed.notify_all()


def took_part(record: RoundRecord) -> list[str]:
    return [one.device for one in record.took_part]


def aside(record: RoundRecord) -> dict[str, str]:
    return {one.device: one.reason for one in record.aside}


def test_rounds_go_over_mosquitto_and_their_learners_end_with_the_run(floor: Floor) -> None:
    with Run(floor, 3) as run:
        run.wait_for(3)
        assert all(len(floor.learners(name)) == 1 for name in "abc")
    assert [took_part(record) for record in run.records] == [["a", "b", "c"]] * 3
    for record in run.records[1:]:
        # The first one pays for starting the learners.
        assert record.seconds < TRAINING_S + 5
    wait_until(lambda: not any(floor.learners(n) for n in "abc"), "no learner", within_s=10)


def test_a_device_killed_in_a_round_costs_no_more_than_its_grace_and_comes_back(
    floor: Floor,
) -> None:
    with Run(floor, 4) as run:
        run.wait_for(1)
        (learner,) = floor.learners("b")
        floor.boxes["b"].kill()
        run.wait_for(2)
        # Whatever the agent had started ends with it.
        wait_until(lambda: not learner.is_running(), "the learner has ended", within_s=5)
        floor.boxes["b"].start()
        run.wait_for(4)
    second = run.records[1]
    assert took_part(second) == ["a", "c"]
    assert second.seconds < TRAINING_S + 4.0 + BEYOND_S
    assert "it went away" in aside(second)["b"]
    assert took_part(run.records[3])[:1] == ["a"]
    with Run(floor, 1) as again:
        again.wait_for(1)
    assert took_part(again.records[0]) == ["a", "b", "c"]


def test_a_device_cut_off_in_a_round_is_late_and_takes_part_again(floor: Floor) -> None:
    deadline_s = TRAINING_S + 8
    with Run(floor, 1) as warm:
        warm.wait_for(1)
    with Run(floor, 3, deadline_s=deadline_s + 30) as run:
        run.wait_for(1)
        floor.link.apply(Conditions(partition=True))
        run.wait_for(2)
        floor.link.apply(Conditions())
        wait_until(
            lambda: len(list(run._grid.get_node_ids())) == 3, "three devices", within_s=PATIENCE_S
        )
        run.wait_for(3)
    second = run.records[1]
    assert took_part(second) == ["a", "b"]
    assert second.seconds < deadline_s + 30 + BEYOND_S
    with Run(floor, 1) as again:
        again.wait_for(1)
    assert took_part(again.records[0]) == ["a", "b", "c"]


def test_a_broker_killed_in_a_round_costs_the_round_nothing(floor: Floor) -> None:
    with Run(floor, 3) as run:
        run.wait_for(1)
        assert floor.broker.pid is not None
        os.kill(floor.broker.pid, signal.SIGKILL)
        run.wait_for(3)
    assert [record.outcome for record in run.records] == ["finished"] * 3
    assert took_part(run.records[1]) == ["a", "b", "c"]
    assert run.records[1].late == []


def test_a_killed_coordinator_goes_on_at_its_last_finished_round(floor: Floor) -> None:
    folder = floor.folder / "killed"
    folder.mkdir()
    (folder / "base-0.npz").write_bytes((floor.folder / "base-0.npz").read_bytes())
    command = [sys.executable, "-m", "tests.fleet.rounds.coordinate", str(folder)]
    with subprocess.Popen(
        [*command, str(floor.port), "4"], stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline().split() == ["1", "finished", "a,b,c"]
        first.kill()
    second = subprocess.run(
        [*command, str(floor.port), "4"],
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    lines = [line.split() for line in second.stdout.splitlines()]
    assert [line[:2] for line in lines] == [[str(n), "finished"] for n in (2, 3, 4)]
    assert lines[-1][2] == "a,b,c"
