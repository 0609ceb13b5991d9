"""From folders of pictures to a bundle, with a kill in between, by the commands of a user."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from cloud.datasets.dataset import SPLITS
from cloud.datasets.fingerprints import fingerprints, known
from cloud.datasets.readers import read
from cloud.training.checkpoint import trained_net
from cloud.training.options import Options
from cloud.training.record import write_splits
from cloud.training.teacher import Teacher
from cloud.training.trainer import Trainer
from shared.bundles.bundle import Bundle
from shared.bundles.cli import verification
from shared.bundles.golden import golden_inputs
from shared.bundles.manifest import TRAINED, TUNED
from shared.errors import TrainingError
from shared.federation.base_network import BaseNetwork
from shared.runtime.base import open_runtime
from shared.splitnet.base_network import restore
from shared.splitnet.network import Architecture
from tests.cloud.datasets.makers import good_and_bad, part, save
from tests.cloud.evaluation.test_evaluation import REPORT, keys
from tests.support.commands import Ended, ended_by, splitsight

# One thread, as the commands below: how a sum is shared changes its last digits.
pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

EPOCHS = 2
ALL = 3 * EPOCHS


class Trained(NamedTuple):
    """What one training left behind."""

    data: Path
    run: Path
    bundle: Path
    resumed: Ended


def command(data: Path, folder: Path, *more: str) -> list[str]:
    where = ["--data", data, "--out", folder / "bundle", "--run", folder / "run"]
    size = ["--height", "64", "--width", "64", "--batch", "8"]
    length = ["--epochs", EPOCHS, "--tail-epochs", EPOCHS, "--bottleneck-epochs", EPOCHS]
    return ["cloud", "train", *map(str, [*where, *size, *length, "--threads", "1", *more])]


def tiny(**more: Any) -> Options:
    """As the command's."""
    usual = {"epochs": EPOCHS, "tail_epochs": EPOCHS, "bottleneck_epochs": EPOCHS}
    return Options(architecture=Architecture(height=64, width=64), **{**usual, **more})


