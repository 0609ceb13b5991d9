"""Trainings that are recorded in MLflow, whatever becomes of it meanwhile."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cloud.experiments.experiment_log import ExperimentLog, Row, UnkeptLog
from cloud.experiments.place import FOLDER, ExperimentPlace, place_of
from cloud.experiments.store import RunStore
from shared.console import err
from shared.errors import ExperimentError
from shared.storage.files import replace_file

STATE = "experiment.json"
RECORD = "record.json"
FIRST_WAIT_S, LONGEST_WAIT_S = 60.0, 900.0


class MlflowLog:
    """One training's run in a store.

    The run is found again by a key that the training's folder keeps, and what it lacks is sent: a
    resumed training goes on with the same run, and one whose store was away sends all of it once
    the store is there. A store that is away is remarked once and tried again after a minute, then
    ever more rarely, since each try may take seconds.

    folder   of the training
    clock    monotonic seconds
    """

    def __init__(
        self, place: ExperimentPlace, folder: Path, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.place = place
        self._folder = folder
        self._clock = clock
        self._facts: Mapping[str, Any] = {}
        self._store: RunStore | None = None
        self._key = ""
        self._run = ""
        self._sent = 0
        self._next_try = 0.0
        self._wait_s = FIRST_WAIT_S
        self._remarked = False

    def begin(self, facts: Mapping[str, Any], *, resumed: bool) -> None:
        self._remember(facts, anew=not resumed)
        self._try(self._connect)

    def learned(self, curves: Sequence[Row]) -> None:
        if self._clock() >= self._next_try:
            self._try(lambda: self._send(curves))

    def end(self, record: Mapping[str, Any], files: Sequence[Path]) -> None:
        if not self._try(lambda: self._finish(record, files)):
            err.print(
                f"this run is not in {self.place} yet; add it later with: "
                f"splitsight cloud runs upload {self._folder} --experiments {self.place}",
                highlight=False,
                soft_wrap=True,
            )

    def fail(self, *, stopped: bool) -> None:
        status = "KILLED" if stopped else "FAILED"
        if self._run:
            self._try(lambda: self._open.end(self._run, status, {}, {}, time.time()))

    def upload(self, record: Mapping[str, Any], files: Sequence[Path]) -> None:
        """All of a training that came to its end, as far as the store lacks it.

        Raises ExperimentError.
        """
        self._remember(record, anew=False)
        self._finish(record, files)

    def _remember(self, facts: Mapping[str, Any], *, anew: bool) -> None:
        self._facts = facts
        self._key = "" if anew else _kept_key(self._folder / STATE)
        if not self._key:
            self._key = uuid.uuid4().hex
            replace_file(self._folder / STATE, json.dumps({"run": self._key}).encode())

    def _finish(self, record: Mapping[str, Any], files: Sequence[Path]) -> None:
        self._send(record["curves"])
        for file in files:
            self._open.keep(self._run, file)
        tags = {name: str(record[name]) for name in ("bundle", "pair")}
        self._open.end(self._run, "FINISHED", tags, record["metrics"], time.time())

    @property
    def _open(self) -> RunStore:
        if self._store is None:
            self._store = RunStore(self.place)
        return self._store

    def _connect(self) -> None:
        if self._run:
            return
        found = self._open.find(self._key)
        if found is None:
            run = self._open.begin(self._key, str(self._facts["name"]), tags_of(self._facts))
        else:
            run = str(found.info.run_id)
            self._open.go_on(run)
        self._open.describe(run, parameters_of(self._facts))
        self._sent = self._open.last_epoch(run)
        self._run = run

    def _send(self, curves: Sequence[Row]) -> None:
        self._connect()
        lacking = [row for row in curves if row["epoch"] > self._sent]
        self._open.draw(self._run, lacking, time.time())
        self._sent = int(curves[-1]["epoch"]) if curves else self._sent

    def _try(self, step: Callable[[], None]) -> bool:
        """Whether it went well."""
        try:
            step()
        except ExperimentError as error:
            self._next_try = self._clock() + self._wait_s
            self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
            if not self._remarked:
                err.print(f"{error.message}: the training goes on without", highlight=False)
                self._remarked = True
            return False
        self._wait_s = FIRST_WAIT_S
        return True


def _kept_key(path: Path) -> str:
    """Empty where none is kept that could be one."""
    try:
        state = json.loads(path.read_text())
    except (OSError, ValueError):
        return ""
    key = state.get("run") if isinstance(state, dict) else None
    return key if isinstance(key, str) and key.isalnum() else ""


def parameters_of(facts: Mapping[str, Any]) -> dict[str, object]:
    """Options and counts of the data, each by its name: `architecture.height`, `data.parts`."""
    flat: dict[str, object] = {}
    for name, value in facts["options"].items():
        if isinstance(value, Mapping):
            flat.update({f"{name}.{below}": one for below, one in value.items()})
        else:
            flat[name] = value
    for name, value in facts["data"].items():
        flat[f"data.{name}"] = json.dumps(value) if isinstance(value, dict | list) else value
    return flat


def tags_of(facts: Mapping[str, Any]) -> dict[str, str]:
    """What a run is told apart by, and where MLflow's pages look for the code."""
    return {
        "splitsight": str(facts["splitsight"]),
        "mlflow.source.name": "splitsight cloud train",
        "mlflow.source.type": "LOCAL",
        **({"mlflow.source.git.commit": facts["revision"]} if facts["revision"] else {}),
    }


def log_of(setting: str, folder: Path) -> ExperimentLog:
    """What `--experiments` asks for, of the training in a folder. Raises SettingsError."""
    place = place_of(setting, folder.parent / FOLDER)
    return MlflowLog(place, folder) if place else UnkeptLog()
