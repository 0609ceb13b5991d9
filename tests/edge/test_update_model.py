"""Which models are kept out: blind, slow, failing, hanging, or of another mind."""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.inspection.model import LiveModel
from edge.updates.base import Label, Opinion
from edge.updates.drift import DriftLimits, Looked, against_candidate, against_trial, psi
from edge.updates.fakes import MemoryDisk
from edge.updates.hosts.models import ModelHistory, ModelHost, start_model
from edge.updates.observation import HANGS_LOOKS, HANGS_S, JudgedPart, ModelWatch, ShadowRun
from edge.updates.slots import FolderSlots
from shared.bundles.bundle import Bundle
from shared.clock import ManualClock, SystemClock
from shared.contracts import Decision, Finding, Frame
from shared.errors import ParityError, RuntimeUnavailable, UpdateError
from shared.storage.slots import Slot
from tests.bundles import picture
from tests.edge.rigs import Rig, real_inspector
from tests.support.waiting import wait_until

LIMITS = DriftLimits(budget_s=0.1)
PASS, REJECT, ESCALATE = Decision.PASS, Decision.REJECT, Decision.ESCALATE
finite = st.floats(0, 1)
looks = st.builds(Looked, finite, st.sampled_from(list(Decision)), st.floats(0, 0.1))


def looked(score: float, seconds: float = 0.001) -> Looked:
    decision = PASS if score < 0.2 else REJECT if score >= 0.8 else ESCALATE
    return Looked(score, decision, seconds)


def line(count: int, *, bad: float = 0.1, shift: float = 0.0) -> list[Looked]:
    """Mostly good parts, some bad ones."""
    rng = np.random.default_rng(count)
    scores = np.where(rng.random(count) < bad, 0.9, 0.05) + rng.normal(0, 0.02, count) + shift
    return [looked(float(score)) for score in np.clip(scores, 0, 1)]


@given(st.lists(looks, max_size=80))
def test_a_model_is_never_refused_for_being_like_the_live_one(live: list[Looked]) -> None:
    assert against_candidate(live, live, LIMITS) == ""


@given(st.lists(looks, max_size=80))
def test_a_trial_that_goes_on_as_before_stays(before: list[Looked]) -> None:
    assert against_trial(before, before, 0, LIMITS) == ""


@given(st.lists(finite, min_size=1, max_size=60), st.lists(finite, min_size=1, max_size=60))
def test_psi_is_zero_for_the_same_scores_and_symmetric(one: list[float], two: list[float]) -> None:
    assert psi(one, one) == pytest.approx(0)
    assert psi(one, two) == pytest.approx(psi(two, one))
    assert psi(one, two) >= 0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda _: looked(0.3), "blind"),
        (lambda one: looked(1 - one.score), "contradicts"),
        (lambda one: looked(one.score, 0.2), "slow"),
        (lambda _: Looked(math.nan, ESCALATE, 0.001), "no number"),
        (lambda one: looked(0.4 + one.score / 10), "escalates"),
    ],
)
def test_a_bad_candidate_is_refused_with_its_reason(
    change: Callable[[Looked], Looked], word: str
) -> None:
    live = line(60)
    assert word in against_candidate(live, [change(one) for one in live], LIMITS)


def test_a_candidate_as_blind_as_the_live_one_shows_that_the_line_stands_still() -> None:
    live = [looked(0.05)] * 20
    assert against_candidate(live, [looked(0.07)] * 20, LIMITS) == ""


def test_good_parts_at_other_low_scores_are_no_drift() -> None:
    assert against_trial(line(200), line(60, shift=0.02), 0, LIMITS) == ""


@pytest.mark.parametrize(
    ("now", "failures", "word"),
    [
        (line(60), 2, "failed on 2"),
        ([looked(0.05, 0.3)] * 5, 0, "slow"),
        ([looked(0.05)] * 40, 0, "blind"),
        ([looked(0.05 + n / 1000) for n in range(40)], 0, "passes"),
        ([looked(0.5 + n / 1000) for n in range(40)], 0, "escalates"),
        ([looked(0.82 + n / 1000) for n in range(40)], 0, "PSI"),
    ],
)
def test_a_trial_that_is_not_well_goes_with_its_reason(
    now: list[Looked], failures: int, word: str
) -> None:
    assert word in against_trial(line(300, bad=0.5), now, failures, LIMITS)


def test_a_machine_that_was_slow_already_is_not_held_against_a_model() -> None:
    before, now = [looked(0.05, 0.2)] * 30, [looked(0.05, 0.3)] * 30
    assert against_trial(before, now, 0, LIMITS) == ""
    assert "slow" in against_trial(before, [looked(0.05, 0.5)] * 30, 0, LIMITS)


