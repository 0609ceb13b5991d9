"""Cloud, box with its learner, rounds and a training, each a process in a sealed machine.

`python -m tests.support.silent_plant FOLDER RESOLVER SECONDS`, within `unshare --mount`: prints as
JSON how each ended and what was changed outside of FOLDER/plant, which `tests.system.test_silence`
has prepared.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from tests.support.sealed import SealedMachine
from tests.support.waiting import wait_until

API = "http://127.0.0.1:8765/api/v1/inspections"
PATIENCE_S = 540.0
SIZE = ["--height", "64", "--width", "64", "--batch", "8", "--threads", "1"]
EPOCHS = ["--epochs", "1", "--tail-epochs", "1", "--bottleneck-epochs", "1"]
COMMANDS = {
    "cloud": ["cloud", "serve", "--config", "cloud.yaml"],
    "box": ["edge", "run", "--config", "edge.yaml"],
    "rounds": ["fleet", "federate", "--config", "rounds.yaml", "--rounds", "1000"],
    "training": [
        "cloud",
        "train",
        "--data",
        "parts",
        "--out",
        "mine",
        "--run",
        "run",
        "--experiments",
        "experiments",
        *SIZE,
        *EPOCHS,
    ],
    "judging": ["cloud", "evaluate", "--bundle", "mine", "--data", "parts", "--report", "report"],
}
LEARNED = "round 1 finished: 1 devices"


class SilentPlant:
    """The processes, each with its log beside the sealed machine."""

    def __init__(self, folder: Path, resolver: str) -> None:
        (folder / "machine").mkdir()
        self._machine = SealedMachine(folder / "machine", resolver)
        self._folder = folder
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        command = [sys.executable, "-m", "shared.commands", *COMMANDS[name]]
        with (self._folder / f"{name}.log").open("wb") as log:
            self._children[name] = subprocess.Popen(
                self._machine.command(*command, folder=self._folder / "plant"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def until(self, holds: Callable[[], bool]) -> None:
        """Raises AssertionError where it takes too long, RuntimeError where one ended badly."""

        def over() -> bool:
            bad = [name for name, child in self._children.items() if child.poll()]
            if bad:
                raise RuntimeError(*(f"{name}: {self.log(name)[-2000:]}" for name in bad))
            return holds()

        wait_until(over, "the plant has come so far", within_s=PATIENCE_S, pause_s=0.2)

    def done(self, name: str) -> bool:
        return self._children[name].poll() == 0

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text(errors="replace")

    def stop(self) -> dict[str, int]:
        """Ask all to end; with what code each did."""
        for name in ("rounds", "box", "cloud"):
            child = self._children.get(name)
            if child is not None and child.poll() is None:
                child.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    child.wait(PATIENCE_S)
        return {name: child.poll() for name, child in self._children.items()}  # type: ignore[misc]

    @property
    def recorded(self) -> bool:
        """Whether the training has left its run in a database."""
        database = self._folder / "plant" / "experiments" / "mlflow.db"
        return self._machine.seen(database).is_file()

    @property
    def changed(self) -> list[str]:
        return self._machine.changed(self._folder / "plant")


def inspected() -> bool:
    """Whether a part of the box has come to the cloud's records."""
    with suppress(OSError), closing(urllib.request.urlopen(API, timeout=2)) as answer:
        return bool(json.load(answer)["inspections"])
    return False


def main(folder: Path, resolver: str, seconds: float) -> None:
    plant = SilentPlant(folder, resolver)
    try:
        for name in ("cloud", "box", "training"):
            plant.start(name)
        plant.until(inspected)
        plant.start("rounds")
        plant.until(lambda: LEARNED in plant.log("rounds"))
        learned = time.monotonic()
        plant.until(lambda: plant.done("training"))
        plant.start("judging")
        plant.until(lambda: plant.done("judging"))
        threading.Event().wait(max(0.0, learned + seconds - time.monotonic()))
    finally:
        codes = plant.stop()
    found = {"codes": codes, "changed": plant.changed, "recorded": plant.recorded}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
