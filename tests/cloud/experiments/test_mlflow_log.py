"""What becomes of a training's record: in a folder, at a server, at one that is away."""

from __future__ import annotations

import json
import math
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from cloud.experiments.experiment_log import UnkeptLog
from cloud.experiments.mlflow_log import MlflowLog, log_of, parameters_of
from cloud.experiments.place import ExperimentPlace, place_of
from cloud.experiments.run_table import RunRow, row_of
from cloud.experiments.store import RunStore
from shared.errors import ExperimentError, SettingsError
from tests.support.mlflow_server import mlflow_server

FACTS: dict[str, Any] = {
    "name": "caps 1.0.0",
    "options": {"rate": 0.004, "architecture": {"height": 64, "width": 96}},
    "data": {"name": "caps", "hash": "ab" * 32, "parts": 50, "splits": {"train": 30, "test": 20}},
    "splitsight": "0.1.0",
    "revision": "c0ffee",
}


def curves(epochs: int) -> list[dict[str, float]]:
    return [
        {"epoch": n, "loss": 1 / n, "tail_auroc": 0.9, "kilobytes": 3.5}
        for n in range(1, epochs + 1)
    ]


def record(epochs: int) -> dict[str, Any]:
    return {
        **FACTS,
        "bundle": "b" * 16,
        "pair": "p" * 16,
        "metrics": {"calibrate_edge_auroc": 0.8, "calibrate_cloud_auroc": 0.95},
        "curves": curves(epochs),
    }


def only(place: ExperimentPlace) -> RunRow:
    (run,) = RunStore(place).runs()
    return row_of(run)


def steps(place: ExperimentPlace) -> list[int]:
    store = RunStore(place)
    (run,) = store.runs()
    return [one.step for one in store._client.get_metric_history(run.info.run_id, "loss")]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "record.json").write_text(json.dumps(record(3)))
    return folder


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow without a run, which takes it seconds to make."""
    folder = tmp_path_factory.mktemp("tables")
    RunStore(ExperimentPlace(folder=folder), "another experiment")
    return folder / "mlflow.db"


@pytest.fixture
def place(tmp_path: Path, tables: Path) -> ExperimentPlace:
    folder = tmp_path / "experiments"
    folder.mkdir()
    shutil.copy(tables, folder)
    return ExperimentPlace(folder=folder)


class SteppedClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def taken_port() -> Iterator[int]:
    """A port on which connections are taken, and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield door.getsockname()[1]


def test_a_training_is_recorded_whole(run: Path, place: ExperimentPlace) -> None:
    log = MlflowLog(place, run)
    log.begin(FACTS, resumed=False)
    assert only(place).state == "running"
    for epochs in (1, 2, 3):
        log.learned(curves(epochs))
    log.end(record(3), [run / "record.json"])
    found = only(place)
    assert (found.state, found.name) == ("finished", "caps 1.0.0")
    assert found.options == {
        "rate": "0.004",
        "architecture.height": "64",
        "architecture.width": "96",
    }
    assert found.data["hash"] == "ab" * 32
    assert json.loads(found.data["splits"]) == {"train": 30, "test": 20}
    assert (found.edge_auroc, found.system_auroc, found.kilobytes) == (0.8, 0.95, 3.5)
    assert (found.bundle, found.pair) == ("b" * 16, "p" * 16)
    assert (found.splitsight, found.revision) == ("0.1.0", "c0ffee")
    assert steps(place) == [1, 2, 3]
    assert place.folder is not None
    kept = [path.name for path in (place.folder / "artefacts").rglob("*") if path.is_file()]
    assert kept == ["record.json"]


def test_a_resumed_training_goes_on_with_its_run(run: Path, place: ExperimentPlace) -> None:
    first = MlflowLog(place, run)
    first.begin(FACTS, resumed=False)
    first.learned(curves(1))
    # Killed here, an epoch later than its curves tell.
    again = MlflowLog(place, run)
    again.begin(FACTS, resumed=True)
    again.learned(curves(3))
    again.end(record(3), [])
    assert steps(place) == [1, 2, 3]
    assert only(place).state == "finished"


def test_a_training_begun_anew_in_a_folder_is_another_run(
    run: Path, place: ExperimentPlace
) -> None:
    for _ in range(2):
        MlflowLog(place, run).begin(FACTS, resumed=False)
    assert len(RunStore(place).runs()) == 2


@pytest.mark.parametrize(("stopped", "state"), [(True, "killed"), (False, "failed")])
def test_a_training_that_ends_without_a_bundle_is_marked_and_can_go_on(
    run: Path, place: ExperimentPlace, stopped: bool, state: str
) -> None:
    log = MlflowLog(place, run)
    log.begin(FACTS, resumed=False)
    log.fail(stopped=stopped)
    assert only(place).state == state
    MlflowLog(place, run).begin(FACTS, resumed=True)
    assert only(place).state == "running"