def test_a_few_slow_looks_at_the_lowest_priority_are_not_the_candidates_fault() -> None:
    live = line(40)
    held_up = [one._replace(seconds=0.5) for one in live[:5]] + live[5:]
    assert against_candidate(live, held_up, LIMITS) == ""


@given(st.integers(0, 2**32 - 1), st.integers(30, 500), st.integers(30, 500))
def test_chance_alone_is_no_drift(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = (
        [looked(float(score)) for score in rng.uniform(0.2, 0.8, count)] for count in (n, m)
    )
    assert against_trial(one, two, 0, LIMITS) == ""


def test_a_few_parts_of_another_kind_end_no_trial() -> None:
    assert against_trial(line(300), [looked(0.95)] * 10, 0, LIMITS) == ""
    assert against_trial([], [looked(0.95)] * 100, 0, LIMITS) == ""


@dataclass
class Candidate:
    """Gives every part the same finding, after `wait`, or fails."""

    finding: Finding
    error: Exception | None = None
    wait: threading.Event | None = None
    frames: list[Frame] = field(default_factory=list)
    priority: int = 0

    def look(self, frame: Frame) -> Finding:
        self.frames.append(frame)
        self.priority = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        if self.wait is not None:
            self.wait.wait(10)
        if self.error is not None:
            raise self.error
        return self.finding


def finding(score: float = 0.05) -> Finding:
    return Finding(PASS, score, np.zeros((4, 4, 4), np.int8), np.zeros((8, 8), np.float32))


def seen(part: int = 1) -> JudgedPart:
    return JudgedPart(Frame(picture(40), part, 0.0, 1.0, f"{part}.png"), looked(0.05 + part / 100))


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (RuntimeUnavailable("the backend is gone", fix="restart"), "the backend is gone"),
        (ValueError("a stranger's"), "ValueError"),
    ],
)
def test_a_candidate_that_raises_is_refused(error: Exception, word: str) -> None:
    shadow = ShadowRun(Candidate(finding(), error), 10, LIMITS, ManualClock())
    shadow.look(seen())
    opinion = shadow.opinion()
    assert opinion.done
    assert word in opinion.against


def test_a_candidate_that_never_answers_is_refused() -> None:
    clock, wait = ManualClock(), threading.Event()
    candidate = Candidate(finding(), wait=wait)
    shadow = ShadowRun(candidate, 10, LIMITS, clock)
    shadow.start()
    shadow.offer(seen())
    wait_until(lambda: candidate.frames, "the candidate has a part")
    assert not shadow.opinion().done
    clock.advance(HANGS_S + 1)
    assert "hangs" in shadow.opinion().against
    shadow.stop()
    wait.set()


def test_a_candidate_on_a_slow_busy_core_is_given_its_time() -> None:
    clock, wait = ManualClock(), threading.Event()
    candidate = Candidate(finding(), wait=wait)
    shadow = ShadowRun(candidate, 10, LIMITS, clock)
    shadow.start()
    shadow.offer(JudgedPart(seen().frame, seen().live._replace(seconds=1.3)))
    wait_until(lambda: candidate.frames, "the candidate has a part")
    clock.advance(HANGS_S + 1)
    assert not shadow.opinion().done
    clock.advance(1.3 * HANGS_LOOKS)
    assert "hangs: no answer for 390 s" in shadow.opinion().against
    shadow.stop()
    wait.set()


def test_a_shadow_run_takes_no_part_from_the_line_and_no_time_from_the_live_model() -> None:
    candidate, wait = Candidate(finding(), wait=threading.Event()), threading.Event()
    candidate.wait = wait
    shadow = ShadowRun(candidate, 3, LIMITS, SystemClock())
    shadow.start()
    first = seen()
    shadow.offer(first)
    wait_until(lambda: candidate.frames, "the candidate has a part")
    for part in range(2, 50):
        shadow.offer(seen(part))
    wait.set()
    later = itertools.count(50)

    def done() -> bool:
        shadow.offer(seen(next(later)))
        return shadow.opinion().done

    wait_until(done, "the candidate has seen enough")
    opinion = shadow.opinion()
    assert opinion.figures["shadow_parts"] == 3
    assert candidate.priority == 19
    assert candidate.frames[0].pixels is not first.frame.pixels
    assert [frame.part for frame in candidate.frames[:2]] == [1, 2]
    shadow.stop()


def test_the_watch_counts_from_the_last_swap() -> None:
    watch = ModelWatch()
    watch.saw(seen().frame, finding(), 0.01)
    watch.failed()
    assert (watch.parts, watch.failures, len(watch.looks)) == (1, 1, 1)
    watch.begin()
    assert (watch.parts, watch.failures, watch.looks) == (0, 0, [])


