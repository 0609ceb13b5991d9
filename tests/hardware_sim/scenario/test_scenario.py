"""Scenarios: what is refused, and how a run is judged."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hardware_sim.compute.demands import demands_of, require_honourable
from hardware_sim.compute.profiles import load_profile
from hardware_sim.line.ejector import CELLS
from hardware_sim.processes.session import SHIPPED_BUNDLE
from hardware_sim.scenario.chart import chart, spans
from hardware_sim.scenario.page import write_report
from hardware_sim.scenario.plant import require_able
from hardware_sim.scenario.records import RecordedParts
from hardware_sim.scenario.run import DeviceSnapshot, Happened, Observed, still_true
from hardware_sim.scenario.settings import Scenario, load_scenario, scenario_model
from hardware_sim.scenario.station import PassedPart
from hardware_sim.scenario.verdict import recovery_s, report, unexcused
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import HEAD
from shared.errors import BundleError, RuntimeUnavailable, SettingsError
from tests.support.commands import splitsight

SHIPPED = Path(__file__).parents[3] / "hardware-sim" / "hardware_sim" / "scenarios"
PROFILES = SHIPPED.parent / "profiles"


def scenario(**changes: object) -> Scenario:
    values = {"name": "s", "about": "x", "duration_s": 20, "devices": [{"name": "box"}]}
    return scenario_model().model_validate(values | changes)


def part(number: int, cell: str = "right_pass") -> PassedPart:
    defective = cell in {"escape", "right_reject"}
    said = {"no_verdict": None, "right_reject": "reject", "reviewed": "review"}
    verdict = said.get(cell, "pass")
    return PassedPart(
        part=number,
        at=100.0 + number,
        triggered=99.5 + number,
        defect="crack" if defective else "good",
        severity=0.5 if defective else 0.0,
        verdict=verdict,
        diverted=verdict != "pass",
        cell=cell,
    )


def look(
    at: float,
    *,
    online: bool = True,
    waiting: int | None = 0,
    problem: str = "",
    overruns: float | None = None,
) -> DeviceSnapshot:
    return DeviceSnapshot(
        at=at,
        device="box",
        online=online,
        waiting=waiting,
        problems=(problem,) if problem else (),
        bytes_up=int(1000 * at),
        bytes_down=0,
        temperature_c=40.0 + at,
        throttled=False,
        overrun_share=overruns,
    )


def kept(**changes: object) -> RecordedParts:
    values: dict[str, object] = {
        "inspected": 10,
        "lost": 0,
        "duplicates": 0,
        "decided_by": {"edge": 9, "deadline": 1},
        "settled": 1,
        "latency_ms": [5.0] * 9,
        "by_part": {("box", n): 5.0 for n in range(1, 11)},
    }
    return RecordedParts(**(values | changes))  # type: ignore[arg-type]


def observed(
    *cells: str, looks: list[DeviceSnapshot], cut: tuple[float, float] | None = None
) -> Observed:
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


@pytest.mark.parametrize("told", ["quiet-shift", "quiet-shift.yaml", "scenarios/quiet-shift.yaml"])
def test_a_shipped_scenario_is_found_by_its_name(
    told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_scenario(Path(told)).name == "quiet-shift"
    with pytest.raises(SettingsError, match="can't be read"):
        load_scenario(Path("elsewhere") / told)


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


def test_mistakes_of_single_settings_do_not_hide_those_of_all_together(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "name: wrong\n"
        "abuot: x\n"
        "duration_s: 20\n"
        "devices:\n"
        "  - {name: a, margin: 5, line: {line: {ejector_at: 0.05}}}\n"
        "timeline:\n"
        "  - {kind: cut, at_s: 3, device: b}\n"
        "  - {kind: clout, at_s: 3}\n"
        "  - {kind: broker, at_s: 30}\n"
        "expect: {escapes: 2}\n"
    )
    with pytest.raises(SettingsError) as caught:
        load_scenario(path)
    told = str(caught.value)
    assert "8 mistakes in wrong.yaml" in told
    for mistake in (
        "wrong.yaml:1: about is missing",
        "wrong.yaml:2: abuot is not a setting (did you mean about?)",
        "wrong.yaml:5: devices.0.margin is not a setting",
        "wrong.yaml:5: devices.0.line.line.ejector_at: must lie behind the camera at 0.1 m",
        "wrong.yaml:7: timeline.0.device: there is no 'b'; there are a",
        'wrong.yaml:8: timeline.1.kind: "clout" is not one of',
        "wrong.yaml:9: timeline.2.at_s: ends 31 s in, after the scenario's 20 s",
        "wrong.yaml:10: expect.escapes: input should be less than or equal to 1 (found 2)",
    ):
        assert f"  {mistake}" in told


SLOW = "speed: 0.001, pitch: 0.1, part_length: 0.05"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (f"devices: [{{name: a, line: {{line: {{{SLOW}}}}}}}]", "devices.0.line: never ends: its"),
        ("timeline: [{kind: speed, at_s: 5, speed: 0.01}]", "timeline.0.speed: never ends: a's"),
        (
            "timeline: [{kind: broker, at_s: 2, for_s: 5}, {kind: broker, at_s: 4}]",
            "timeline.1.at_s: happens while timeline.0, of the same kind, has not ended",
        ),
    ],
)
def test_what_would_never_end_or_end_too_soon_is_refused(
    tmp_path: Path, wrong: str, why: str
) -> None:
    path = tmp_path / "wrong.yaml"
    devices = "" if "devices" in wrong else "\ndevices: [{name: a}]"
    path.write_text(f"name: wrong\nabout: x\nduration_s: 20\n{wrong}{devices}\n")
    with pytest.raises(SettingsError, match=why):
        load_scenario(path)


def test_faults_at_the_same_time_may_differ_in_kind_effect_or_device() -> None:
    effects = [{"kind": "defocus"}, {"kind": "dust"}]
    cameras = [{"kind": "camera", "at_s": 2, "for_s": 5, "effect": one} for one in effects]
    cuts = [{"kind": "power", "at_s": 2, "for_s": 5, "device": one} for one in ("a", "b")]
    devices = [{"name": "a"}, {"name": "b"}]
    made = scenario(devices=devices, timeline=[*cameras, *cuts, {"kind": "cloud", "at_s": 3}])
    assert len(made.timeline) == 5
    with pytest.raises(ValidationError, match="has not ended"):
        scenario(devices=devices, timeline=[*cuts, {**cuts[0], "device": "all", "at_s": 4}])


@pytest.mark.process
def test_hardware_that_cannot_run_the_head_is_refused_before_anything_starts(
    tmp_path: Path,
) -> None:
    profile = tmp_path / "tiny.yaml"
    text = (PROFILES / "npu-int8.yaml").read_text()
    profile.write_text(text.replace("value: 8\n", "value: 0.01\n"))
    path, folder = tmp_path / "wrong.yaml", tmp_path / "kept"
    path.write_text(
        f"name: wrong\nabout: x\nduration_s: 20\ndevices: [{{name: a, profile: {profile}}}]\n"
    )
    ended = splitsight("sim", "run", str(path), "--keep-in", str(folder))
    assert ended.code == RuntimeUnavailable.exit_code
    assert "has 0.0 MB for a model, this one takes" in ended.stderr
    assert not list(folder.iterdir())


def test_hardware_far_faster_than_this_machine_is_refused_before_anything_starts(
    tmp_path: Path,
) -> None:
    profile = tmp_path / "dream.yaml"
    text = (PROFILES / "gpu.yaml").read_text()
    for slow, fast in (("value: 0.5\n", "value: 1e-6\n"), ("value: 1250\n", "value: 1e9\n")):
        assert slow in text
        text = text.replace(slow, fast)
    profile.write_text(text)
    with pytest.raises(RuntimeUnavailable, match=r"for this model, openvino CPU here .* at best"):
        require_able(scenario(devices=[{"name": "a", "profile": str(profile)}]), SHIPPED_BUNDLE)


# A processor without int8 instructions can't stand in for this one, and says so.
FAST = {"gpu"}


def test_every_shipped_profile_takes_the_shipped_head() -> None:
    demands = demands_of(Bundle.open(SHIPPED_BUNDLE).read(HEAD))
    for path in PROFILES.glob("*.yaml"):
        require_honourable(demands, load_profile(path.stem))


def test_every_slow_profile_can_be_simulated_on_any_machine() -> None:
    slow = {path.stem for path in PROFILES.glob("*.yaml")} - FAST
    require_able(scenario(devices=[{"name": one, "profile": one} for one in slow]), SHIPPED_BUNDLE)


@pytest.mark.process
def test_a_bundle_that_is_not_there_is_refused_before_anything_starts(tmp_path: Path) -> None:
    path, folder = tmp_path / "wrong.yaml", tmp_path / "kept"
    path.write_text("name: w\nabout: x\nduration_s: 20\ndevices: [{name: a}]\nbundle: nowhere\n")
    ended = splitsight("sim", "run", str(path), "--keep-in", str(folder))
    assert ended.code == BundleError.exit_code
    assert "nowhere" in ended.stderr
    assert not list(folder.iterdir())


@pytest.mark.process
@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("duration_s: 1e9", "less than or equal to 14400"),
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


@pytest.mark.process
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
    wanted = scenario(expect={"escapes": 0.0, "overkill": 0.0, "wrong_part": 3})
    found = report(wanted, observed(*cells, looks=[look(1)]), kept())
    (device,) = found.devices
    assert sum(device.cells.values()) == device.parts == len(cells)
    ok = {check.name: check.ok for check in found.checks}
    assert ok["no_part_without_verdict"] == ("no_verdict" not in cells)
    assert ok["escapes"] == ("escape" not in cells)
    # Good parts in the bin of those that a person looks at are rejected by nobody.
    assert ok["overkill"] == ("no_verdict" not in cells)
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


def test_what_the_cloud_heard_too_long_ago_is_believed_no_more() -> None:
    said = {"state": "online", "seen_at": 100.0}
    assert still_true(said, 108.0, 8.0) is said
    assert still_true(said, 108.1, 8.0) is None
    assert still_true(None, 108.0, 8.0) is None


def test_the_report_is_one_page_that_needs_nothing_else(tmp_path: Path) -> None:
    looks = [look(1), look(2, overruns=0.125), look(3)]
    seen = observed(*CELLS, looks=looks, cut=(1.0, 2.0))
    found = report(scenario(name="cut", about="<b>"), seen, kept())
    page = write_report(tmp_path, scenario(name="cut", about="<b>"), seen, kept(), found)
    text = page.read_text()
    assert "&lt;b&gt;" in text
    assert "<svg" in text
    assert "box: 12.5 % of its inferences took this" in text
    assert 'src="' not in text
    assert "http-equiv" not in text
    assert (tmp_path / "report.json").is_file()
    assert spans(seen) == [(1.0, 2.0, "network, box")]
    assert "network, box" in chart(seen, kept()) or "<path" in chart(seen, kept())


def test_a_process_that_the_plant_does_not_have_cannot_be_at_fault() -> None:
    for fault in (
        {"kind": "cloud", "at_s": 1, "worker": 2},
        {"kind": "database", "at_s": 1},
        {"kind": "pause", "what": "database", "at_s": 1, "for_s": 1},
    ):
        with pytest.raises(ValidationError, match=r"there is no (cloud-2|database); there are"):
            scenario(timeline=[fault])


def test_what_is_drawn_at_random_hits_everything_again_and_again_and_never_twice_at_once() -> None:
    drawn = scenario(
        duration_s=2000,
        devices=[{"name": "a"}, {"name": "b"}],
        cloud={"workers": 2, "database": "postgresql"},
        chaos={"what": ["box", "broker", "cloud", "database"], "every_s": 20, "pauses": 0.2},
    )
    by_target: dict[str, list[tuple[float, float]]] = {}
    for fault in drawn.faults:
        by_target.setdefault(fault.aim or fault.process, []).append((fault.at_s, fault.ends_s))
    assert set(by_target) == {"a", "b", "broker", "cloud-1", "cloud-2", "database"}
    for times in by_target.values():
        assert len(times) > 30
        assert all(end <= begin for (_, end), (begin, _) in pairwise(times))
    assert {fault.kind for fault in drawn.faults} >= {"pause", "power", "broker", "cloud"}
    assert max(fault.ends_s for fault in drawn.faults) < 2000
    assert drawn.faults == drawn.faults


def test_a_part_without_a_verdict_is_excused_only_while_its_box_was_away() -> None:
    cells = ["right_pass", "no_verdict", "no_verdict", "no_verdict", "right_pass", "no_verdict"]
    seen = observed(*cells, looks=[])
    # Part n triggers n - 0.5 s in and passes n s in.
    seen.happened = [Happened(2.2, "power", "box", began=True)]
    seen.happened += [Happened(3.2, "power", "box", began=False)]
    assert [part.part for part in unexcused(seen, "box")] == [2, 6]
    seen.happened = [Happened(2.2, "broker", "", began=True)]
    assert [part.part for part in unexcused(seen, "box")] == [2, 3, 4, 6]
