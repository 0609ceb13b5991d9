from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.actuator.mqtt import MqttActuator, MqttActuatorSettings
from hardware_sim.line.ejector import (
    CELLS,
    MAX_PENDING,
    Cell,
    Command,
    Ejector,
    EjectorPassage,
    EjectorSettings,
    TruthTable,
    parse_command,
)
from shared.clock import ManualClock
from shared.contracts import VERDICTS, PlainVerdict, Verdict
from shared.errors import WireError
from shared.transport.memory import MemoryBroker

PERIOD, LEAD, WINDOW = 1.0, 0.9, 0.4


def passage(
    part: int, *, defective: bool = False, shown: int | None = -1, at: float | None = None
) -> EjectorPassage:
    """Part n passes at second n; -1: its own picture was shown."""
    at = part * PERIOD if at is None else at
    own = part if shown == -1 else shown
    return EjectorPassage(part, defective, own, at - LEAD, at - 0.02, at, WINDOW)


def told(part: int, verdict: Verdict, *, at: float | None = None) -> Command:
    """A command that arrives in time and is aimed well, unless told otherwise."""
    arrived = part * PERIOD - 0.5 if at is None else at
    return Command(part, verdict, arrived, part * PERIOD)


@pytest.mark.parametrize(
    ("defective", "verdict", "cell"),
    [
        (False, "pass", "right_pass"),
        (True, "reject", "right_reject"),
        (True, "pass", "escape"),
        (False, "reject", "overkill"),
        (True, "review", "reviewed"),
        (False, "review", "reviewed"),
    ],
)
def test_a_verdict_in_time_is_judged_by_the_truth(
    defective: bool, verdict: Verdict, cell: Cell
) -> None:
    ejector = Ejector(EjectorSettings())
    ejector.tell(told(1, verdict))
    outcome = ejector.meet(passage(1, defective=defective))
    assert (outcome.cell, outcome.verdict) == (cell, verdict)
    assert outcome.diverted == (verdict != "pass")
    assert ejector.table.defects_reviewed == (defective and verdict == "review")


@pytest.mark.parametrize("fallback", ["pass", "reject"])
def test_without_a_verdict_in_time_the_part_goes_where_the_plant_has_set(
    fallback: PlainVerdict,
) -> None:
    ejector = Ejector(EjectorSettings(without_verdict=fallback))
    ejector.tell(told(1, "reject", at=0.99))
    outcome = ejector.meet(passage(1, defective=True))
    assert (outcome.cell, outcome.diverted) == ("no_verdict", fallback == "reject")
    assert ejector.table.late == 1
    assert ejector.table.defects_passed == (fallback == "pass")


def test_a_command_after_the_part_is_late_and_changes_nothing() -> None:
    ejector = Ejector(EjectorSettings())
    ejector.meet(passage(1))
    before = ejector.table
    ejector.tell(told(1, "reject", at=1.5))
    assert ejector.table == msgspec.structs.replace(before, late=1)


def test_the_last_command_in_time_counts() -> None:
    ejector = Ejector(EjectorSettings())
    ejector.tell(told(1, "pass", at=0.6))
    ejector.tell(told(1, "reject", at=0.4))
    assert ejector.meet(passage(1)).verdict == "pass"


def test_a_verdict_from_another_parts_picture_is_about_the_wrong_part() -> None:
    ejector = Ejector(EjectorSettings())
    ejector.tell(told(2, "pass"))
    assert ejector.meet(passage(2, shown=1)).cell == "wrong_part"


def test_a_verdict_before_the_part_was_there_is_about_the_wrong_part() -> None:
    ejector = Ejector(EjectorSettings())
    ejector.tell(told(3, "pass", at=0.1))
    assert ejector.meet(passage(3)).cell == "wrong_part"


def test_a_part_without_a_picture_may_still_be_rejected_rightly() -> None:
    ejector = Ejector(EjectorSettings())
    ejector.tell(told(1, "reject"))
    assert ejector.meet(passage(1, defective=True, shown=None)).cell == "right_reject"


def test_an_ejector_that_acts_by_time_hits_whatever_passes_then() -> None:
    ejector = Ejector(EjectorSettings(aim="time"))
    ejector.tell(Command(1, "reject", 0.5, 2.1))
    assert ejector.meet(passage(1, defective=True)).cell == "no_verdict"
    hit = ejector.meet(passage(2))
    assert (hit.cell, hit.diverted) == ("wrong_part", True)


