"""No part without a verdict, none lost, none twice: in every order in which things can happen.

SPLITSIGHT_DELIVERY=2: with two faults of any kinds, and two parts with one (some minutes).
"""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import combinations_with_replacement

import pytest

from tests.delivery.explorer import Violation, explore
from tests.delivery.machine import NO_FAULTS, Delivery, Faults, Pair, Rules

MOST = 5_000_000
WHOLE = os.environ.get("SPLITSIGHT_DELIVERY") == "2"
NEITHER: tuple[tuple[Pair, ...], ...] = (("old",), ("old",))


def together(*names: str) -> Faults:
    return Faults(**{name: names.count(name) for name in names})


SINGLE = [together(name) for name in Faults._fields]
DOUBLE = [together(*names) for names in combinations_with_replacement(Faults._fields, 2)]
# What is doubled makes the most states by far.
CHEAP = [faults for faults in DOUBLE if not faults.doubled]


def named(faults: Faults) -> str:
    return "+".join(f"{count} {name}" for name, count in faults._asdict().items() if count)


def test_where_nothing_fails_no_deadline_decides_though_a_rollout_runs() -> None:
    assert explore(Delivery(timely=True), most=MOST).ends


def test_the_same_holds_where_no_worker_has_the_new_tail_yet() -> None:
    assert explore(Delivery(timely=True, workers=NEITHER), most=MOST).ends


@pytest.mark.parametrize("faults", [*SINGLE, *(DOUBLE if WHOLE else CHEAP)], ids=named)
def test_a_part_is_safe_from_faults_at_any_time(faults: Faults) -> None:
    assert explore(Delivery(parts=1, faults=faults), most=MOST).ends


@pytest.mark.parametrize("faults", SINGLE if WHOLE else [together("lost")], ids=named)
def test_two_parts_are_safe_from_a_fault(faults: Faults) -> None:
    assert explore(Delivery(faults=faults, timely=True), most=MOST).ends


TIMELY = Delivery(timely=True)
BROKEN: list[tuple[str, Delivery, str]] = [
    ("handed_on", TIMELY, "nothing failed, and part . was decided by the deadline"),
    ("handed_once", Delivery(parts=1, learns=False), "round for ever"),
    ("served_first", replace(TIMELY, workers=NEITHER), "nothing failed, and part . was decided"),
    ("stored_first", Delivery(parts=1, faults=together("worker_dies")), "cloud does not have it"),
    ("once", Delivery(parts=1, faults=together("doubled")), "counted twice"),
    ("late_is_kept", Delivery(), "actuated twice, by deadline and cloud"),
    ("journaled_first", Delivery(), "actuated by the edge, and no record has it"),
    ("noted_first", Delivery(parts=1, faults=together("box_dies")), "actuated, and no record has"),
    ("numbers_reserved", Delivery(faults=together("box_dies")), "two parts have one number"),
    ("resent", Delivery(parts=1, faults=together("lost")), "was journaled, and is lost"),
]


@pytest.mark.parametrize(("rule", "machine", "what"), BROKEN, ids=[rule for rule, *_ in BROKEN])
def test_each_rule_is_needed_and_found_where_it_is_broken(
    rule: str, machine: Delivery, what: str
) -> None:
    """`handed_on` is how it was: a second worker without the new tail dropped what it took."""
    broken = replace(machine, rules=Rules(**{rule: False}))
    with pytest.raises(Violation, match=what):
        explore(broken, most=MOST)


def test_every_rule_is_tried() -> None:
    assert {rule for rule, *_ in BROKEN} == set(Rules.__dataclass_fields__)
    assert not any(NO_FAULTS)
