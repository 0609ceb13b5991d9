"""An update killed, and its neighbours failing, at every place there is: old or new, never between.

The cases are not written down: a dry run lists every durable change and every call of a seam, and
each is one case, in the phase in which it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import structlog

from edge.updates.base import PHASES, Unreachable, Vitals
from edge.updates.fakes import MemoryDisk, ScriptedHost
from shared.errors import UpdateError
from tests.edge.update_rigs import (
    NEW,
    NEW_PAYLOAD,
    OLD,
    OLD_PAYLOAD,
    STEPS,
    Bench,
    Failing,
    Killed,
    KillingDisk,
    content,
    live_on,
)

SEAMS = ("slots", "host", "offers", "source", "memo")
# More kills than a trial has starts: the end may be the old one, but never none.
KILLS_IN_A_ROW = 12


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of errors on purpose: drawing each one takes longer than all updates."""
    with structlog.testing.capture_logs():
        yield


@dataclass(frozen=True)
class Story:
    """One way through the machine, told again for each case.

    end   what runs when nothing is killed
    """

    name: str
    make: Callable[[Any], Bench]
    end: str

    def bench(self, disk: Any = None) -> Bench:
        return self.make(MemoryDisk() if disk is None else disk)


def whole(disk: Any) -> Bench:
    return Bench(disk=disk)


def patched(disk: Any) -> Bench:
    bench = Bench(disk=disk)
    bench.offer(NEW, NEW_PAYLOAD, 2, base=OLD_PAYLOAD)
    return bench


def bad_patch(disk: Any) -> Bench:
    bench = Bench(disk=disk)
    bench.offer(NEW, NEW_PAYLOAD, 2, base=content(77))
    return bench


def unwell(disk: Any) -> Bench:
    return Bench(disk=disk, host=ScriptedHost(health=Vitals(1, "the head fails")))


def restarting(disk: Any) -> Bench:
    return Bench(disk=disk, host=ScriptedHost(restarts=True, tries=2))


STORIES = (
    Story("whole", whole, NEW),
    Story("patched", patched, NEW),
    Story("bad patch", bad_patch, NEW),
    Story("unwell", unwell, OLD),
    Story("restarting", restarting, NEW),
)


def life(bench: Bench, limit: int = STEPS) -> None:
    """Start, and step until nothing would change; a restart that was asked for is done."""
    bench.start()
    for _ in range(limit):
        wait = bench.machine.step()
        if bench.progress.phase == "idle" and wait >= 3600:
            return
        asked_for = bench.host.restarts and bench.host.switched
        if asked_for and bench.host.switched.pop() != bench.host.now:
            bench.host.switched.clear()
            bench.start()
        bench.clock.advance(max(wait, 0.1))
    raise AssertionError(f"never ended: {bench.progress}")


def changes_of(story: Story) -> list[tuple[str, str]]:
    """Every durable change of a whole life: its phase and what it is."""
    disk = KillingDisk(MemoryDisk())
    bench = story.bench(disk)
    bench.install()
    seen = len(disk.changes)
    phases: list[tuple[str, str]] = []
    bench.start()
    for _ in range(STEPS):
        phase = bench.progress.phase
        wait = bench.machine.step()
        phases += [(phase, change) for change in disk.changes[seen:]]
        seen = len(disk.changes)
        if bench.progress.phase == "idle" and wait >= 3600:
            return phases
        if bench.host.restarts and bench.host.switched:
            bench.host.switched.clear()
            bench.start()
            phases += [("start", change) for change in disk.changes[seen:]]
            seen = len(disk.changes)
        bench.clock.advance(max(wait, 0.1))
    raise AssertionError("the dry run never ended")


KILLS = [
    pytest.param(story, number, after, id=f"{story.name}-{phase}-{number}-{change}-{when}")
    for story in STORIES
    for number, (phase, change) in enumerate(changes_of(story))
    for when, after in (("before", False), ("after", True))
]


def test_there_are_many_places_to_be_killed_at_and_each_phase_has_some() -> None:
    assert len(KILLS) >= 60
    changing = {phase for story in STORIES for phase, _ in changes_of(story)}
    assert changing >= set(PHASES)