def test_what_the_model_before_did_outlives_a_start() -> None:
    disk = MemoryDisk()
    ModelHistory(disk, Path("/before.json")).keep(line(20))
    assert ModelHistory(disk, Path("/before.json")).read() == line(20)
    disk.write(Path("/before.json"), 0, b"[[0.1")
    assert ModelHistory(disk, Path("/before.json")).read() == []


def host_for(rig: Rig, bundle: Bundle, tmp_path: Path) -> tuple[ModelHost, FolderSlots]:
    slots = FolderSlots(MemoryDisk(), tmp_path / "slots", ".zip")
    watch = ModelWatch()
    host = ModelHost(
        slots=slots,
        factory=bundle.path,
        opens=lambda found: LiveModel.of(found, real_inspector(found), "onnx CPU"),
        watch=watch,
        limits=LIMITS,
        clock=rig.clock,
        started="a",
    )
    return host, slots


def test_without_an_agent_nothing_can_be_switched(rig: Rig, bundle: Bundle, tmp_path: Path) -> None:
    host, _ = host_for(rig, bundle, tmp_path)
    with pytest.raises(UpdateError, match="no agent"):
        host.switch("b")
    assert host.running() == "a"


def test_a_switch_to_what_runs_changes_nothing_and_one_back_needs_no_disk(
    rig: Rig, bundle: Bundle, tmp_path: Path
) -> None:
    host, _ = host_for(rig, bundle, tmp_path)
    host.attach(rig.agent, rig.agent.model)
    first = rig.agent.model
    host.switch("a")
    assert rig.agent.model is first
    host.switch("b")
    assert rig.agent.model is not first
    host.switch("a")
    assert rig.agent.model is first
    host.rest()
    assert host.shadowed() == Opinion(done=True)


def test_where_no_bundle_can_be_opened_the_start_fails_with_its_reason(
    bundle: Bundle, tmp_path: Path
) -> None:
    slots = FolderSlots(MemoryDisk(), tmp_path / "slots", ".zip")

    def refuse(_bundle: Bundle) -> LiveModel:
        raise ParityError("it disagrees", fix="rebuild it")

    with pytest.raises(ParityError):
        start_model(slots, bundle.path, refuse)


def test_open_parts_end_under_the_model_that_judged_them(rig: Rig, bundle: Bundle) -> None:
    rig.show(127)
    other = LiveModel(
        "ffff", "eeee", real_inspector(bundle), bundle.codec, rig.agent.model.cap_bytes, "onnx"
    )
    rig.agent.swap(other)
    rig.show(127)
    rig.pass_deadline()
    rig.commit()
    assert [row["bundle"] for row in rig.rows] == [bundle.id, "ffff"]
    assert [one.pair for one in rig.escalations] == [bundle.manifest.pair, "eeee"]


def test_a_swap_waits_for_the_part_that_is_being_judged(bundle: Bundle, tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    class Slow:
        def look(self, _frame: Frame) -> Finding:
            entered.set()
            leave.wait(10)
            return finding()

    rig = Rig(tmp_path, bundle, inspector=Slow())
    judging = threading.Thread(target=lambda: rig.show(40))
    judging.start()
    entered.wait(10)
    fresh = LiveModel("ffff", "eeee", Slow(), bundle.codec, 100, "onnx")
    swapping = threading.Thread(target=lambda: rig.agent.swap(fresh))
    swapping.start()
    threading.Event().wait(0.05)
    assert rig.agent.model.bundle == bundle.id
    leave.set()
    judging.join()
    swapping.join()
    assert rig.agent.model.bundle == "ffff"
    rig.commit()
    assert rig.rows[0]["bundle"] == bundle.id
    rig.close()


def test_a_payload_of_another_bundle_than_was_signed_is_not_proven(
    rig: Rig, bundle: Bundle, tmp_path: Path
) -> None:
    slots = FolderSlots(MemoryDisk(), bundle.path.parent, "")
    host = ModelHost(
        slots=slots,
        factory=bundle.path,
        opens=lambda _bundle: rig.agent.model,
        watch=ModelWatch(),
        limits=LIMITS,
        clock=rig.clock,
        started="a",
    )
    slot: Slot = "b"
    (bundle.path.parent / slot).symlink_to(bundle.path)
    label = Label("models/tiny/1.zip", 1, "", 1, pair="0" * 16, bundle=bundle.id)
    with pytest.raises(UpdateError, match="pair 0000"):
        host.prove(slot, label)
    (bundle.path.parent / slot).unlink()
