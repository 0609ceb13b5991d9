"""A store of runs: MLflow's database in a folder, or its server."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud.experiments.experiment_log import Row
from cloud.experiments.place import DATABASE, ExperimentPlace
from shared import command_options as option
from shared.errors import ExperimentError

if TYPE_CHECKING:
    from mlflow.entities import Run

NAME = "MLFLOW_EXPERIMENT_NAME"
USUAL_NAME = "splitsight"
KEY = "splitsight.run"
# One request, not MLflow's seven with up to two minutes each: a training waits for it.
PATIENCE = "MLFLOW_HTTP_REQUEST_TIMEOUT"
_CLIENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    PATIENCE: "10",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
MOST_AT_ONCE = 1000
MOST_VALUE = 6000
MOST_RUNS = 10_000


class RunStore:
    """Runs of one experiment of MLflow.

    name    the experiment's; what `MLFLOW_EXPERIMENT_NAME` says, or `splitsight`, unless given
    Everything raises ExperimentError where the store can't be used; MissingExtra without the
    extra `experiments`.
    """

    def __init__(self, place: ExperimentPlace, name: str = "") -> None:
        for variable, value in _CLIENT.items():
            os.environ.setdefault(variable, value)
        with option.needs_extra("experiments"):
            from mlflow import MlflowClient  # noqa: PLC0415 - two seconds
        logging.getLogger("alembic").setLevel(logging.WARNING)
        self.place = place
        with self._speaking():
            if place.folder:
                place.folder.mkdir(parents=True, exist_ok=True)
                want_database(place.folder / DATABASE)
            self._client = MlflowClient(tracking_uri=place.uri)
            self._experiment = self._named(name or os.environ.get(NAME, USUAL_NAME))

    def _named(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        return self._client.create_experiment(name, self.place.artefacts)

    def runs(self) -> list[Run]:
        """All that are kept, the newest first."""
        with self._speaking():
            return list(self._client.search_runs([self._experiment], max_results=MOST_RUNS))

    def find(self, key: str) -> Run | None:
        """The run that a training has begun under this key."""
        with self._speaking():
            chosen = f"tags.`{KEY}` = '{key}'"
            return next(iter(self._client.search_runs([self._experiment], chosen)), None)

    def begin(self, key: str, name: str, tags: Mapping[str, str]) -> str:
        """A new run's id."""
        with self._speaking():
            run = self._client.create_run(
                self._experiment, tags={KEY: key, **_texts(tags)}, run_name=name
            )
            return str(run.info.run_id)

    def go_on(self, run: str) -> None:
        """It is running again."""
        with self._speaking():
            self._client.update_run(run, status="RUNNING")

    def describe(self, run: str, parameters: Mapping[str, object]) -> None:
        """Parameters, which can't be changed afterwards; the same again is no change."""
        from mlflow.entities import Param  # noqa: PLC0415

        params = [Param(name, value) for name, value in _texts(parameters).items()]
        with self._speaking():
            for start in range(0, len(params), 100):
                self._client.log_batch(run, params=params[start : start + 100])

    def last_epoch(self, run: str) -> int:
        """Of the curves that are kept; 0 where there are none."""
        with self._speaking():
            return max(
                (one.step for one in self._client.get_metric_history(run, "epoch")), default=0
            )

    def draw(self, run: str, rows: Sequence[Row], at: float) -> None:
        """Curves of epochs.

        at   UTC seconds
        """
        from mlflow.entities import Metric  # noqa: PLC0415

        points = [
            Metric(name, float(value), int(at * 1000), int(row["epoch"]))
            for row in rows
            for name, value in row.items()
        ]
        with self._speaking():
            for start in range(0, len(points), MOST_AT_ONCE):
                self._client.log_batch(run, metrics=points[start : start + MOST_AT_ONCE])

    def keep(self, run: str, file: Path) -> None:
        """A copy of a file."""
        with self._speaking():
            self._client.log_artifact(run, str(file))

    def end(self, run: str, status: str, tags: Mapping[str, str], metrics: Row, at: float) -> None:
        """How it ended.

        status   FINISHED, FAILED or KILLED
        at       UTC seconds
        """
        from mlflow.entities import Metric, RunTag  # noqa: PLC0415

        figures = [Metric(name, value, int(at * 1000), 0) for name, value in metrics.items()]
        with self._speaking():
            self._client.log_batch(run, figures, tags=[RunTag(*one) for one in tags.items()])
            self._client.set_terminated(run, status, int(at * 1000))

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise ExperimentError(
                f"the runs in {self.place} can't be used ({_reason(error)})",
                fix="see that it is there and yours to write, or give another --experiments",
            ) from error


def want_database(path: Path) -> None:
    """Raises sqlite3.Error at once; MLflow tries to open a file for 100 seconds."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA schema_version").fetchone()


def _texts(values: Mapping[str, object]) -> dict[str, str]:
    """As MLflow takes names and values."""
    return {
        re.sub(r"[^\w./ -]", "_", name)[:250]: str(value)[:MOST_VALUE]
        for name, value in values.items()
    }


def _reason(error: BaseException) -> str:
    """The few words of it that help a person."""
    from requests import ConnectionError as Unreachable  # noqa: PLC0415
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    step: BaseException | None = error
    while step is not None:
        if isinstance(step, Unreachable):
            # Which of both it was stands in its text alone.
            if "timed out" in str(step):
                return f"no answer within {os.environ[PATIENCE]} s"
            return "nothing answers there"
        if isinstance(step, DBAPIError):
            return str(step.orig)
        step = step.__cause__ or step.__context__
    if status := re.search(r"(?:error code|too many) (\d{3})", str(error)):
        return _ANSWERS.get(status[1], f"it answers {status[1]}")
    lines: list[Any] = str(error).splitlines() or [type(error).__name__]
    return str(lines[0])[:200]


_ANSWERS = {
    "401": "it wants to know who you are: set MLFLOW_TRACKING_TOKEN, or _USERNAME and _PASSWORD",
    "403": "it does not let you: see MLFLOW_TRACKING_TOKEN, _USERNAME and _PASSWORD",
    "404": "it answers 404: no MLflow server is there",
}