@pytest.mark.parametrize(("story", "number", "after"), KILLS)
def test_a_kill_at_any_change_is_survived(story: Story, number: int, after: bool) -> None:
    inner = MemoryDisk()
    story.bench(inner).install()
    bench = story.bench(KillingDisk(inner, number, after=after))
    with pytest.raises(Killed):
        life(bench)
    assert live_on(inner) in {OLD, NEW}

    again = story.bench(inner)
    life(again)
    assert live_on(inner) == story.end
    assert again.host.now == again.slots.marked().record.live
    assert again.slots.marked().record.trial is None
    assert bool(again.progress.failed) == (story.end == OLD)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_kills_in_a_row_at_every_distance_end_in_the_old_or_the_new(story: Story) -> None:
    for distance in range(40):
        inner = MemoryDisk()
        story.bench(inner).install()
        for _ in range(KILLS_IN_A_ROW):
            try:
                life(story.bench(KillingDisk(inner, distance, after=bool(distance % 2))))
            except Killed:
                assert live_on(inner) in {OLD, NEW}
        again = story.bench(inner)
        life(again)
        assert live_on(inner) in {OLD, NEW}
        assert again.slots.marked().record.trial is None
        assert again.host.now == again.slots.marked().record.live


def calls_of(story: Story, seam: str) -> list[tuple[str, str]]:
    """Every call of a seam that a whole life makes: its phase and its name."""
    failing: list[Failing] = []

    def wrap(name: str, inner: Any) -> Any:
        if name != seam:
            return inner
        failing.append(Failing(inner))
        return failing[-1]

    bench = story.bench()
    bench.install()
    bench.wrap = wrap
    bench.start()
    started = len(failing[0].calls)
    found: list[tuple[str, str]] = []
    for _ in range(STEPS):
        phase = bench.machine._state.phase
        before = len(failing[0].calls)
        wait = bench.machine.step()
        found += [(phase, call) for call in failing[0].calls[before:]]
        if bench.machine._state.phase == "idle" and wait >= 3600:
            return [("start", "")] * started + found
        bench.clock.advance(max(wait, 0.1))
    raise AssertionError("the dry run never ended")


def first_of_each(calls: list[tuple[str, str]]) -> list[tuple[int, str, str]]:
    """The first time that a call is made in each phase: the others are the same again."""
    first: dict[tuple[str, str], int] = {}
    for number, call in enumerate(calls):
        if call[0] != "start":
            first.setdefault(call, number)
    return [(number, phase, name) for (phase, name), number in first.items()]


ERRORS: dict[str, Callable[[], Exception]] = {
    "update": lambda: UpdateError("it broke", fix="try another"),
    "disk": lambda: OSError(5, "input/output error"),
    "bug": lambda: ValueError("a stranger's code"),
    "network": lambda: Unreachable("nobody answers", fix="wait"),
}
FAILURES = [
    pytest.param(story, seam, number, ERRORS[kind], id=f"{story.name}-{phase}-{seam}.{name}-{kind}")
    for story in STORIES[:4]
    for seam in SEAMS
    for number, phase, name in first_of_each(calls_of(story, seam))
    for kind in ERRORS
]


def test_there_are_many_calls_that_can_fail() -> None:
    assert len(FAILURES) >= 60


@pytest.mark.parametrize(("story", "seam", "number", "error"), FAILURES)
def test_an_error_of_any_neighbour_ends_in_the_old_or_the_new(
    story: Story, seam: str, number: int, error: Callable[[], Exception]
) -> None:
    def wrap(name: str, inner: Any) -> Any:
        return Failing(inner, number, error()) if name == seam else inner

    bench = story.bench()
    bench.install()
    bench.wrap = wrap
    life(bench)
    record = bench.slots.marked().record
    assert bench.live in {OLD, NEW}
    assert record.trial is None
    assert bench.host.now == record.live
    if bench.live == OLD:
        assert list(bench.progress.failed) == [NEW]
    # Whatever it was, the next start finds the same.
    again = replace(bench, wrap=lambda _name, inner: inner)
    life(again)
    assert again.live == bench.live


def test_a_neighbour_that_fails_for_ever_leaves_the_old_one_running() -> None:
    class Broken:
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            if name in {"held", "marked"}:
                return getattr(self._inner, name)
            raise OSError(30, "read-only file system")

    bench = Bench(wrap=lambda name, inner: Broken(inner) if name == "slots" else inner)
    bench.install()
    bench.start()
    for _ in range(50):
        bench.step()
    assert bench.live == OLD
    assert bench.host.now == "a"
    assert "read-only" in bench.progress.problem
