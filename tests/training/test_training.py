"""From folders of pictures to a bundle, with a kill in between, by the commands of a user."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from cloud.training.assembly import golden_inputs
from cloud.training.readers import read
from cloud.training.trainer import Options, Trainer
from shared.bundle import Bundle
from shared.bundle_cli import verification
from shared.errors import TrainingError
from shared.splitnet.network import Architecture
from shared.splitnet.objective import Weights
from tests.shared.commands import ROOT, Ended, splitsight
from tests.training.makers import good_and_bad, part, save
from tests.training.test_numbers import REPORT, keys

EPOCHS = 4


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """As the commands below: how a sum is shared among threads changes its last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Trained(NamedTuple):
    """What one training left behind."""

    data: Path
    run: Path
    bundle: Path
    killed: int
    resumed: Ended


def command(data: Path, folder: Path, *more: str) -> list[str]:
    where = ["--data", data, "--out", folder / "bundle", "--run", folder / "run"]
    size = ["--height", "64", "--width", "64", "--epochs", EPOCHS, "--batch", "8"]
    return ["cloud", "train", *map(str, [*where, *size, "--threads", "1", *more])]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trained by the command line, killed after its first epoch, and resumed."""
    folder = tmp_path_factory.mktemp("training")
    data = good_and_bad(folder / "parts", 30, 20)
    with subprocess.Popen(
        [sys.executable, "-m", "shared", *command(data, folder)],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "400"},
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stderr is not None
        said = []
        for line in child.stderr:
            said.append(line)
            if line.startswith("epoch 1 "):
                child.send_signal(signal.SIGKILL)
                break
        child.stderr.read()
    assert child.returncode == -signal.SIGKILL, said
    resumed = splitsight(*command(data, folder, "--resume"))
    assert resumed.code == 0, resumed.stderr
    return Trained(data, folder / "run", folder / "bundle", child.returncode, resumed)


def record(trained: Trained) -> Any:
    return json.loads((trained.run / "record.json").read_text())


def without_time(curves: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in curves]


def test_a_killed_training_goes_on_as_if_nothing_had_happened(
    trained: Trained, tmp_path: Path
) -> None:
    assert f"resuming after epoch 1 of {EPOCHS}" in trained.resumed.stderr
    options = Options(
        architecture=Architecture(height=64, width=64, channels=1),
        weights=Weights(rate=0.01),
        epochs=EPOCHS,
    )
    trainer = Trainer(read(str(trained.data)), options, tmp_path / "whole")
    trainer.fit()
    wanted, found = without_time(trainer.curves), without_time(record(trained)["curves"])
    assert [row["epoch"] for row in found] == list(range(1, EPOCHS + 1))
    for one, other in zip(wanted, found, strict=True):
        assert other == pytest.approx(one, rel=1e-3)


def test_a_checkpoint_of_other_options_is_refused(trained: Trained) -> None:
    options = Options(architecture=Architecture(height=64, width=64), epochs=EPOCHS + 1)
    trainer = Trainer(read(str(trained.data)), options, trained.run)
    with pytest.raises(TrainingError, match="was made with other options"):
        trainer.resume()


def test_a_refinement_begins_where_the_earlier_run_ended(trained: Trained, tmp_path: Path) -> None:
    options = Options(architecture=Architecture(height=64, width=64), epochs=1, apart=0.0)
    earlier = torch.load(trained.run / "checkpoint.pt", weights_only=True)["average"]
    trainer = Trainer(read(str(trained.data)), options, tmp_path / "refined")
    trainer.start_from(trained.run)
    for name, weights in trainer.net.state_dict().items():
        assert torch.equal(weights, earlier[f"module.{name}"]), name


def test_a_refinement_of_another_division_would_leak_and_is_refused(
    trained: Trained, tmp_path: Path
) -> None:
    options = Options(architecture=Architecture(height=64, width=64), epochs=1)
    divided_anew = read(str(trained.data), seed=7)
    trainer = Trainer(divided_anew, options, tmp_path / "refined")
    with pytest.raises(TrainingError, match="another division"):
        trainer.start_from(trained.run)


def test_a_refinement_of_another_network_is_refused(trained: Trained, tmp_path: Path) -> None:
    options = Options(architecture=Architecture(height=64, width=64, bottleneck=8), epochs=1)
    trainer = Trainer(read(str(trained.data)), options, tmp_path / "refined")
    with pytest.raises(TrainingError, match="can't be started from"):
        trainer.start_from(trained.run)
    with pytest.raises(TrainingError, match="can't be started from"):
        trainer.start_from(tmp_path / "nowhere")


def test_an_earlier_checkpoint_is_not_overwritten_unasked(trained: Trained) -> None:
    before = (trained.run / "checkpoint.pt").stat().st_mtime_ns
    ended = splitsight(*command(trained.data, trained.run.parent))
    assert ended.code == 10
    assert "holds a checkpoint of an earlier training" in ended.stderr
    assert "add --resume" in ended.stderr
    assert (trained.run / "checkpoint.pt").stat().st_mtime_ns == before


def test_the_bundle_holds_on_every_backend(trained: Trained) -> None:
    rows = verification(Bundle.open(trained.bundle))
    assert not [row for row in rows if row["ok"] is False]
    checked = {row["check"] for row in rows if row["ok"]}
    assert "codec" in checked
    for backend in ("onnx", "openvino", "torch"):
        assert f"parity of tail.onnx on {backend}" in checked


def test_the_bundle_says_where_it_comes_from(trained: Trained) -> None:
    manifest = Bundle.open(trained.bundle).manifest
    dataset = read(str(trained.data))
    assert manifest.name == "parts"
    assert manifest.classes == ["blot"]
    assert manifest.training.data_hash == dataset.content_hash()
    assert manifest.training.epochs == EPOCHS
    assert "EfficientNet-Lite0" in manifest.training.weights
    assert record(trained)["bundle"] == Bundle.open(trained.bundle).id
    assert "bundle show" in trained.resumed.stdout


def test_the_written_splits_divide_the_set_in_the_same_way_again(trained: Trained) -> None:
    again, first = read(str(trained.run / "splits.csv")), read(str(trained.data))
    assert again.samples == first.samples
    assert again.content_hash() == first.content_hash()


def test_evaluation_prints_one_json_report_alone(trained: Trained) -> None:
    ended = splitsight(
        *("cloud", "evaluate", "--bundle", trained.bundle, "--data", trained.data),
        *("--runtime", "onnx", "--format", "json"),
    )
    assert (ended.code, ended.stderr.count("error")) == (0, 0)
    told = json.loads(ended.stdout)
    assert keys(told) >= REPORT
    assert told["n_images"] == told["n_parts"] == len(read(str(trained.data)).of("test").samples)
    for rate in ("escape_rate", "overkill_rate", "escalation_rate"):
        assert 0 <= told["system"][rate] <= 1
    assert told["system"]["bytes_per_part"] <= told["system"]["bytes_per_escalation_p50"] * 2


def test_evaluating_a_split_that_does_not_exist_is_told(trained: Trained) -> None:
    ended = splitsight(
        "cloud", "evaluate", "--bundle", trained.bundle, "--data", trained.data, "--split", "tset"
    )
    assert ended.code == 10
    assert "there is no split 'tset'" in ended.stderr


@pytest.mark.parametrize(
    ("more", "said"), [(["--name", "my parts"], "can't be named"), (["--version", "x"], "'x'")]
)
def test_a_name_that_no_bundle_can_have_is_told_before_training(
    trained: Trained, tmp_path: Path, more: list[str], said: str
) -> None:
    ended = splitsight(*command(trained.data, tmp_path, *more))
    assert ended.code == 10
    assert said in ended.stderr
    assert not (tmp_path / "run").exists()


def test_parts_of_one_kind_alone_cannot_be_trained_on(tmp_path: Path) -> None:
    rows = ["image,defect,part,split"]
    for number, (kind, split) in enumerate(
        [("good", "train"), ("good", "train"), ("good", "calibrate"), ("crack", "calibrate")]
    ):
        save(tmp_path / f"{number}.png", part(number))
        rows.append(f"{number}.png,{kind},{number},{split}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    with pytest.raises(TrainingError, match=r"the train parts of .* are all good"):
        Trainer(read(str(tmp_path)), Options(), tmp_path / "run")


@pytest.mark.parametrize("shape", [(1, 64, 64), (3, 96, 64)])
def test_golden_inputs_belong_to_nobody_and_never_change(shape: tuple[int, int, int]) -> None:
    inputs = golden_inputs(shape)
    assert inputs.shape[1:] == shape
    assert (inputs == golden_inputs(shape)).all()
    assert len({one.tobytes() for one in inputs}) == len(inputs)
    assert all(one.std() > 5 for one in inputs)
