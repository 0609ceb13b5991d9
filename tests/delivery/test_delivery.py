"""No part without a verdict, none lost, none twice: in every order in which things can happen."""

from __future__ import annotations

import pytest

from tests.delivery.explorer import Violation, explore
from tests.delivery.machine import Delivery, Faults, Pair, Rules

MOST = 2_000_000
NOTHING = Faults()
ONE_EACH = [Faults(**{name: 1}) for name in Faults._fields]
NEITHER: tuple[tuple[Pair, ...], ...] = (("old",), ("old",))


def named(faults: Faults) -> str:
    return "+".join(name for name, count in faults._asdict().items() if count)


def test_where_nothing_fails_no_deadline_decides_though_a_rollout_runs() -> None:
    explored = explore(Delivery(timely=True), most=MOST)
    assert explored.ends


def test_the_same_holds_where_no_worker_has_the_new_tail_yet() -> None:
    assert explore(Delivery(timely=True, workers=NEITHER), most=MOST).ends


@pytest.mark.parametrize("faults", ONE_EACH, ids=named)
def test_one_part_is_safe_from_any_single_fault_at_any_time(faults: Faults) -> None:
    assert explore(Delivery(parts=1, faults=faults), most=MOST).ends


@pytest.mark.parametrize("faults", ONE_EACH, ids=named)
def test_two_parts_are_safe_from_any_single_fault(faults: Faults) -> None:
    assert explore(Delivery(faults=faults, timely=True), most=MOST).ends


@pytest.mark.parametrize(
    ("rule", "machine", "what"),
    [
        ("handed_on", Delivery(timely=True), "nothing failed, and part . was decided by the dead"),
        ("handed_once", Delivery(learns=False), "round for ever"),
        (
            "served_first",
            Delivery(timely=True, workers=NEITHER),
            "nothing failed, and part . was decided by the deadline",
        ),
        ("stored_first", Delivery(faults=Faults(worker_dies=1)), "cloud does not have it"),
        ("once", Delivery(faults=Faults(doubled=1)), "counted twice"),
        ("late_is_kept", Delivery(), "actuated twice, by deadline and cloud"),
        ("journaled_first", Delivery(), "actuated by the edge, and no record has it"),
        ("numbers_reserved", Delivery(faults=Faults(box_dies=1)), "two parts have one number"),
        ("resent", Delivery(faults=Faults(lost=1)), "was journaled, and is lost"),
    ],
)
def test_each_rule_that_is_broken_is_found(rule: str, machine: Delivery, what: str) -> None:
    """So the machine is not blind: today's second worker is the first of them."""
    parts = 1 if rule in {"resent", "handed_once"} else machine.parts
    broken = Delivery(
        Rules(**{rule: False}), parts, machine.workers, machine.faults, machine.learns, machine.timely
    )
    with pytest.raises(Violation, match=what):
        explore(broken, most=MOST)
