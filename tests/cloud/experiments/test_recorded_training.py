"""A training as its user records and looks at it, by the commands alone."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cloud.datasets.file_tree import OF_A_RUN, FileTree
from cloud.datasets.readers import read
from shared.bundles.bundle import Bundle
from tests.cloud.datasets.makers import good_and_bad
from tests.support.commands import Ended, ended_by, splitsight

pytestmark = [pytest.mark.torch, pytest.mark.process]

# Nothing listens there.
AWAY = "http://127.0.0.1:9"
EPOCHS = 4


class Recorded(NamedTuple):
    """A training that was killed while its server was away, and resumed with a folder."""

    folder: Path
    killed: str
    resumed: Ended

    @property
    def store(self) -> Path:
        return self.folder / "experiments"

    def runs(self, *more: str) -> Any:
        ended = splitsight("cloud", "runs", *more, "--experiments", self.store, "--format", "json")
        assert ended.code == 0, ended.stderr
        return json.loads(ended.stdout)


def command(folder: Path, *more: str) -> list[str]:
    where = ["--data", folder / "parts", "--out", folder / "bundle", "--run", folder / "run"]
    size = ["--height", "64", "--width", "64", "--threads", "1"]
    epochs = ["--epochs", "2", "--tail-epochs", "1", "--bottleneck-epochs", "1"]
    return ["cloud", "train", *map(str, [*where, *size, *epochs, *more])]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    folder = tmp_path_factory.mktemp("recorded")
    good_and_bad(folder / "parts", 30, 20)
    away = command(folder, "--experiments", AWAY)
    killed, code = ended_by(signal.SIGKILL, ["epoch 1 "], *away)
    assert code == -signal.SIGKILL, killed
    resumed = splitsight(*command(folder, "--experiments", str(folder / "experiments"), "--resume"))
    assert resumed.code == 0, resumed.stderr
    return Recorded(folder, killed, resumed)


def test_a_server_that_is_away_is_said_and_the_training_goes_on(recorded: Recorded) -> None:
    assert recorded.killed.count(f"the runs in {AWAY} can't be used (nothing answers there)") == 1
    assert "epoch 1 " in recorded.killed


def test_the_run_says_what_went_in_and_what_came_out(recorded: Recorded) -> None:
    (run,) = recorded.runs()
    bundle = Bundle.open(recorded.folder / "bundle")
    assert (run["bundle"], run["pair"]) == (bundle.id, bundle.manifest.pair)
    assert (run["name"], run["state"]) == ("parts 1.0.0", "finished")
    dataset = read(str(recorded.folder / "parts"))
    assert run["data"]["hash"] == dataset.content_hash()
    assert json.loads(run["data"]["defects"]) == dataset.summary()["defects"]
    assert run["options"]["architecture.height"] == "64"
    assert run["options"]["weights.rate"] == "0.008"
    assert run["system_auroc"] == bundle.manifest.training.metrics["calibrate_cloud_auroc"]
    assert run["metrics"]["epoch"] == EPOCHS
    assert run["kilobytes"] > 0


def test_what_is_kept_are_the_record_and_the_manifest_and_no_pictures(recorded: Recorded) -> None:
    kept = {path.name for path in recorded.store.rglob("*") if path.is_file()}
    assert kept == {"mlflow.db", "record.json", "manifest.json"}


def test_a_training_says_nothing_of_libraries(recorded: Recorded) -> None:
    for word in ("mlflow", "alembic", "INFO", "http"):
        assert word not in recorded.resumed.stderr + recorded.resumed.stdout


def test_one_run_is_shown_by_the_beginning_of_its_id(recorded: Recorded) -> None:
    (run,) = recorded.runs()
    assert recorded.runs("show", run["id"][:6]) == run
    ended = splitsight("cloud", "runs", "show", "zz", "--experiments", recorded.store)
    assert ended.code == 10
    assert "0 runs in" in ended.stderr


def test_a_training_can_be_uploaded_to_another_store(recorded: Recorded, tmp_path: Path) -> None:
    ended = splitsight(
        "cloud", "runs", "upload", recorded.folder / "run", "--experiments", tmp_path / "other"
    )
    assert ended.code == 0, ended.stderr
    there = Recorded(recorded.folder, "", recorded.resumed)._replace(folder=tmp_path)
    (tmp_path / "other").rename(there.store)
    (copy,) = there.runs()
    (run,) = recorded.runs()
    alike = ("bundle", "options", "data", "system_auroc")
    assert [copy[name] for name in alike] == [run[name] for name in alike]


def test_what_trainings_record_is_nothing_of_a_data_set(recorded: Recorded) -> None:
    tree = FileTree.of(recorded.folder)
    passed = {left.path.name: left.why for left in tree.passed_over}
    assert passed["mlflow.db"] == passed["record.json"] == OF_A_RUN
    assert not [path for path in tree.files if recorded.store in path.parents]


def test_a_store_that_is_not_there_is_named_in_one_error(tmp_path: Path) -> None:
    ended = splitsight("cloud", "runs", "--experiments", tmp_path / "nowhere")
    assert ended.code == 54
    assert "no runs are kept in" in ended.stderr
    assert not (tmp_path / "nowhere").exists()


def test_a_metric_that_no_run_has_is_refused_with_those_that_there_are(recorded: Recorded) -> None:
    ended = splitsight("cloud", "runs", "--sort", "beauty", "--experiments", recorded.store)
    assert ended.code == 10
    assert "'beauty'" in ended.stderr
    assert "tail_auroc" in ended.stderr