def test_a_server_that_is_away_is_said_once_tried_rarely_and_ends_nothing(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    clock = SteppedClock()
    log = MlflowLog(ExperimentPlace(server=f"http://127.0.0.1:{port}"), run, clock=clock)
    log.begin(FACTS, resumed=False)
    waits = []
    for minute in range(20):
        clock.now = 60.0 * minute
        before = log._next_try
        log.learned(curves(3))
        if log._next_try != before:
            waits.append(log._next_try - clock.now)
    log.end(record(3), [])
    assert waits == [120.0, 240.0, 480.0, 900.0]
    said = capsys.readouterr().err
    assert said.count("nothing answers there") == 1
    command = f"splitsight cloud runs upload {run} --experiments http://127.0.0.1:{port}"
    assert command in said.replace("\n", "")


def test_a_server_that_takes_connections_and_is_silent_costs_a_training_one_short_wait(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with taken_port() as port:
        log = MlflowLog(
            ExperimentPlace(server=f"http://127.0.0.1:{port}"), run, clock=SteppedClock()
        )
        log.begin(FACTS, resumed=False)
        log.learned(curves(1))
    assert "no answer within 1 s" in capsys.readouterr().err


@pytest.mark.process
def test_what_a_server_missed_is_sent_once_it_is_back(run: Path, tmp_path: Path) -> None:
    with mlflow_server(tmp_path / "server") as url:
        place, clock = ExperimentPlace(server=url), SteppedClock()
        log = MlflowLog(place, run, clock=clock)
        log.begin(FACTS, resumed=False)
        log.learned(curves(1))
    log.learned(curves(2))
    clock.now = 100.0
    with mlflow_server(tmp_path / "server", port=int(url.rpartition(":")[2])):
        log.learned(curves(3))
        log.end(record(3), [run / "record.json"])
        assert steps(place) == [1, 2, 3]
        assert only(place).state == "finished"
    assert [path.name for path in (tmp_path / "server").rglob("record.json")] == ["record.json"]


@pytest.mark.process
def test_a_training_whose_server_never_came_is_uploaded_afterwards_and_only_once(
    run: Path, tmp_path: Path
) -> None:
    with mlflow_server(tmp_path / "server") as url:
        place = ExperimentPlace(server=url)
        for _ in range(2):
            MlflowLog(place, run).upload(record(3), [run / "record.json"])
        assert steps(place) == [1, 2, 3]
        assert only(place).bundle == "b" * 16


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A web server that has one answer, at this URL."""

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, b"", "no MLflow server is there"),
        (401, b"", "MLFLOW_TRACKING_TOKEN"),
        (403, b"", "does not let you"),
        (500, b"", "it answers 500"),
        (200, b"<html>hello</html>", "can't be used"),
        (200, b"[]", "can't be used"),
    ],
)
def test_whatever_else_answers_there_ends_no_training(
    run: Path, capsys: pytest.CaptureFixture[str], status: int, body: bytes, said: str
) -> None:
    with answering(status, body) as url:
        log = MlflowLog(ExperimentPlace(server=url), run, clock=SteppedClock())
        log.begin(FACTS, resumed=False)
        log.end(record(1), [])
    assert said in capsys.readouterr().err.replace("\n", "")


def test_a_password_in_a_url_is_not_shown(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = place_of("http://me:s3cret-word@127.0.0.1:9", Path())
    assert place is not None
    log = MlflowLog(place, run)
    log.begin(FACTS, resumed=False)
    log.end(record(1), [])
    said = capsys.readouterr().err
    assert "127.0.0.1:9" in said
    assert "s3cret-word" not in said


@pytest.mark.parametrize("state", ["", "{", "[]", '{"run": 7}', '{"run": "a\'b"}'])
def test_a_damaged_key_begins_another_run(run: Path, place: ExperimentPlace, state: str) -> None:
    (run / "experiment.json").write_text(state)
    MlflowLog(place, run).begin(FACTS, resumed=True)
    assert only(place).state == "running"


def test_figures_of_a_training_that_diverged_are_kept(run: Path, place: ExperimentPlace) -> None:
    log = MlflowLog(place, run)
    log.begin(FACTS, resumed=False)
    log.learned([{"epoch": 1, "loss": math.nan, "bits": math.inf}])
    assert math.isnan(only(place).metrics["loss"])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "mlflow.db").write_text("no database " * 100), "not a database"),
        (lambda folder: (folder / "mlflow.db").mkdir(), "unable to open database file"),
    ],
)
def test_a_store_that_cannot_be_read_is_one_error_at_once(
    tmp_path: Path, spoil: Any, said: str
) -> None:
    spoil(tmp_path)
    with pytest.raises(ExperimentError, match=said):
        RunStore(ExperimentPlace(folder=tmp_path))


@pytest.mark.parametrize(
    ("setting", "wanted"),
    [
        ("off", None),
        ("mine", ExperimentPlace(folder=Path("mine"))),
        ("https://mlflow.plant/", ExperimentPlace(server="https://mlflow.plant")),
        ("", ExperimentPlace(folder=Path("beside"))),
    ],
)
def test_runs_are_kept_where_the_setting_says(setting: str, wanted: ExperimentPlace | None) -> None:
    assert place_of(setting, Path("beside")) == wanted


@pytest.mark.parametrize("setting", ["sqlite:///x.db", "ftp://x/y", "file:/tmp/x"])
def test_a_place_of_another_kind_is_refused(setting: str) -> None:
    with pytest.raises(SettingsError, match="can't be kept in"):
        place_of(setting, Path())


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(SettingsError, match="which is a file"):
        place_of(str(tmp_path / "runs"), Path())


def test_a_training_that_is_not_to_be_recorded_leaves_nothing(tmp_path: Path) -> None:
    assert isinstance(log_of("off", tmp_path / "run"), UnkeptLog)
    assert list(tmp_path.iterdir()) == []


def test_names_and_values_that_mlflow_refuses_are_fitted(run: Path, place: ExperimentPlace) -> None:
    kinds = {f"kind {n} <ä>": n for n in range(1000)}
    facts = {**FACTS, "data": {**FACTS["data"], "defects": kinds, "odd:name": "x" * 9000}}
    MlflowLog(place, run).begin(facts, resumed=False)
    found = only(place)
    assert len(found.data["defects"]) == len(found.data["odd_name"]) == 6000
    assert parameters_of(facts)["data.defects"] == json.dumps(kinds)
