"""DAGM 2007, as published."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud.datasets.readers.industrial.dagm import DagmReader
from tests.cloud.datasets.makers import part, save
from tests.cloud.datasets.readers.reading import marked, read_with, save_mask

LABELS = "1\n576\t0\t0576.PNG\t0\t0\n577\t1\t0577.PNG\t1\t0577_label.PNG\n"


@pytest.fixture
def dagm(tmp_path: Path) -> Path:
    """Two classes, each with one good and one defective picture in Train and Test."""
    for texture in ("Class1", "Class2"):
        for split in ("Train", "Test"):
            folder = tmp_path / texture / split
            save(folder / "0576.PNG", part(1))
            save(folder / "0577.PNG", part(2))
            save_mask(folder / "Label" / "0577_label.PNG")
            (folder / "Label" / "Labels.txt").write_text(LABELS)
    return tmp_path


def test_each_class_is_a_domain_with_a_defect_of_its_own(dagm: Path) -> None:
    found = read_with(DagmReader(), dagm)
    assert found.kinds["Class1/Train/0576.PNG"] == "good"
    assert found.kinds["Class2/Test/0577.PNG"] == "defect of Class2"
    assert found.of("Class2/Test/0577.PNG").domain == "Class2"
    assert found.splits["Class2/Test/0577.PNG"] == "test"
    assert marked(found.of("Class1/Train/0577.PNG")) == 60
    assert found.account.counts() == {"labels": 4, "picture": 8, "mask": 4, "left out": 0}
    assert found.flaws == []


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (LABELS.replace("577\t1\t0577.PNG\t1\t0577_label.PNG\n", ""), "does not list 0577.PNG"),
        (
            LABELS.replace("1\t0577.PNG\t1\t0577_label.PNG", "0\t0577.PNG\t0\t0"),
            "Labels.txt:3: 0577.PNG is good, and there is a mask 0577_label.PNG",
        ),
        (
            LABELS.replace("0\t0576.PNG\t0\t0", "1\t0576.PNG\t1\t0576_label.PNG"),
            "Labels.txt:2: 0576.PNG is defective, and its mask 0576_label.PNG is not there",
        ),
        (LABELS + "what is this\n", "Labels.txt:4: 'what is this' is no line of"),
    ],
)
def test_lists_and_masks_that_contradict_each_other_are_flaws(
    dagm: Path, labels: str, said: str
) -> None:
    (dagm / "Class1" / "Train" / "Label" / "Labels.txt").write_text(labels)
    found = read_with(DagmReader(), dagm)
    assert len(found.flaws) == 1
    assert said in found.flaws[0]
