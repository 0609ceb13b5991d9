"""Float beside int8, and backend beside backend."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from cloud.datasets.dataset import Dataset
from cloud.evaluation.agreement import AgreementRow, compare
from shared.bundles.bundle import Bundle, write_bundle
from shared.bundles.manifest import HEAD, REQUIRED
from shared.errors import TrainingError
from tests.bundles import BAD, GOOD, MIDDLE, UNSURE_BAD, UNSURE_GOOD, make_bundle, picture
from tests.cloud.datasets.makers import sample, save
from tests.support.commands import splitsight


def four_parts(folder: Path) -> Dataset:
    """A part for each of the gate's answers."""
    samples = []
    for number, shade in enumerate((GOOD, UNSURE_GOOD, UNSURE_BAD, BAD)):
        image = save(folder / f"{number}.png", picture(shade))
        target = float(shade >= UNSURE_BAD)
        samples.append(sample(image, part=str(number), split="test", target=target))
    return Dataset("four", "none", tuple(samples))


def with_another_head(bundle: Bundle, folder: Path) -> Bundle:
    """The same bundle, but its int8 head takes every picture for a brighter one."""
    files = {name: bundle.read(name) for name in REQUIRED}
    model = onnx.load_from_string(files[HEAD])
    middle = next(tensor for tensor in model.graph.initializer if tensor.name == "middle")
    middle.CopyFrom(numpy_helper.from_array(np.array(MIDDLE - 40, np.float32), "middle"))
    files[HEAD] = model.SerializeToString()
    manifest = bundle.manifest.model_dump(mode="json", exclude={"files"})
    return write_bundle(folder / "other", manifest, files)


def rows(bundle: Bundle, dataset: Dataset) -> dict[tuple[str, str], AgreementRow]:
    return {(row.head, row.beside): row for row in compare(bundle, dataset, None)}


def test_equal_heads_decide_alike_everywhere(tmp_path: Path) -> None:
    found = rows(make_bundle(tmp_path / "b"), four_parts(tmp_path))
    assert set(found) == {
        ("onnx int8", "openvino int8"),
        ("onnx int8", "onnx float32"),
        ("openvino int8", "openvino float32"),
    }
    for row in found.values():
        assert row.ok
        assert (row.pictures, row.same) == (4, 1.0)
        assert row.max_delta < 1e-3
        assert row.auroc == row.beside_auroc == 1.0


def test_an_int8_head_that_decides_otherwise_is_told(tmp_path: Path) -> None:
    bundle = with_another_head(make_bundle(tmp_path / "b"), tmp_path)
    found = rows(bundle, four_parts(tmp_path))
    assert found["onnx int8", "openvino int8"].ok
    worse = found["onnx int8", "onnx float32"]
    assert not worse.ok
    assert worse.same < 1
    assert worse.max_delta > 0.1


@pytest.mark.process
def test_the_command_fails_where_a_comparison_falls_short(tmp_path: Path) -> None:
    four = four_parts(tmp_path)
    table = ["image,defect,part,split"]
    table += [f"{s.image},{s.defect},{s.part},test" for s in four.samples]
    (tmp_path / "parts.csv").write_text("\n".join(table))
    good = make_bundle(tmp_path / "b")
    ask = ("cloud", "parity", "--data", tmp_path / "parts.csv", "--format", "json", "--bundle")
    fine = splitsight(*ask, good.path)
    assert fine.code == 0, fine.stderr
    assert {row["ok"] for row in json.loads(fine.stdout)} == {True}
    ended = splitsight(*ask, with_another_head(good, tmp_path).path)
    assert ended.code == 61
    assert "2 of 3 comparisons fall short" in ended.stderr
    assert [row["ok"] for row in json.loads(ended.stdout)] == [True, False, False]


@pytest.mark.torch
def test_a_run_of_another_bundle_is_refused(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b")
    run = tmp_path / "run"
    run.mkdir()
    with pytest.raises(TrainingError, match=r"no record\.json that can be read"):
        compare(bundle, four_parts(tmp_path), run)
    (run / "record.json").write_text(json.dumps({"pair": "0" * 16}))
    with pytest.raises(Exception, match="made the pair 0000000000000000"):
        compare(bundle, replace(four_parts(tmp_path)), run)
