"""What a collection from the line says of its pictures: whose they are, and who said what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cloud.disputes.lineage import LINEAGE, LineOrigin, LineOrigins
from cloud.disputes.opinion_agreement import opinion_agreement
from shared.errors import DataError


def said(number: int, inspector: str, verdict: str, **more: Any) -> dict[str, Any]:
    label = {"number": number, "inspector": inspector, "verdict": verdict, "kind": None}
    return {**label, "said_at": 1.0, "why": "", "stands": True, "undone_by": None, **more}


def collected(folder: Path, *labels: list[dict[str, Any]]) -> Path:
    """One picture for each list of labels, as `splitsight fleet collect` writes them."""
    what = {"what": "full", "sha256": "0", "at": 1.0, "received_at": 1.0}
    place = {"device": "box-1", "boot": "b1", "site": "plant", "line": "line-1", **what}
    rows = [
        {**place, "sequence": n, "part": n, "image": f"images/{n}.png", "labels": of_part}
        for n, of_part in enumerate(labels, start=1)
    ]
    (folder / LINEAGE).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_picture_off_the_line_is_known_by_its_inspection(tmp_path: Path) -> None:
    origins = LineOrigins.read(str(collected(tmp_path, [], [])))
    assert origins.of(tmp_path / "images" / "2.png") == LineOrigin("box-1", "b1", 2)
    assert origins.of(tmp_path / "images" / "3.png") is None


def test_the_manifest_of_a_collection_is_known_as_well_as_its_folder(tmp_path: Path) -> None:
    collected(tmp_path, [])
    assert LineOrigins.read(str(tmp_path / "manifest.csv")).known
    assert LineOrigins.read("elpv").known == {}


def test_what_was_said_last_and_not_taken_back_counts(tmp_path: Path) -> None:
    labels = [
        said(3, "ada", "reject"),
        said(1, "ada", "pass"),
        said(2, "li", "pass", undone_by="li"),
        said(4, "kim", "pass"),
    ]
    (part,) = LineOrigins.read(str(collected(tmp_path, labels))).opinions
    assert (part.place, part.verdicts) == ("plant / line-1", {"ada": "reject", "kim": "pass"})


def test_agreement_is_told_by_line_and_by_pair_of_inspectors(tmp_path: Path) -> None:
    both = [[said(1, "ada", word), said(2, "li", word)] for word in ("pass", "reject") * 10]
    differ = [said(1, "ada", "pass"), said(2, "li", "reject")]
    alone = [said(1, "kim", "pass")]
    origins = LineOrigins.read(str(collected(tmp_path, *both, differ, alone)))
    (row,) = opinion_agreement(origins.opinions)
    assert (row.line, row.inspectors, row.pairs, row.agreed) == (
        "plant / line-1",
        "ada, li",
        21,
        20,
    )
    assert row.kappa is not None
    assert row.low is not None
    assert row.high is not None
    assert row.low < row.kappa < row.high
    assert row.kappa == pytest.approx(1 - (1 / 21) / (1 - (11 * 10 + 10 * 11) / 21**2))


@pytest.mark.parametrize("line", ["{", "[]", '{"device": "box-1"}', "\x00", '{"sequence": "a"}'])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = collected(tmp_path, []) / LINEAGE
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=r"lineage\.jsonl:2: "):
        LineOrigins.read(str(tmp_path))