def test_an_actuation_between_two_parts_hits_neither() -> None:
    ejector = Ejector(EjectorSettings(aim="time"))
    ejector.tell(Command(1, "reject", 0.5, 1.5))
    assert [ejector.meet(passage(part)).cell for part in (1, 2)] == ["no_verdict"] * 2
    assert ejector.table.stray == 1


commands = st.builds(
    Command,
    part=st.integers(1, 14),
    verdict=st.sampled_from(VERDICTS),
    arrived=st.floats(-1, 14),
    aimed=st.floats(-1, 14),
)
parts = st.lists(
    st.tuples(st.booleans(), st.sampled_from(["own", "none", "other"])), min_size=1, max_size=10
)


@given(
    parts,
    st.lists(st.tuples(commands, st.integers(1, 3)), max_size=30),
    st.sampled_from(["number", "time"]),
    st.sampled_from(["pass", "reject"]),
)
def test_every_part_lands_in_exactly_one_cell_whatever_was_said_and_when(
    line: list[tuple[bool, str]],
    said: list[tuple[Command, int]],
    aim: str,
    fallback: str,
) -> None:
    ejector = Ejector(EjectorSettings.model_validate({"aim": aim, "without_verdict": fallback}))
    # Each arrives when it does, one to three times; what is not in the list was lost.
    arriving = sorted(
        (command for command, times in said for _ in range(times)), key=lambda c: c.arrived
    )
    outcomes = []
    for part, (defective, picture) in enumerate(line, start=1):
        while arriving and arriving[0].arrived <= part * PERIOD:
            ejector.tell(arriving.pop(0))
        shown = {"own": part, "none": None, "other": part - 1}[picture]
        outcomes.append(ejector.meet(passage(part, defective=defective, shown=shown)))
    for command in arriving:
        ejector.tell(command)
    table = ejector.table
    assert table.parts == len(line) == sum(getattr(table, cell) for cell in CELLS)
    for cell in CELLS:
        assert getattr(table, cell) == sum(outcome.cell == cell for outcome in outcomes)
    for outcome in outcomes:
        assert (outcome.verdict is None) == (outcome.cell == "no_verdict")
        assert outcome.diverted == ((outcome.verdict or fallback) != "pass")
    # Each command was obeyed, overruled, late or stray: none is counted twice.
    assert table.late + table.stray <= sum(times for _, times in said)
    # What a person looks at is neither an escape nor overkill.
    judged = [outcome for outcome in outcomes if outcome.cell != "reviewed"]
    wrong = sum(o.diverted != o.passage.defective for o in judged)
    assert table.defects_passed + table.goods_diverted == wrong


def test_commands_about_parts_that_never_come_are_counted_and_do_not_pile_up() -> None:
    ejector = Ejector(EjectorSettings())
    for part in range(10, MAX_PENDING + 30):
        ejector.tell(told(part, "pass"))
    assert ejector.table == TruthTable(stray=MAX_PENDING + 20)
    assert ejector._count == MAX_PENDING


def test_the_ejector_understands_what_the_mqtt_actuator_publishes() -> None:
    broker, clock = MemoryBroker(), ManualClock()
    actuator = MqttActuator(MqttActuatorSettings(topic="plant/e"), broker.transport(), clock)
    actuator.start()
    actuator.actuate(7, "reject", at=clock.monotonic() + 0.25)
    command = parse_command(broker.published[0].payload, 5.0)
    assert command == Command(7, "reject", 5.0, 5.25)


@pytest.mark.parametrize("review_bin", [False, True])
def test_the_ejector_understands_a_review_with_one_gate_and_with_a_bin_of_its_own(
    *, review_bin: bool
) -> None:
    broker, clock = MemoryBroker(), ManualClock()
    settings = MqttActuatorSettings(topic="plant/e", review_bin=review_bin)
    actuator = MqttActuator(settings, broker.transport(), clock)
    actuator.start()
    actuator.actuate(7, "review", at=clock.monotonic() + 0.25)
    command = parse_command(broker.published[0].payload, 5.0)
    assert command == Command(7, "review", 5.0, 5.25)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        json.dumps({"part": 0, "verdict": "pass", "in_ms": 1}).encode(),
        json.dumps({"part": 1, "verdict": "maybe", "in_ms": 1}).encode(),
        json.dumps({"part": 1, "verdict": "pass"}).encode(),
        json.dumps({"part": 1, "verdict": "pass", "in_ms": 1e300}).encode(),
    ],
)
def test_what_is_no_command_is_refused_with_what_would_be(payload: bytes) -> None:
    with pytest.raises(WireError, match="it understands"):
        parse_command(payload, 0.0)
