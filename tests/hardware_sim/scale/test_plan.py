"""`splitsight sim plan`: from a measured fleet to machines and money."""

from __future__ import annotations

import json
import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_sim.scale.fleet.report import FleetRow
from hardware_sim.scale.plan.cell import CellMachines, PlantCell
from hardware_sim.scale.plan.cli import plan
from hardware_sim.scale.plan.demand import (
    Costs,
    Load,
    best_of,
    commits_per_part,
    load_of,
    read_measured,
)
from hardware_sim.scale.plan.machines import SHIPPED, Machines, load_machines
from hardware_sim.scale.plan.report import check, make_plan, one_cell, utilisations
from hardware_sim.scale.plan.sizing import money_per_million_parts, size
from shared.errors import DataError, SettingsError
from tests.support.commands import splitsight

ROWS = read_measured(None)
MACHINES = load_machines(None)
WITHIN = 0.2

loads = st.builds(Load, st.integers(1, 10**6), st.floats(0.1, 60), st.floats(0.001, 1))


def costs(**changed: float) -> Costs:
    plain = {
        "broker_s": 0.0001,
        "intake_s": 0.0005,
        "tail_s": 0.01,
        "commit_s": 0.004,
        "commit_cpu_s": 0.001,
        "row_s": 0.00002,
        "escalation_bytes": 800.0,
        "message_bytes": 100.0,
        "row_bytes": 250.0,
    }
    return Costs(**{**plain, **changed})


# ---- the model against what was measured


def test_the_model_meets_the_largest_measured_fleet_within_a_fifth() -> None:
    last = [one for one in check(ROWS) if one.devices == ROWS[-1].devices]
    assert {one.what for one in last} == {"cpu_ms_per_part", "bytes_per_part"}
    for one in last:
        assert one.from_devices < one.devices
        assert abs(one.difference) <= WITHIN, one


def test_a_fleet_that_costs_twice_as_much_is_seen_to_differ() -> None:
    last = ROWS[-1]
    dearer = msgspec.structs.replace(
        last.per_device, cpu_ms_per_part=2 * last.per_device.cpu_ms_per_part
    )
    rows = [*ROWS[:-1], msgspec.structs.replace(last, per_device=dearer)]
    (cpu,) = [
        one for one in check(rows) if (one.devices, one.what) == (last.devices, "cpu_ms_per_part")
    ]
    assert abs(cpu.difference) > WITHIN


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.devices} devices")
def test_costs_give_back_the_measurement_that_they_come_from(row: FleetRow) -> None:
    taken, load = Costs.of(row), load_of(row)
    worked = (
        taken.broker_per_part(load) + taken.intake_per_part(load, 1) + taken.tail_per_part(load)
    )
    assert worked * 1000 == pytest.approx(row.per_device.cpu_ms_per_part, rel=0.01)
    assert taken.bytes_per_part(load) == pytest.approx(row.per_device.bytes_per_part)


# ---- simulation and formulas, each against the other


@pytest.mark.parametrize(
    ("devices", "every_s", "escalated", "servers"),
    [(30, 1.0, 0.3, 1), (600, 10.0, 0.1, 1), (100, 0.5, 0.2, 3), (5, 5.0, 1.0, 1)],
)
def test_the_simulation_finds_the_utilisation_that_rate_times_service_time_gives(
    devices: int, every_s: float, escalated: float, servers: int
) -> None:
    load = Load(devices, every_s, escalated)
    layout = CellMachines(servers, servers, servers, servers)
    wanted = utilisations(load, costs(), layout)
    found = PlantCell(load, costs(), layout, seed=1).run(1500)
    # Arrivals are random: so few parts scatter by some per cent, escalations by more.
    scatter = 4 / math.sqrt(1500)
    assert found.busy["broker"] == pytest.approx(wanted["broker"], rel=scatter)
    assert found.busy["tail"] == pytest.approx(wanted["tail"], rel=scatter / math.sqrt(escalated))
    # Here commits are in it, and the formula has too many of them, see below.
    for name in ("worker", "database"):
        assert found.busy[name] <= wanted[name] * (1 + scatter)
        assert found.busy[name] >= wanted[name] * 0.75


@pytest.mark.parametrize("parts_per_s", [1.0, 50.0, 150.0])
def test_renewal_theory_bounds_the_simulated_commits_closely_from_above(
    parts_per_s: float,
) -> None:
    load = Load(round(parts_per_s * 10), 10.0, 0.1)
    found = PlantCell(load, costs(), CellMachines(), seed=2).run(1500)
    bound = commits_per_part(load, 1, costs().commit_s)
    assert 0.8 * bound <= found.commits / found.parts <= 1.1 * bound


def test_a_slow_tail_makes_escalations_wait() -> None:
    load = Load(100, 1.0, 0.5)
    fast = PlantCell(load, costs(tail_s=0.001), CellMachines(), seed=3).run(1000)
    slow = PlantCell(load, costs(tail_s=0.018), CellMachines(), seed=3).run(1000)
    assert max(fast.round_trips_s) < max(slow.round_trips_s)
    assert min(slow.round_trips_s) >= 0.018


# ---- sizing


@given(loads)
def test_a_plan_has_enough_machines_and_not_one_too_many(load: Load) -> None:
    sizing = size(load, costs(), MACHINES, "cpu")
    for station in sizing.stations:
        assert station.busy <= MACHINES.busy_at_most + 1e-9
        if station.machines > 1 and station.name in {"broker", "tail"}:
            fewer = station.busy * station.machines / (station.machines - 1)
            assert fewer > MACHINES.busy_at_most


