from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from cloud.datasets.elpv_wheel import SolarCell
from cloud.records.database import Database
from cloud.records.store import RecordStore
from hardware_sim.demo.cells import Lane
from hardware_sim.demo.cli import described
from hardware_sim.demo.summary import DemoPromise, VerdictCounts, promised, summarise
from shared.bundles.bundle import Bundle
from tests.cloud.makers import inspection, label
from tests.support.documented import ROOT

PROMISE = DemoPromise(escape=0.1, false_reject=0.05, confidence=0.9)
# Who decided, how, and whether the part is defective.
PARTS = [
    ("edge", "pass", False),
    ("edge", "pass", True),
    ("edge", "reject", True),
    ("cloud", "reject", False),
    ("cloud", "review", True),
    ("cloud", "review", False),
    ("deadline", "reject", False),
    ("deadline", "reject", True),
]


@pytest.fixture
def lane(tmp_path: Path) -> Lane:
    cells = [
        SolarCell(tmp_path / f"{n}.png", float(bad), "mono") for n, (*_, bad) in enumerate(PARTS, 1)
    ]
    return Lane("box-1", "line-1", tuple(cells))


@pytest.fixture
def store(tmp_path: Path) -> RecordStore:
    database = Database(url(tmp_path))
    database.migrate()
    made = RecordStore(database)
    made.save(
        [
            inspection(part, decided_by=who, verdict=verdict, escalated_bytes=0)
            for part, (who, verdict, _) in enumerate(PARTS, 1)
        ]
    )
    return made


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'records.db'}"


@pytest.mark.parametrize("settled", [False, True])
def test_what_a_person_looks_at_is_neither_passed_nor_rejected(
    tmp_path: Path, lane: Lane, store: RecordStore, *, settled: bool
) -> None:
    if settled:
        # Somebody watches the demo's page and labels: that is not what the line did.
        store.label(label(5, verdict="pass"))
        store.label(label(7, verdict="pass"))
    found = summarise(url(tmp_path), [lane], {"box-1": 8}, 1.0)
    assert found.verdicts.cloud == VerdictCounts(passed=0, reject=1, review=2)
    assert found.verdicts.deadline == VerdictCounts(reject=2)
    assert found.reviewed == 4
    assert (found.escapes, found.overkill, found.defects) == (1, 1, 4)
    assert found.promise is None


def test_the_printed_summary_says_what_was_promised_beside_what_escaped(
    tmp_path: Path, lane: Lane, store: RecordStore
) -> None:
    told = io.StringIO()
    del store
    found = summarise(url(tmp_path), [lane], {"box-1": 8}, 1.0, PROMISE)
    Console(file=told, width=120).print(described(found))
    rows = [" ".join(line.replace("│", " ").split()) for line in told.getvalue().splitlines()]
    assert "passed 2" in rows
    assert "rejected 2" in rows
    assert "to review 4 of 8 parts (16% to 84%), 2 of them diverted by a deadline" in rows
    assert (
        "escapes among passed 1 of 4 defective parts; promised: 10% at most, confidence 90%" in rows
    )
    assert "good parts rejected 1 of 4 good parts; promised: 5% at most, confidence 90%" in rows


def test_only_a_certificate_of_the_whole_system_is_a_promise() -> None:
    shipped = Bundle.open(ROOT / "bundles/elpv").manifest.certificate
    assert shipped is not None
    assert promised(shipped) == DemoPromise(0.1, 0.05, 0.95)
    for lacking in ("escape", "false_reject"):
        assert promised(shipped.model_copy(update={lacking: None})) is None
    assert promised(None) is None
