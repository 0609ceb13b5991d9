"""Scenarios: what is refused, and how a run is judged."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_sim.ejector import CELLS
from hardware_sim.scenario.chart import chart, spans
from hardware_sim.scenario.page import write_report
from hardware_sim.scenario.records import Kept
from hardware_sim.scenario.run import Happened, Look, Observed
from hardware_sim.scenario.settings import Scenario, load_scenario
from hardware_sim.scenario.station import Passed
from hardware_sim.scenario.verdict import recovery_s, report
from shared.errors import SettingsError
from tests.shared.commands import splitsight

SHIPPED = Path(__file__).parents[2] / "hardware-sim" / "hardware_sim" / "scenarios"


def scenario(**changes: object) -> Scenario:
    values = {"name": "s", "about": "x", "duration_s": 20, "devices": [{"name": "box"}]}
    return Scenario.model_validate(values | changes)


def part(number: int, cell: str = "right_pass") -> Passed:
    defective = cell in {"escape", "right_reject"}
    verdict = None if cell == "no_verdict" else "reject" if "reject" in cell else "pass"
    return Passed(
        part=number,
        at=100.0 + number,
        triggered=99.5 + number,
        defect="crack" if defective else "good",
        severity=0.5 if defective else 0.0,
        verdict=verdict,
        diverted=verdict != "pass",
        cell=cell,
    )


def look(at: float, *, online: bool = True, waiting: int | None = 0, problem: str = "") -> Look:
    return Look(
        at=at,
        device="box",
        online=online,
        waiting=waiting,
        problems=(problem,) if problem else (),
        bytes_up=int(1000 * at),
        bytes_down=0,
        temperature_c=40.0 + at,
        throttled=False,
    )


def kept(**changes: object) -> Kept:
    values: dict[str, object] = {
        "inspected": 10,
        "lost": 0,
        "duplicates": 0,
        "decided_by": {"edge": 9, "deadline": 1},
        "latency_ms": [5.0] * 9,
        "by_part": {("box", n): 5.0 for n in range(1, 11)},
    }
    return Kept(**(values | changes))  # type: ignore[arg-type]


def observed(*cells: str, looks: list[Look], cut: tuple[float, float] | None = None) -> Observed:
    happened = []
    if cut is not None:
        happened = [
            Happened(at, "network", "box", began=began)
            for at, began in zip(cut, (True, False), strict=True)
        ]
    parts = [part(n, cell) for n, cell in enumerate(cells, 1)]
    return Observed(100.0, {"box": parts}, looks, happened, ended_s=20.0)


@pytest.mark.parametrize("path", sorted(SHIPPED.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_scenario_is_valid_and_named_as_its_file(path: Path) -> None:
    assert load_scenario(path).name == path.stem


def test_every_mistake_of_a_scenario_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "name: wrong\n"
        "about: x\n"
        "duration_s: 20\n"
        "devices:\n"
        "  - name: a\n"
        "  - name: a\n"
        "timeline:\n"
        "  - {kind: network, at_s: 10, for_s: 60, device: b, conditions: {partition: true}}\n"
        "  - {kind: driver_reset, at_s: 3, device: a}\n"
    )
    with pytest.raises(SettingsError) as caught:
        load_scenario(path)
    told = str(caught.value)
    assert "5 mistakes in wrong.yaml" in told
    assert "wrong.yaml:6: devices.1.name: is taken" in told
    assert "wrong.yaml:8: timeline.0.device: there is no 'b'; there are a" in told
    assert "wrong.yaml:8: timeline.0.at_s: ends 70 s in" in told
    assert "wrong.yaml:9: timeline.1.device: needs a device with a `profile`" in told


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("duration_s: 1e9", "less than or equal to 7200"),
        ("duration_s: 20\ndevices: []", "at least 1"),
        (
            "duration_s: 20\ndevices: [{name: a, line: {line: {ejector_at: 0.05}}}]",
            "must lie behind the camera",
        ),
        ("duration_s: 20\ndevices: [{name: a, margin_ms: 5000}]", "leaves the box no time"),
        ("duration_s: 20\ndevices: [{name: a, profile: abacus}]", "is no device profile"),
        ("duration_s: 20\ntimeline: [{kind: flood, at_s: 1}]", '"flood" is not one of'),
    ],
)
def test_a_plant_that_cannot_be_is_refused_before_it_starts(
    tmp_path: Path, wrong: str, why: str
) -> None:
    path = tmp_path / "wrong.yaml"
    devices = "" if "devices" in wrong else "\ndevices: [{name: a}]"
    path.write_text(f"name: wrong\nabout: x\n{wrong}{devices}\n")
    ended = splitsight("sim", "run", str(path))
    assert ended.code == SettingsError.exit_code
    assert why in ended.stderr


def test_a_report_that_cannot_be_written_is_told_before_the_run(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    ended = splitsight(
        "sim", "run", str(SHIPPED / "quiet-shift.yaml"), "--report", str(blocked / "r")
    )
    assert ended.code == SettingsError.exit_code
    assert "no report can be written" in ended.stderr


@given(st.lists(st.sampled_from(CELLS), min_size=1, max_size=30))
def test_the_truth_table_adds_up_and_judges_what_it_says(cells: list[str]) -> None:
    wanted = scenario(expect={"escapes": 0.0, "wrong_part": 3})
    found = report(wanted, observed(*cells, looks=[look(1)]), kept())
    (device,) = found.devices
    assert sum(device.cells.values()) == device.parts == len(cells)
    ok = {check.name: check.ok for check in found.checks}
    assert ok["no_part_without_verdict"] == ("no_verdict" not in cells)
    assert ok["escapes"] == ("escape" not in cells)
    assert ok["wrong_part"] == (cells.count("wrong_part") <= 3)
    assert found.ok == all(ok.values())


@pytest.mark.parametrize(
    ("name", "changes", "expect"),
    [
        ("lost", {"lost": 1}, {}),
        ("duplicates", {"duplicates": 2}, {}),
        ("p99_latency_ms", {"latency_ms": [900.0]}, {"p99_latency_ms": 500}),
        ("p99_latency_ms", {"latency_ms": []}, {"p99_latency_ms": 500}),
        ("decided_by_deadline", {"decided_by": {"deadline": 1}}, {"decided_by_deadline": 0.5}),
        ("noticed", {}, {"noticed": ["disk"]}),
        ("throttled", {}, {"throttled": True}),
    ],
)
def test_what_is_not_as_expected_is_named(
    name: str, changes: dict[str, object], expect: dict[str, object]
) -> None:
    seen = observed("right_pass", looks=[look(1, problem="head: broken")])
    found = report(scenario(expect=expect), seen, kept(**changes))
    assert not found.ok
    assert [check.name for check in found.checks if not check.ok] == [name]


def test_recovery_counts_from_the_faults_end_to_when_all_is_well_and_stays_so() -> None:
    looks = [look(at) for at in range(5)]
    looks += [look(at, online=False) for at in range(5, 9)]
    looks += [look(9), look(10, waiting=50), look(11), look(12)]
    parts = ["right_pass"] * 12
    assert recovery_s(observed(*parts, looks=looks, cut=(4.5, 8.0))) == pytest.approx(3.0)
    parts[10] = "no_verdict"
    assert recovery_s(observed(*parts, looks=looks, cut=(4.5, 8.0))) == pytest.approx(4.0)
    assert recovery_s(observed(*parts, looks=looks[:11], cut=(4.5, 8.0))) is None
    assert recovery_s(observed(*parts, looks=looks)) == 0.0


def test_the_report_is_one_page_that_needs_nothing_else(tmp_path: Path) -> None:
    seen = observed(*CELLS, looks=[look(1), look(2)], cut=(1.0, 2.0))
    found = report(scenario(name="cut", about="<b>"), seen, kept())
    page = write_report(tmp_path, scenario(name="cut", about="<b>"), seen, kept(), found)
    text = page.read_text()
    assert "&lt;b&gt;" in text
    assert "<svg" in text
    assert 'src="' not in text
    assert "http-equiv" not in text
    assert (tmp_path / "report.json").is_file()
    assert spans(seen) == [(1.0, 2.0, "network, box")]
    assert "network, box" in chart(seen, kept()) or "<path" in chart(seen, kept())