@given(loads)
def test_more_devices_never_need_fewer_machines(load: Load) -> None:
    more = Load(2 * load.devices, load.every_s, load.escalated)
    for small, large in zip(
        size(load, costs(), MACHINES, "cpu").stations,
        size(more, costs(), MACHINES, "cpu").stations,
        strict=True,
    ):
        if small.name != "database":
            assert small.machines <= large.machines


def test_the_station_with_the_dearest_part_saturates_first() -> None:
    load = Load(1000, 1.0, 0.1)
    assert size(load, costs(), MACHINES, "cpu").first_to_saturate.name == "worker"
    heavy = costs(tail_s=10.0)
    assert size(load, heavy, MACHINES, "cpu").first_to_saturate.name == "tail"
    full = size(load, heavy, MACHINES, "cpu").first_to_saturate
    # One part in ten, ten seconds each, on four cores: four parts a second, so four devices.
    assert full.carries == pytest.approx(4, abs=1)


@given(loads)
def test_a_cell_is_a_share_of_the_plan_with_at_least_its_machines(load: Load) -> None:
    sizing = size(load, costs(), MACHINES, "cpu")
    cells, share, layout = one_cell(sizing)
    assert cells * share.devices >= load.devices
    assert cells * layout.workers >= sizing.station("worker").machines


def test_money_follows_the_prices_of_the_profile() -> None:
    load = Load(100, 1.0, 0.1)
    sizing = size(load, costs(), MACHINES, "cpu")
    machines, storage = money_per_million_parts(sizing, costs(), MACHINES)
    hours = 1e6 / 100 / 3600
    per_hour = sum(s.machines * s.machine.price_per_hour.value for s in sizing.stations)
    assert machines == pytest.approx(hours * per_hour)
    assert storage == pytest.approx(1.1 * 250 * 1e6 / 1e9 * 3 * 0.10)


def test_every_shipped_figure_names_its_source_and_prices_say_that_they_are_examples() -> None:
    shipped: Machines = MACHINES
    kinds = (shipped.broker, shipped.worker, shipped.database, *shipped.tails.values())
    assert all("example" in kind.price_per_hour.source for kind in kinds)
    assert "example" in shipped.storage_per_gb_month.source


# ---- the command, and what it refuses


@pytest.mark.process
def test_the_command_prints_a_plan_that_says_what_saturates_and_how_the_model_was_checked() -> None:
    done = splitsight(
        *("sim", "plan", "--devices", "1e5", "--parts-per-minute", "60", "--sample", "500"),
        *("--format", "json"),
    )
    assert done.code == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["devices"] == 100_000
    assert printed["parts_per_s"] == pytest.approx(100_000)
    names = [row["station"] for row in printed["stations"]]
    assert names == ["broker", "worker", "tail", "database"]
    least = min(printed["stations"], key=lambda row: row["one_carries"])
    assert printed["saturates_first"] == least["station"]
    assert printed["checked"]
    assert printed["machines_per_million_parts"] > 0


def test_one_measured_number_makes_a_plan_that_is_checked_against_nothing() -> None:
    made = make_plan(Load(10, 1.0, 0.1), ROWS[-1:], MACHINES, "gpu", sample=100)
    assert made.checked == []


@pytest.mark.parametrize("devices", ["0", "-1", "1.5", "many", "inf", "nan", "1e12"])
def test_a_number_of_devices_that_can_not_be_is_refused(devices: str) -> None:
    with pytest.raises(SettingsError, match="--devices") as refused:
        plan(devices=devices)
    assert "as in 1e5" in refused.value.fix


@pytest.mark.parametrize("text", ["", "[]", "{}", '[{"devices": 3}]'])
def test_a_file_without_a_measurement_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fleet.json"
    path.write_text(text)
    with pytest.raises(DataError) as refused:
        read_measured(path)
    assert refused.value.fix


def test_a_measurement_that_is_all_noise_is_refused() -> None:
    last = ROWS[-1]
    noisy = msgspec.structs.replace(
        last, cloud=msgspec.structs.replace(last.cloud, cpu_ms_per_part=0.01)
    )
    with pytest.raises(DataError, match="ms for intake") as refused:
        best_of([noisy])
    assert "measure again" in refused.value.fix


def test_machines_with_mistakes_are_refused_with_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "machines.yaml"
    text = SHIPPED.read_text().replace("busy_at_most: 0.7", "busy_at_most: 7")
    path.write_text(text.replace("keep_days: {value: 90,", "keep_days: {value: -1,"))
    with pytest.raises(SettingsError, match=r"2 mistakes in machines\.yaml") as refused:
        load_machines(path)
    assert "busy_at_most" in str(refused.value)
    assert "keep_days" in str(refused.value)


def test_a_kind_of_tail_that_the_machines_lack_is_refused() -> None:
    lacking = MACHINES.model_copy(update={"tails": {"cpu": MACHINES.tails["cpu"]}})
    with pytest.raises(SettingsError, match="no tail of kind gpu"):
        size(Load(10, 1.0, 0.1), costs(), lacking, "gpu")


def test_a_load_that_nothing_carries_is_refused() -> None:
    with pytest.raises(SettingsError, match="too few for the"):
        size(Load(10**9, 0.01, 1.0), costs(tail_s=100.0), MACHINES, "cpu")
