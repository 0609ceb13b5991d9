"""What the watchdog is fed with: verdicts, or that there is none to give."""

from __future__ import annotations

from edge.monitoring.standstill import LONGEST_LOOKS, SLOW_LOOKS, Standstill


class Line:
    """An agent as its supervisor sees it."""

    def __init__(self) -> None:
        self.inspected = 0
        self.inspecting = False
        self.late: int | None = None
        self.stand = Standstill(self)

    def overdue(self) -> int | None:
        return self.late

    def looks(self, count: int) -> list[str]:
        return [self.stand.look() for _ in range(count)]


def test_a_line_without_parts_is_well_for_ever() -> None:
    line = Line()
    line.inspected = 7
    assert set(line.looks(1000)) == {""}


def test_parts_that_take_long_each_are_well_as_long_as_they_end() -> None:
    line = Line()
    line.inspecting = True
    for _ in range(100):
        line.inspected += 1
        assert set(line.looks(SLOW_LOOKS)) == {""}
    assert not line.stand.lasts


def test_a_part_that_is_looked_at_for_ever_stands_still_and_does_not_end_by_itself() -> None:
    line = Line()
    line.inspected, line.inspecting = 3, True
    told = line.looks(LONGEST_LOOKS + 1)
    assert told[SLOW_LOOKS] == f"the 3. part has been looked at for {SLOW_LOOKS} s"
    assert line.stand.lasts
    line.inspecting = False
    assert line.stand.look() == ""
    assert not line.stand.lasts


def test_a_part_without_a_verdict_long_after_its_deadline_stands_still() -> None:
    line = Line()
    line.late = 4
    told = line.looks(SLOW_LOOKS + 1)
    assert told[SLOW_LOOKS] == f"a part got no verdict for {SLOW_LOOKS} s after its deadline"
    line.late = 5
    assert line.stand.look() == ""


def test_a_process_that_stood_still_as_a_whole_is_no_standstill() -> None:
    """Looks count, not seconds: however long ago the last look was, it is one."""
    line = Line()
    line.inspected, line.inspecting, line.late = 3, True, 3
    line.looks(2)
    assert line.looks(2) == ["", ""]
