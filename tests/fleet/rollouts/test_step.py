"""The rollout's state machine: what always holds, over fleets that behave as they like."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.rollouts.plan import Ring, RolloutPlan, divide
from fleet.rollouts.rollout import Member, Rollout, abort, approve, pause, resume
from fleet.rollouts.step import RolloutStep, Sighting, TargetRequest, step
from shared.errors import RolloutError
from shared.topics import Address

OLD, NEW = "models/m/1.zip", "models/m/2.zip"
QUICK = RolloutPlan(
    rings=(
        Ring(name="canary", devices=1),
        Ring(name="10 %", share=0.1),
        Ring(name="100 %", share=1.0),
    ),
    patience_s=100,
    silent_s=30,
)


def addresses(count: int) -> list[Address]:
    return [Address("plant", "line", f"box-{n}") for n in range(count)]


def started(plan: RolloutPlan, count: int, now: float = 0.0) -> Rollout:
    ring_of, _ = divide(plan, addresses(count))
    members = {a: Member(a, ring_of[a]) for a in addresses(count) if a in ring_of}
    return Rollout(1, "model", NEW, plan, members=members).entered(0, now)


@dataclass
class Plant:
    """Devices as the cloud sees them, moved by hand."""

    seen: dict[Address, Sighting]
    asked: dict[Address, str] = field(default_factory=dict)
    log: list[TargetRequest] = field(default_factory=list)
    now: float = 0.0

    @classmethod
    def of(cls, count: int) -> Plant:
        return cls({a: Sighting(running=OLD, current=True) for a in addresses(count)})

    def step(self, rollout: Rollout, after_s: float = 1.0) -> Rollout:
        self.now += after_s
        made: RolloutStep = step(rollout, self.seen, self.now)
        for ask in made.asks:
            self.log.append(ask)
            self.asked[ask.address] = ask.target
            self.see(ask.address, current=False)
        return made.rollout

    def see(self, address: Address, **facts: object) -> None:
        after = self.seen[address]._replace(seen_at=self.now, **facts)  # type: ignore[arg-type]
        self.seen[address] = after

    def obey(self, *, only: int | None = None) -> None:
        """Whoever was asked does it at once."""
        for address in list(self.asked)[:only]:
            target = self.asked.pop(address)
            self.see(address, running=target, current=True, idle=True, failed="")

    def refuse(self, why: str) -> None:
        for address in list(self.asked):
            del self.asked[address]
            self.see(address, current=True, idle=True, failed=why)


def test_a_good_release_reaches_every_device_ring_by_ring() -> None:
    plant, rollout = Plant.of(20), started(QUICK, 20)
    reached = []
    while rollout.active:
        rollout = plant.step(rollout)
        reached.append(len(plant.log))
        plant.obey()
    assert rollout.state == "done"
    assert rollout.count("committed") == 20
    assert sorted(set(reached)) == [1, 2, 20]


def test_a_failure_in_the_canary_stops_it_and_the_canary_goes_back() -> None:
    plant, rollout = Plant.of(20), started(QUICK, 20)
    rollout = plant.step(rollout)
    plant.refuse("parity")
    rollout = plant.step(rollout)
    assert rollout.state == "returning"
    assert "parity" in rollout.reason
    assert plant.log[-1] == TargetRequest(plant.log[0].address, OLD)
    plant.obey()
    rollout = plant.step(plant.step(rollout))
    assert rollout.state == "stopped"
    assert rollout.count("waiting") == 19
    assert rollout.share_touched == 1 / 20


def test_those_that_kept_the_release_go_back_too() -> None:
    plant, rollout = Plant.of(20), started(QUICK, 20)
    rollout = plant.step(rollout)
    plant.obey()
    rollout = plant.step(rollout)
    assert rollout.ring == 1
    plant.refuse("it crashed")
    rollout = plant.step(rollout)
    assert rollout.state == "returning"
    assert {ask.target for ask in plant.log[-2:]} == {OLD}
    plant.obey()
    rollout = plant.step(plant.step(rollout))
    assert rollout.state == "stopped"
    assert rollout.count("returned") == 2


def test_a_device_that_goes_silent_with_the_release_has_failed() -> None:
    plant, rollout = Plant.of(20), started(QUICK, 20)
    rollout = plant.step(rollout)
    canary = plant.log[0].address
    plant.see(canary, current=True, idle=False, phase="trial")
    rollout = plant.step(rollout, QUICK.silent_s - 1)
    assert rollout.state == "running"
    rollout = plant.step(rollout, QUICK.silent_s)
    assert rollout.state == "returning"
    assert "went silent while it was trial" in rollout.reason


def test_a_device_that_never_read_what_was_asked_is_set_aside_and_not_held_against_it() -> None:
    plant, rollout = Plant.of(20), started(QUICK, 20)
    rollout = plant.step(rollout)
    rollout = plant.step(rollout, QUICK.patience_s + 1)
    assert rollout.state == "running"
    assert rollout.count("aside", "waiting", "asked") == 20
    assert rollout.count("failed") == 0


def test_a_device_that_is_stuck_has_failed_however_alive_it_is() -> None:
    plant, rollout = Plant.of(20), started(QUICK, 20)
    rollout = plant.step(rollout)
    canary = plant.log[0].address
    for _ in range(12):
        plant.see(canary, current=True, idle=False, phase="fetching")
        rollout = plant.step(rollout, 10)
    assert rollout.state == "returning"
    assert "fetching for" in rollout.reason


def test_an_old_failure_does_not_count_while_a_device_can_not_begin() -> None:
    plant, rollout = Plant.of(20), started(QUICK, 20)
    rollout = plant.step(rollout)
    canary, away = plant.log[0].address, "the gateway can't be read"
    plant.see(canary, current=True, failed="no room", problem=away)
    rollout = plant.step(rollout)
    assert rollout.state == "running"
    for _ in range(11):
        plant.see(canary)
        rollout = plant.step(rollout, 10)
    assert rollout.state == "returning"
    assert f"it was idle for 110 s: {away}" in rollout.reason


def test_a_device_that_can_not_go_back_is_said_and_not_waited_for() -> None:
    plant, rollout = Plant.of(3), started(QUICK, 3)
    rollout = plant.step(rollout)
    plant.obey()
    rollout = plant.step(abort(plant.step(rollout), "ada"))
    lost = plant.log[0].address
    plant.see(lost, current=True, stuck="its slot is damaged")
    rollout = plant.step(rollout)
    for address in list(plant.asked):
        if address != lost:
            plant.see(address, running=OLD, current=True)
    rollout = plant.step(plant.step(rollout))
    assert rollout.state == "stopped"
    assert rollout.members[lost].reason == "it could not go back: its slot is damaged"


def test_a_device_that_goes_back_after_it_had_kept_the_release_counts_as_a_failure() -> None:
    plan = QUICK.model_copy(update={"rings": (Ring(name="all", share=1.0, soak_s=100),)})
    plant, rollout = Plant.of(3), started(plan, 3)
    rollout = plant.step(rollout)
    plant.obey()
    rollout = plant.step(rollout)
    assert rollout.count("committed") == 3
    first = plant.log[0].address
    plant.see(first, running=OLD, failed="it stopped again and again")
    rollout = plant.step(rollout)
    assert rollout.state == "returning"


def test_a_ring_is_watched_for_its_soak_time() -> None:
    rings = (Ring(name="canary", devices=1, soak_s=60), Ring(name="all", share=1.0))
    plan = QUICK.model_copy(update={"rings": rings})
    plant, rollout = Plant.of(4), started(plan, 4)
    rollout = plant.step(rollout)
    plant.obey()
    rollout = plant.step(rollout)
    rollout = plant.step(rollout, 59)
    assert rollout.ring == 0
    rollout = plant.step(rollout, 1)
    assert rollout.ring == 1


def test_a_ring_with_a_gate_waits_for_a_person_whose_name_is_kept() -> None:
    rings = (Ring(name="canary", devices=1), Ring(name="all", share=1.0, approval=True))
    plan = QUICK.model_copy(update={"rings": rings})
    plant, rollout = Plant.of(4), started(plan, 4)
    with pytest.raises(RolloutError, match="can't be approved: it is running"):
        approve(rollout, "ada", 0.0)
    rollout = plant.step(rollout)
    plant.obey()
    rollout = plant.step(rollout)
    assert rollout.state == "gated"
    assert plant.step(rollout, 1e6).state == "gated"
    assert len(plant.log) == 1
    rollout = plant.step(approve(rollout, "ada", plant.now))
    assert [(a.ring, a.by) for a in rollout.approvals] == [(1, "ada")]
    assert len(plant.log) == 4


def test_a_gate_before_the_first_ring_holds_from_the_start() -> None:
    plan = QUICK.model_copy(update={"rings": (Ring(name="all", share=1.0, approval=True),)})
    rollout = started(plan, 4)
    assert rollout.state == "gated"
    assert step(rollout, Plant.of(4).seen, 1.0).asks == ()


def test_pause_and_resume() -> None:
    plant, rollout = Plant.of(20), started(QUICK, 20)
    rollout = pause(plant.step(rollout), "ada")
    plant.obey()
    rollout = plant.step(plant.step(rollout))
    assert len(plant.log) == 1
    assert rollout.reason == "paused by ada"
    with pytest.raises(RolloutError, match="can't be paused"):
        pause(rollout, "ada")
    rollout = plant.step(resume(rollout, "ada", plant.now))
    assert rollout.state == "running"
    assert len(plant.log) == 2


def test_a_failure_stops_a_rollout_that_is_paused() -> None:
    plant, rollout = Plant.of(20), started(QUICK, 20)
    rollout = pause(plant.step(rollout), "ada")
    plant.refuse("it crashed")
    assert plant.step(rollout).state == "returning"


def test_an_aborted_rollout_can_be_neither_resumed_nor_aborted_again() -> None:
    plant, rollout = Plant.of(20), started(QUICK, 20)
    rollout = plant.step(abort(plant.step(rollout), "ada", "wrong line"))
    changes: list[Callable[[Rollout], Rollout]] = [
        lambda r: resume(r, "bob", 0.0),
        lambda r: abort(r, "bob"),
        lambda r: pause(r, "bob"),
        lambda r: approve(r, "bob", 0.0),
    ]
    for change in changes:
        with pytest.raises(RolloutError, match="aborted by ada: wrong line"):
            change(rollout)
    plant.obey()
    rollout = plant.step(plant.step(rollout))
    assert rollout.state == "stopped"
    with pytest.raises(RolloutError, match="can't be resumed: it is stopped"):
        resume(rollout, "bob", 0.0)


def test_a_ring_that_ends_short_of_its_success_pauses_and_goes_on_when_told() -> None:
    rings = (Ring(name="half", share=0.5, errors=3), Ring(name="all", share=1.0))
    plan = QUICK.model_copy(update={"rings": rings})
    plant, rollout = Plant.of(8), started(plan, 8)
    rollout = plant.step(rollout)
    plant.obey(only=3)
    plant.refuse("no room")
    rollout = plant.step(rollout)
    assert rollout.state == "paused"
    assert "3 of 4 in ring half kept the release" in rollout.reason
    rollout = plant.step(resume(rollout, "ada", plant.now))
    assert rollout.ring == 1
    assert len(plant.log) == 8


def test_no_more_devices_change_at_a_time_than_may() -> None:
    plan = QUICK.model_copy(update={"rings": (Ring(name="all", share=1.0),), "at_once": 0.25})
    plant, rollout = Plant.of(20), started(plan, 20)
    most = 0
    while rollout.active:
        rollout = plant.step(rollout)
        most = max(most, rollout.count("asked"))
        plant.obey(only=2)
    assert most == 5
    assert rollout.count("committed") == 20


def test_a_device_that_was_away_is_asked_when_it_is_back_even_after_the_end() -> None:
    plant, rollout = Plant.of(4), started(QUICK, 4)
    away = addresses(4)[3]
    plant.see(away, aside="it was not heard of for 365 days; it is asked when it is back")
    while rollout.active:
        rollout = plant.step(rollout)
        plant.obey()
    assert rollout.state == "done"
    assert "365 days" in rollout.members[away].reason
    plant.see(away, aside="")
    rollout = plant.step(plant.step(rollout))
    assert plant.log[-1] == TargetRequest(away, NEW)
    plant.obey()
    rollout = plant.step(rollout)
    assert rollout.members[away].phase == "committed"


def test_a_device_that_is_offline_when_it_is_stopped_goes_back_when_it_returns() -> None:
    rings = (Ring(name="all", share=1.0),)
    plant = Plant.of(3)
    rollout = started(QUICK.model_copy(update={"rings": rings}), 3)
    rollout = plant.step(rollout)
    away = plant.log[0].address
    plant.obey()
    plant.see(away, offline=True)
    rollout = plant.step(abort(rollout, "ada"))
    asked = plant.asked.pop(away)
    plant.obey()
    rollout = plant.step(plant.step(rollout))
    assert rollout.state == "stopped"
    assert rollout.members[away].phase == "returning"
    plant.see(away, offline=False, running=asked, current=True)
    rollout = plant.step(rollout)
    assert rollout.members[away].phase == "returned"


# ---- what holds whatever the devices do

BEHAVIOURS = ("obeys", "refuses", "hangs", "vanishes", "slow", "never reads", "relapses")


@st.composite
def plans(draw: st.DrawFn) -> RolloutPlan:
    shares = sorted(draw(st.sets(st.sampled_from([0.05, 0.1, 0.3, 0.6, 1.0]), min_size=1)))
    rings = [
        Ring(
            name=f"{share:.0%}",
            share=share,
            success=draw(st.sampled_from([0.5, 0.9, 1.0])),
            errors=draw(st.sampled_from([0.1, 1, 2, 5])),
            soak_s=draw(st.sampled_from([0, 5])),
        )
        for share in shares
    ]
    at_once = draw(st.sampled_from([0.05, 0.3, 1.0]))
    return RolloutPlan(rings=tuple(rings), at_once=at_once, patience_s=60, silent_s=20)


@settings(max_examples=150)
@given(
    plans(),
    st.lists(st.sampled_from(BEHAVIOURS), min_size=1, max_size=40),
    st.integers(0, 2**32),
)
def test_every_rollout_ends_and_keeps_its_promises(
    plan: RolloutPlan, behaviours: list[str], seed: int
) -> None:
    count, dice = len(behaviours), random.Random(seed)  # noqa: S311 - behaviour of a simulated fleet
    plant, rollout = Plant.of(count), started(plan, count)
    how = dict(zip(addresses(count), behaviours, strict=True))
    most = max(1, int(plan.at_once * len(rollout.members) + 1e-9))
    stopped = False
    for _ in range(600):
        asked_before, state_before = len(plant.log), rollout.state
        rollout = plant.step(rollout)
        asks = plant.log[asked_before:]
        again = step(rollout, plant.seen, plant.now)
        if not asks and rollout.state == state_before:
            assert again == RolloutStep(rollout)
        stopped = stopped or rollout.state in {"returning", "stopped"}
        _require_asks(rollout, asks, stopped=stopped)
        assert rollout.count("asked") <= most
        for address in list(plant.asked):
            _behave(plant, address, how[address], dice)
        if rollout.state == "paused":
            rollout = resume(rollout, "ada", plant.now)
        if not rollout.active:
            break
    _require_end(plant, rollout)


def _require_asks(rollout: Rollout, asks: list[TargetRequest], *, stopped: bool) -> None:
    for ask in asks:
        member = rollout.members[ask.address]
        if ask.target == NEW:
            assert not stopped, "a device was asked after the stop"
            assert member.ring <= rollout.ring, "a device was asked before its ring was open"
        else:
            assert ask.target == member.previous == OLD


def _require_end(plant: Plant, rollout: Rollout) -> None:
    assert rollout.state in {"done", "stopped"}
    failed = [m for m in rollout.members.values() if m.phase == "failed"]
    if rollout.state == "done":
        for number, ring in enumerate(rollout.plan.rings):
            in_ring = [m for m in failed if m.ring == number]
            assert len(in_ring) < ring.failures_that_stop(len(rollout.of_ring(number)))
    else:
        assert rollout.count("asked", "committed", "failed") == 0
        told = {ask.address: ask.target for ask in plant.log}
        assert set(told.values()) <= {OLD}, "somebody is left with the bad release"


def _behave(plant: Plant, address: Address, how: str, dice: random.Random) -> None:
    """One device does something about what it was asked, or does not."""
    target = plant.asked[address]
    if target == OLD and dice.random() < 0.7:
        del plant.asked[address]
        plant.see(address, running=OLD, current=True, idle=True, failed="", offline=False)
        return
    match how:
        case "obeys" | "relapses":
            del plant.asked[address]
            plant.see(address, running=target, current=True, idle=True)
            if how == "relapses" and dice.random() < 0.3:
                plant.see(address, running=OLD, failed="it stopped again and again")
        case "refuses":
            del plant.asked[address]
            plant.see(address, current=True, idle=True, failed="parity")
        case "hangs":
            plant.see(address, current=True, idle=False, phase="fetching")
        case "vanishes":
            plant.seen[address] = plant.seen[address]._replace(
                current=True, idle=False, phase="trial", offline=True
            )
        case "slow" if dice.random() < 0.05:
            del plant.asked[address]
            plant.see(address, running=target, current=True, idle=True)
        case _:
            pass


def test_a_step_with_nothing_new_changes_nothing() -> None:
    plant, rollout = Plant.of(20), started(QUICK, 20)
    rollout = plant.step(rollout)
    assert step(rollout, plant.seen, plant.now) == RolloutStep(rollout)
    assert replace(rollout) == rollout