def killed(line_start: str, *arguments: str) -> None:
    """Run the command until it says so, and kill it."""
    said, code = ended_by(signal.SIGKILL, [line_start], *arguments)
    assert code == -signal.SIGKILL, said


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trained by the command line, killed once in each stage, and resumed."""
    folder = tmp_path_factory.mktemp("training")
    data = good_and_bad(folder / "parts", 30, 20)
    killed("epoch 1 ", *command(data, folder))
    for stage in (1, 2):
        killed(f"epoch {stage * EPOCHS + 1} ", *command(data, folder, "--resume"))
    resumed = splitsight(*command(data, folder, "--resume"))
    assert resumed.code == 0, resumed.stderr
    return Trained(data, folder / "run", folder / "bundle", resumed)


def record(trained: Trained) -> Any:
    return json.loads((trained.run / "record.json").read_text())


def without_time(curves: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in curves]


def test_a_killed_training_goes_on_as_if_nothing_had_happened(
    trained: Trained, tmp_path: Path
) -> None:
    assert f"resuming after epoch {2 * EPOCHS + 1} of {ALL}" in trained.resumed.stderr
    trainer = Trainer(read(str(trained.data)), tiny(), tmp_path / "whole")
    trainer.fit()
    wanted, found = without_time(trainer.curves), without_time(record(trained)["curves"])
    assert [row["epoch"] for row in found] == list(range(1, ALL + 1))
    for one, other in zip(wanted, found, strict=True):
        assert other == pytest.approx(one, rel=1e-6)


def test_a_checkpoint_of_other_options_is_refused(trained: Trained) -> None:
    trainer = Trainer(read(str(trained.data)), tiny(epochs=EPOCHS + 1), trained.run)
    with pytest.raises(TrainingError, match="was made with other options"):
        trainer.resume()


def test_a_checkpoint_of_other_data_is_refused(trained: Trained) -> None:
    trainer = Trainer(read(str(trained.data), seed=7), tiny(), trained.run)
    with pytest.raises(TrainingError, match="other pictures, labels or splits"):
        trainer.resume()


def test_later_stages_leave_the_edge_as_the_first_left_it(trained: Trained) -> None:
    rows = record(trained)["curves"]
    scores = [row["edge_auroc"] for row in rows[EPOCHS - 1 :]]
    assert scores == [scores[0]] * (2 * EPOCHS + 1)
    assert [row["kilobytes"] > 0 for row in rows] == [False] * 2 * EPOCHS + [True] * EPOCHS


def test_the_pixel_model_is_written_beside_the_run(trained: Trained) -> None:
    runtime = open_runtime("onnx", (trained.run / "pixels.onnx").read_bytes())
    defect_map, score = runtime.run(golden_inputs((1, 64, 64)))
    assert defect_map.shape[1:] == (1, 8, 8)
    assert len(score) == len(defect_map)


def test_a_refinement_begins_where_the_earlier_run_ended(trained: Trained, tmp_path: Path) -> None:
    earlier = torch.load(trained.run / "checkpoint.pt", weights_only=True)["average"]
    trainer = Trainer(read(str(trained.data)), tiny(apart=0.0), tmp_path / "refined")
    trainer.start_from(trained.run)
    assert (trainer.epoch, trainer.on_pixels) == (2 * EPOCHS, False)
    for name, weights in trainer.net.state_dict().items():
        assert torch.equal(weights, earlier[f"module.{name}"]), name


def test_the_last_stage_teaches_encoder_and_decoder_alone(trained: Trained, tmp_path: Path) -> None:
    options = tiny(apart=0.0, bottleneck_epochs=1)
    trainer = Trainer(read(str(trained.data)), options, tmp_path / "refined")
    trainer.start_from(trained.run)
    before = {name: weights.clone() for name, weights in trainer.net.state_dict().items()}
    trainer.fit()
    changed = {
        name
        for name, weights in trainer.net.state_dict().items()
        if not torch.equal(weights, before[name])
    }
    learning = ("head.encoder", "entropy.", "tail.decoder.")
    assert {name for name in before if name.startswith(learning)} >= changed
    assert all(any(name.startswith(part) for name in changed) for part in learning)


def test_a_refinement_of_another_division_would_leak_and_is_refused(
    trained: Trained, tmp_path: Path
) -> None:
    divided_anew = read(str(trained.data), seed=7)
    trainer = Trainer(divided_anew, tiny(), tmp_path / "refined")
    with pytest.raises(TrainingError, match="another division"):
        trainer.start_from(trained.run)


def test_a_refinement_of_another_network_is_refused(trained: Trained, tmp_path: Path) -> None:
    other = replace(tiny(), architecture=Architecture(height=64, width=64, bottleneck=8))
    trainer = Trainer(read(str(trained.data)), other, tmp_path / "refined")
    with pytest.raises(TrainingError, match="can't be started from"):
        trainer.start_from(trained.run)
    with pytest.raises(TrainingError, match="can't be read"):
        trainer.start_from(tmp_path / "nowhere")


def test_a_teacher_is_followed_at_its_own_size(trained: Trained, tmp_path: Path) -> None:
    dataset = read(str(trained.data))
    small = replace(
        tiny(epochs=1, tail_epochs=1, bottleneck_epochs=1),
        architecture=Architecture(height=32, width=32),
    )
    curves: list[list[dict[str, float]]] = []
    for teacher in ("", str(trained.run)):
        trainer = Trainer(dataset, replace(small, teacher=teacher), tmp_path / f"run{len(curves)}")
        trainer.fit()
        curves.append(without_time(trainer.curves))
    assert curves[0] != curves[1]
    guide = Teacher(trained.run, dataset).judge(torch.zeros(2, 1, 32, 32), (4, 4))
    assert guide.map.shape == (2, 1, 4, 4)


def test_a_teacher_that_cannot_teach_is_refused(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="another division"):
        Teacher(trained.run, read(str(trained.data), seed=7))
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    (unfinished / "record.json").write_text((trained.run / "record.json").read_text())
    with pytest.raises(TrainingError, match="can't be read"):
        Teacher(unfinished, read(str(trained.data)))


def test_the_first_stage_ends_where_it_gains_nothing(trained: Trained, tmp_path: Path) -> None:
    impatient = tiny(epochs=12, tail_epochs=0, bottleneck_epochs=1, patience=1)
    trainer = Trainer(read(str(trained.data)), impatient, tmp_path / "run")
    trainer.fit()
    on_pixels = [row for row in trainer.curves if row["kilobytes"] == 0]
    gains = [row["edge_auroc"] + row["tail_auroc"] for row in on_pixels]
    assert len(on_pixels) < 12
    assert max(gains) == gains[-2]
    assert trainer.curves[-1]["edge_auroc"] == on_pixels[-2]["edge_auroc"]


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
    assert manifest.training.epochs == ALL
    assert "EfficientNet-Lite0" in manifest.training.weights
    assert record(trained)["bundle"] == Bundle.open(trained.bundle).id
    assert "bundle show" in trained.resumed.stdout


def test_the_bundle_lists_the_pictures_that_it_has_seen(trained: Trained) -> None:
    bundle, dataset = Bundle.open(trained.bundle), read(str(trained.data))
    images = {split: [s.image for s in dataset.of(split).samples] for split in SPLITS}
    assert bundle.read(TRAINED) == fingerprints(images["train"])
    assert bundle.read(TUNED) == fingerprints(images["calibrate"])
    assert not known(images["test"], bundle.read(TRAINED) + bundle.read(TUNED)).any()


def test_the_written_splits_divide_the_set_in_the_same_way_again(trained: Trained) -> None:
    again, first = read(str(trained.run / "splits.csv")), read(str(trained.data))
    assert again.samples == first.samples
    assert again.content_hash() == first.content_hash()


def test_the_written_splits_say_lot_and_line(trained: Trained, tmp_path: Path) -> None:
    dataset = read(str(trained.data))
    placed = replace(
        dataset, samples=tuple(replace(one, lot="L1", line="2") for one in dataset.samples)
    )
    again = read(str(write_splits(tmp_path, placed)))
    assert {(one.lot, one.line) for one in again.samples} == {("L1", "2")}


def test_a_training_becomes_the_base_of_federated_rounds(trained: Trained, tmp_path: Path) -> None:
    target = tmp_path / "base.npz"
    command = ("cloud", "base", "--run", trained.run, "--out", target, "--format", "json")
    ended = splitsight(*command)
    assert ended.code == 0, ended.stderr
    base = BaseNetwork.read(target)
    assert json.loads(ended.stdout) == {"file": str(target), "sha256": base.sha256}
    wanted = trained_net(trained.run).state_dict()
    found = restore(base).state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_evaluation_prints_one_json_report_alone(trained: Trained) -> None:
    ended = splitsight(
        *("cloud", "evaluate", "--bundle", trained.bundle, "--data", trained.data),
        *("--pixels", trained.run / "pixels.onnx", "--runtime", "onnx", "--format", "json"),
    )
    assert (ended.code, ended.stderr.count("error")) == (0, 0)
    told = json.loads(ended.stdout)
    assert keys(told) >= REPORT
    assert told["n_images"] == told["n_parts"] == len(read(str(trained.data)).of("test").samples)
    assert 0 <= told["rates"]["pictures"]["auroc"] <= 1
    for rate in ("escape_rate", "overkill_rate", "escalation_rate"):
        assert 0 <= told["system"][rate] <= 1
    assert told["system"]["bytes_per_part"] <= 2 * (told["system"]["bytes_per_escalation_p50"] or 0)


def test_evaluating_a_split_that_does_not_exist_is_told(trained: Trained) -> None:
    ended = splitsight(
        "cloud", "evaluate", "--bundle", trained.bundle, "--data", trained.data, "--split", "tset"
    )
    assert ended.code == 10
    assert "there is no split 'tset'" in ended.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [(["--name", "my parts"], "can't be named"), (["--release-version", "x"], "'x'")],
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
