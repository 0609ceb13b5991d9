"""Rings: what may be said, and which devices they take."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.rollouts.plan import Ring, RolloutPlan, divide, matches
from shared.errors import SettingsError
from shared.settings import load_settings, validate
from shared.topics import Address


def devices(count: int, line: str = "line-1") -> list[Address]:
    return [Address("plant", line, f"box-{n}") for n in range(count)]


def test_the_default_is_a_canary_then_five_per_cent_a_quarter_and_all() -> None:
    ring_of, unmatched = divide(RolloutPlan(), devices(200))
    counts = [sum(ring == number for ring in ring_of.values()) for number in range(4)]
    assert counts == [1, 9, 40, 150]
    assert unmatched == []


def test_in_a_small_fleet_a_share_that_the_canary_covers_takes_nobody_else() -> None:
    ring_of, _ = divide(RolloutPlan(), devices(20))
    assert [list(ring_of.values()).count(n) for n in range(4)] == [1, 0, 4, 15]


def test_groups_are_globs_of_the_whole_address() -> None:
    plan = RolloutPlan(
        rings=(
            Ring(name="canary", groups=("plant/line-1/box-3",)),
            Ring(name="line 2", groups=("*/line-2/*",)),
            Ring(name="rest", share=1.0),
        )
    )
    ring_of, _ = divide(plan, [*devices(4), *devices(3, "line-2")])
    assert [d.device for d, ring in ring_of.items() if ring == 0] == ["box-3"]
    assert {d.line for d, ring in ring_of.items() if ring == 1} == {"line-2"}
    assert sum(ring == 2 for ring in ring_of.values()) == 3
    assert not matches(("line-2/*",), Address("plant", "line-2", "box-1"))


def test_a_group_that_names_no_device_is_told() -> None:
    plan = RolloutPlan(rings=(Ring(name="canary", groups=("plant/line-9/*", "plant/line-1/*")),))
    assert divide(plan, devices(3))[1] == ["plant/line-9/*"]


@given(st.integers(1, 400), st.lists(st.floats(0.01, 1.0), min_size=1, max_size=5, unique=True))
def test_no_ring_takes_more_than_its_share_and_no_device_is_in_two(
    count: int, shares: list[float]
) -> None:
    shares = sorted(shares)
    plan = RolloutPlan(rings=tuple(Ring(name=f"{n}", share=s) for n, s in enumerate(shares)))
    ring_of, _ = divide(plan, devices(count))
    for number, share in enumerate(shares):
        taken = sum(ring <= number for ring in ring_of.values())
        assert taken <= max(1, share * count + 1e-6)
    if shares[-1] == 1.0:
        assert len(ring_of) == count


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("rings: [{name: a, share: 0.5}, {name: b, share: 0.2}]", "shares must ascend"),
        ("rings: [{name: a, devices: 3}, {name: b, devices: 3}]", "numbers of devices must ascend"),
        ("rings: [{name: a, share: 0.5}, {name: a, share: 0.7}]", "two rings have one name"),
        ("rings: [{name: a}]", "by one of"),
        ("rings: [{name: a, share: 0.5, devices: 3}]", "by one of"),
        ("rings: [{name: a, share: 1.5}]", "less than or equal to 1"),
        ("rings: [{name: a, groups: []}]", "at least 1 item"),
        ("window: [100, 2000]", "0 to 1439"),
        ("ring: []", "did you mean rings"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_in_words(
    said: str, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(said)
    with pytest.raises(SettingsError, match=told):
        load_settings(path, RolloutPlan)


@given(st.floats(0.001, 50), st.integers(0, 500))
def test_at_least_one_failure_is_needed_to_stop(errors: float, members: int) -> None:
    ring = validate({"name": "a", "share": 1.0, "errors": errors}, Ring, "ring")
    limit = ring.failures_that_stop(members)
    assert limit >= 1
    assert limit >= errors if errors >= 1 else limit <= max(1, members)
