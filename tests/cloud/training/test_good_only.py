"""From good parts alone to a bundle that runs as any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.datasets.fingerprints import known
from cloud.datasets.readers import read
from cloud.datasets.versions.desk import VersionDesk
from cloud.training.good_only import METHOD, good_gate
from cloud.training.model import HalfScores
from shared.bundles.bundle import Bundle
from shared.bundles.cli import verification
from shared.bundles.manifest import TRAINED, TUNED
from shared.contracts import Decision
from tests.cloud.datasets.makers import good_and_bad
from tests.support.commands import Ended, splitsight

pytestmark = pytest.mark.torch

GOOD, BAD = 44, 16


class Trained(NamedTuple):
    """What one training left behind."""

    data: Path
    bundle: Path
    said: Ended
    version: str


def command(data: Path, folder: Path, *more: str) -> list[str]:
    where = ["--data", data, "--out", folder / "bundle", "--run", folder / "run"]
    size = ["--height", "64", "--width", "64", "--threads", "1"]
    epochs = ["--epochs", "1", "--tail-epochs", "0", "--bottleneck-epochs", "1"]
    return ["cloud", "train", "--good-only", *map(str, [*where, *size, *epochs, *more])]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("good-only")
    data = good_and_bad(folder / "parts", GOOD, BAD)
    version, _ = VersionDesk(str(data)).record("as it came", "ada")
    said = splitsight(*command(data, folder))
    assert said.code == 0, said.stderr
    return Trained(data, folder / "bundle", said, version.id)


def test_defective_parts_are_left_out_and_said_to_be(trained: Trained) -> None:
    dataset = read(str(trained.data))
    learned = [*dataset.of("train").samples, *dataset.of("calibrate").samples]
    bad = [s.image for s in learned if s.defective]
    good = [s.image for s in learned if not s.defective]
    assert f"{len(bad)} defective or doubtful pictures" in trained.said.stderr
    bundle = Bundle.open(trained.bundle)
    seen = bundle.read(TRAINED) + bundle.read(TUNED)
    assert not known(bad, seen).any()
    assert known(good, seen).all()


def test_the_bundle_says_how_it_learned_and_promises_nothing(trained: Trained) -> None:
    manifest = Bundle.open(trained.bundle).manifest
    assert manifest.training.options["method"] == METHOD
    assert manifest.classes == []
    assert manifest.certificate is None
    assert manifest.training.data_hash == read(str(trained.data)).content_hash()
    assert set(manifest.training.metrics) >= {"painted_edge_auroc", "edge_threshold"}


def test_the_bundle_names_the_version_of_the_data_that_it_was_trained_on(trained: Trained) -> None:
    assert f"data: version {trained.version}: as it came" in trained.said.stderr
    assert Bundle.open(trained.bundle).manifest.training.data_version == trained.version
    shown = splitsight("bundle", "show", str(trained.bundle))
    assert f"version {trained.version}," in shown.stdout
    record = json.loads((trained.bundle.with_name("run") / "record.json").read_text())
    assert record["data"]["version"] == trained.version


def test_the_bundle_runs_on_every_backend(trained: Trained) -> None:
    rows = verification(Bundle.open(trained.bundle))
    # So short a training leaves symbols between two steps, which float and int8 round apart.
    rows = [row for row in rows if "head_float" not in str(row["check"])]
    assert not [row for row in rows if row["ok"] is False]
    checked = {row["check"] for row in rows if row["ok"]}
    for backend in ("onnx", "openvino"):
        assert f"parity of head.onnx on {backend}" in checked
    for backend in ("onnx", "openvino", "torch"):
        assert f"parity of tail.onnx on {backend}" in checked


def test_defects_that_were_never_shown_are_found(trained: Trained) -> None:
    ended = splitsight(
        *("cloud", "evaluate", "--bundle", trained.bundle, "--data", trained.data),
        *("--runtime", "onnx", "--format", "json"),
    )
    assert ended.code == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["edge"]["auroc"] > 0.9


@pytest.mark.parametrize("option", ["--teacher", "--start-from"])
def test_another_training_is_not_followed_or_refined(tmp_path: Path, option: str) -> None:
    ended = splitsight(*command(tmp_path / "parts", tmp_path, option, "other"))
    assert ended.code == 10
    assert "which may have seen defects" in ended.stderr


probabilities = st.lists(st.floats(0.001, 0.999), min_size=20, max_size=60, unique=True)


@settings(max_examples=60, deadline=None)
@given(edge=probabilities, seed=st.integers(0, 100), weight=st.sampled_from([0.25, 0.5, 1.0]))
def test_a_gate_from_good_parts_passes_most_and_rejects_none_of_them(
    edge: list[float], seed: int, weight: float
) -> None:
    tail = np.random.default_rng(seed).uniform(0.01, 0.99, len(edge))
    gate = good_gate(HalfScores(np.array(edge), tail), weight)
    decided = [gate.decide(score) for score in edge]
    assert 0.7 <= decided.count(Decision.PASS) / len(edge) <= 0.85
    assert decided.count(Decision.REJECT) == 0
    concluded = [
        gate.conclude(gate.cloud_score(head, deep))
        for head, deep in zip(edge, tail.tolist(), strict=True)
    ]
    assert concluded.count("pass") / len(edge) >= 0.9
    assert gate.tail_weight == weight
