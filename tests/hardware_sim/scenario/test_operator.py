"""The operator: reviews what is doubtful, after its delay and with its errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_sim.processes.cloud import ServedCloud
from hardware_sim.scenario.inspector import Doubtful, HttpDesk, OperatorSettings, SimulatedInspector
from shared.clock import ManualClock, SystemClock
from shared.contracts import Verdict
from tests.bundles import make_bundle
from tests.cloud.makers import DEVICE, batch, row
from tests.cloud.server import Device, Server


class Tray:
    """A desk in memory."""

    def __init__(self, *parts: int) -> None:
        self.parts = list(parts)
        self.sure: list[int] = []
        self.said: dict[int, Verdict] = {}
        self.open = True

    def waiting(self, *, doubtful: bool = True) -> list[Doubtful]:
        if not self.open:
            raise ConnectionRefusedError("closed")
        parts = self.parts if doubtful else self.sure
        return [Doubtful("box", "b", n, n) for n in parts if n not in self.said]

    def review(self, doubtful: Doubtful, verdict: Verdict, inspector: str) -> None:
        assert inspector == "operator"
        if not self.open:
            raise ConnectionRefusedError("closed")
        self.said[doubtful.part] = verdict


def odd_is_defective(doubtful: Doubtful) -> bool | None:
    return None if doubtful.part == 0 else doubtful.part % 2 == 1


def test_a_word_comes_after_the_delay_and_what_nobody_knows_waits_on() -> None:
    clock, tray = ManualClock(), Tray(0, 1)
    operator = SimulatedInspector(
        tray, odd_is_defective, OperatorSettings(delay_s=5, error_rate=0), clock
    )
    operator.step()
    clock.advance(4.9)
    tray.parts.append(2)
    operator.step()
    assert tray.said == {}
    clock.advance(0.2)
    operator.step()
    assert tray.said == {1: "reject"}
    clock.advance(5)
    operator.step()
    assert tray.said == {1: "reject", 2: "pass"}
    assert (operator.reviewed, operator.wrong) == (2, 0)


def test_a_closed_desk_delays_work_and_loses_none() -> None:
    clock, tray = ManualClock(), Tray(1)
    operator = SimulatedInspector(
        tray, odd_is_defective, OperatorSettings(delay_s=0, error_rate=0), clock
    )
    tray.open = False
    operator.step()
    assert operator.reviewed == 0
    tray.open = True
    operator.step()
    assert tray.said == {1: "reject"}


@given(st.floats(0, 1), st.integers(0, 100))
def test_errors_come_at_their_rate_and_on_the_same_parts_each_time(rate: float, seed: int) -> None:
    settings = OperatorSettings(delay_s=0, error_rate=rate, seed=seed)
    trays = Tray(*range(1, 401)), Tray(*range(400, 0, -1))
    counts = []
    for tray in trays:
        operator = SimulatedInspector(tray, odd_is_defective, settings, ManualClock())
        operator.step()
        counts.append(operator.wrong)
    assert trays[0].said == trays[1].said
    assert counts[0] == counts[1]
    # Five standard deviations of a binomial draw.
    assert abs(counts[0] / 400 - rate) <= 5 * (rate * (1 - rate) / 400) ** 0.5 + 1e-9


@given(st.floats(0, 1))
def test_parts_that_boxes_were_sure_of_are_audited_at_their_share(share: float) -> None:
    tray = Tray(1)
    tray.sure = list(range(2, 402))
    settings = OperatorSettings(delay_s=0, error_rate=0, audits=share)
    operator = SimulatedInspector(tray, odd_is_defective, settings, ManualClock())
    operator.step()
    assert tray.said.pop(1) == "reject"
    assert all(said == ("reject" if part % 2 else "pass") for part, said in tray.said.items())
    # Five standard deviations of a binomial draw.
    assert abs(len(tray.said) / 400 - share) <= 5 * (share * (1 - share) / 400) ** 0.5 + 1e-9


@pytest.mark.process
def test_the_real_api_takes_what_an_operator_says(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "tiny")
    with Server(tmp_path, bundle) as server:
        device = Device(server, DEVICE)
        doubtful = row(1, decision="escalate", decided_by="deadline", verdict="reject")
        device.report(batch(1, doubtful, row(2)))
        device.stop()
        desk = HttpDesk(ServedCloud(server.url))
        assert [one.part for one in desk.waiting()] == [1]
        settings = OperatorSettings(delay_s=0, error_rate=0)
        operator = SimulatedInspector(desk, lambda _: False, settings, SystemClock())
        operator.step()
        assert operator.reviewed == 1
        assert desk.waiting() == []
        assert [one.part for one in desk.waiting(doubtful=False)] == [2]
    with pytest.raises(OSError, match="refused"):
        desk.waiting()
