from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.actuator.base import RecordingActuator
from edge.actuator.calls import GONE_S
from edge.agent import MAX_OPEN
from edge.camera.base import MissedFrame
from edge.inspection.inspector import Inspector
from shared.bundles.bundle import Bundle
from shared.certification.gate import Gate
from shared.contracts import VERDICTS, Decision, Finding, Frame, Verdict
from shared.errors import ActuatorError, CameraError, RuntimeUnavailable
from shared.runtime.base import Array, Runtime
from shared.wire import MAX_BATCH, Escalation, decode
from tests.bundles import BAD, GOOD, UNSURE_BAD, knowing
from tests.edge.rigs import ADDRESS, Rig, ScriptedInspector, rows_in


def test_a_good_part_passes_once_it_is_on_disk(rig: Rig) -> None:
    rig.show(GOOD)
    assert rig.recorded.actuations == []
    rig.commit()
    assert rig.recorded.verdicts == {1: "pass"}
    assert rig.rows[0]["decided_by"] == "edge"
    assert rig.rows[0]["total_ms"] is not None
    assert not rig.escalations


def test_a_bad_part_is_rejected_at_the_edge(rig: Rig) -> None:
    rig.show(BAD)
    rig.commit()
    assert rig.recorded.verdicts == {1: "reject"}
    assert rig.rows[0]["decision"] == "reject"


def test_an_unsure_part_is_escalated_before_the_disk_has_it(rig: Rig, bundle: Bundle) -> None:
    rig.show(UNSURE_BAD)
    (sent,) = rig.escalations
    assert (sent.boot, sent.sequence, sent.pair) == (rig.journal.boot, 1, bundle.manifest.pair)
    assert sent.remaining == pytest.approx(0.5)
    assert sent.expires == pytest.approx(rig.clock.utc() + 0.5)


def test_an_escalation_carries_features_that_the_cloud_can_decode(rig: Rig, bundle: Bundle) -> None:
    rig.show(UNSURE_BAD)
    delivery = rig.broker.published[-1]
    _, body = decode(delivery.payload, Escalation)
    assert bundle.codec.decode(body).shape == bundle.manifest.features.shape
    version, trace, span, flags = delivery.properties["traceparent"].split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")


@pytest.mark.parametrize("verdict", VERDICTS)
def test_the_clouds_verdict_is_journaled_then_actuated(rig: Rig, verdict: Verdict) -> None:
    rig.show(UNSURE_BAD)
    rig.commit()
    rig.clock.advance(0.1)
    rig.answer(1, verdict)
    assert rig.recorded.actuations == []
    rig.commit()
    assert rig.recorded.verdicts == {1: verdict}
    ((_, kept),) = rig.journal.unsent(9)
    assert (kept.verdict, kept.decided_by, kept.decision) == (verdict, "cloud", "escalate")
    assert kept.total_ms == pytest.approx(100)
    assert kept.escalated_bytes == len(rig.broker.published[0].payload)


@pytest.mark.parametrize(("takes_review", "told"), [(True, "review"), (False, "reject")])
def test_an_actuator_is_told_of_a_review_only_where_it_takes_one(
    tmp_path: Path, bundle: Bundle, *, takes_review: bool, told: Verdict
) -> None:
    actuator = RecordingActuator(takes_review=takes_review)
    rig = Rig(tmp_path, bundle, actuator=actuator)
    rig.show(UNSURE_BAD)
    rig.answer(1, "review")
    rig.commit()
    assert actuator.verdicts == {1: told}
    ((_, kept),) = rig.journal.unsent(9)
    assert (kept.verdict, kept.decided_by) == ("review", "cloud")
    rig.close()


def test_where_there_is_no_cloud_a_part_goes_to_review_at_once(
    tmp_path: Path, bundle: Bundle
) -> None:
    inspector = ScriptedInspector(bundle, iter([Decision.REVIEW]))
    rig = Rig(tmp_path, bundle, inspector=inspector)
    rig.show(GOOD)
    rig.commit()
    assert rig.recorded.verdicts == {1: "review"}
    assert not rig.escalations
    ((_, kept),) = rig.journal.unsent(9)
    assert (kept.decision, kept.verdict, kept.decided_by) == ("review", "review", "edge")
    assert len(rows_in(rig.folder, "frames")) == 1
    rig.close()


def test_a_part_unlike_anything_seen_is_escalated_whatever_its_score_and_says_so(
    tmp_path: Path, bundle: Bundle
) -> None:
    known = knowing(bundle, tmp_path / "known", 100, 230)
    rig = Rig(tmp_path / "box", known)
    rig.show(GOOD)
    rig.show(BAD)
    rig.commit()
    assert len(rig.escalations) == 1
    assert rig.recorded.verdicts == {2: "reject"}
    rig.answer(1, "review")
    rig.commit()
    kept = {one.part: one for _, one in rig.journal.unsent(9)}
    assert (kept[1].decision, kept[1].verdict, kept[1].decided_by) == (
        "escalate",
        "review",
        "cloud",
    )
    assert kept[1].score < known.manifest.gate.pass_below
    assert kept[1].fields["novelty"] > 1
    assert kept[2].fields == {}
    rig.close()


def test_without_an_answer_the_part_is_diverted_at_its_deadline(rig: Rig) -> None:
    rig.show(UNSURE_BAD)
    rig.commit()
    rig.clock.advance(0.499)
    rig.expire()
    assert rig.recorded.actuations == []
    rig.clock.advance(0.002)
    rig.expire()
    rig.commit()
    assert rig.recorded.verdicts == {1: "reject"}
    assert (rig.rows[0]["verdict"], rig.rows[0]["decided_by"]) == ("reject", "deadline")


@pytest.mark.parametrize("late", VERDICTS)
def test_a_verdict_after_the_deadline_is_kept_but_never_actuated(rig: Rig, late: Verdict) -> None:
    rig.show(UNSURE_BAD)
    rig.commit()
    rig.pass_deadline()
    rig.answer(1, late, score=0.25)
    rig.commit()
    assert [told.verdict for told in rig.recorded.actuations] == ["reject"]
    (row,) = rig.rows
    assert (row["verdict"], row["decided_by"]) == ("reject", "deadline")
    assert (row["late_verdict"], row["late_score"]) == (late, 0.25)


@pytest.mark.parametrize("late", VERDICTS)
def test_an_answer_that_the_disk_gets_too_late_counts_as_late(rig: Rig, late: Verdict) -> None:
    rig.show(UNSURE_BAD)
    rig.commit()
    rig.answer(1, late, score=0.25)
    rig.pass_deadline()
    rig.commit()
    assert [told.verdict for told in rig.recorded.actuations] == ["reject"]
    (row,) = rig.rows
    assert (row["verdict"], row["decided_by"]) == ("reject", "deadline")
    assert (row["late_verdict"], row["late_score"]) == (late, 0.25)


def test_a_pass_that_the_disk_gets_too_late_is_diverted_and_recorded_so(rig: Rig) -> None:
    rig.show(GOOD)
    rig.pass_deadline()
    rig.commit()
    assert [told.verdict for told in rig.recorded.actuations] == ["reject"]
    (row,) = rig.rows
    assert (row["decision"], row["verdict"], row["decided_by"]) == ("pass", "reject", "deadline")


def test_a_deadline_that_passes_during_inference_keeps_its_verdict(
    tmp_path: Path, bundle: Bundle
) -> None:
    class Slow(ScriptedInspector):
        def look(self, frame: Frame) -> Finding:
            rig.pass_deadline()
            return super().look(frame)

    rig = Rig(tmp_path, bundle, inspector=Slow(bundle, iter([Decision.PASS])))
    rig.show(GOOD)
    rig.commit()
    assert [told.verdict for told in rig.recorded.actuations] == ["reject"]
    (row,) = rig.rows
    assert (row["decision"], row["verdict"], row["decided_by"]) == ("pass", "reject", "deadline")
    rig.close()


class Broken:
    """Gives this score, and features that are not numbers."""

    name, device = "broken", "CPU"

    def __init__(self, bundle: Bundle, score: float) -> None:
        self._shape, self._score = bundle.codec.shape, score

    def run(self, inputs: Array) -> list[Array]:
        features = np.full((len(inputs), *self._shape), np.nan, np.float32)
        scores = np.array([self._score], np.float32)
        return [features, np.zeros((1, 1, 8, 8), np.float32), scores]


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_finite_number_escalates(
    tmp_path: Path, bundle: Bundle, score: float
) -> None:
    rig = Rig(tmp_path, bundle, inspector=_inspector(bundle, Broken(bundle, score)))
    rig.show(GOOD)
    rig.commit()
    assert rig.rows[0]["decision"] == "escalate"
    assert rig.rows[0]["score"] == 1.0
    assert len(rig.escalations) == 1
    rig.close()


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_finite_number_is_reviewed_where_there_is_no_cloud(
    bundle: Bundle, rig: Rig, score: float
) -> None:
    gate = Gate(0.2, 0.8, 0.5, escalates=False)
    alone = Inspector(Broken(bundle, score), bundle.codec, gate, bundle.manifest.input.shape)
    assert alone.look(rig.frame(GOOD)).decision is Decision.REVIEW


def test_a_part_without_a_picture_is_diverted_at_once(rig: Rig) -> None:
    now = rig.clock.monotonic()
    error = CameraError("cut off", fix="replace it")
    rig.inspect(MissedFrame(7, now, now + 0.5, "x.png", error))
    rig.commit()
    assert rig.recorded.verdicts == {7: "reject"}
    assert (rig.rows[0]["verdict"], rig.rows[0]["decided_by"]) == ("reject", "deadline")


def test_a_part_on_which_the_backend_fails_is_diverted(tmp_path: Path, bundle: Bundle) -> None:
    class Failing:
        def look(self, frame: Frame) -> Finding:
            raise RuntimeUnavailable(f"the driver lost part {frame.part}", fix="restart")

    rig = Rig(tmp_path, bundle, inspector=Failing())
    rig.show(GOOD)
    rig.commit()
    assert rig.recorded.verdicts == {1: "reject"}
    assert rig.health.problems == ("head: the driver lost part 1; restart",)
    rig.close()


def test_an_exception_of_the_backend_becomes_one_of_ours(bundle: Bundle, rig: Rig) -> None:
    class Crashing:
        name, device = "crashing", "CPU"

        def run(self, inputs: Array) -> list[Array]:
            raise ValueError(inputs.shape)

    with pytest.raises(RuntimeUnavailable, match="crashing failed on part 1"):
        _inspector(bundle, Crashing()).look(rig.frame(GOOD))


def test_nothing_is_queued_for_a_broker_that_is_away(rig: Rig) -> None:
    rig.transport.lose()
    rig.show(UNSURE_BAD)
    rig.transport.restore()
    rig.commit()
    assert not rig.escalations
    assert rig.health.counts["escalations_unsent"] == 1
    rig.pass_deadline()
    rig.commit()
    assert rig.recorded.verdicts == {1: "reject"}
    assert rig.rows[0]["escalated_bytes"] == 0


def test_a_verdict_on_another_boot_is_kept_out(rig: Rig) -> None:
    rig.show(UNSURE_BAD)
    rig.answer(1, "pass", boot="0123456789abcdef")
    rig.commit()
    assert rig.recorded.actuations == []


def test_a_verdict_that_nobody_asked_for_changes_nothing(rig: Rig) -> None:
    rig.show(GOOD)
    rig.answer(1, "reject")
    rig.commit()
    assert rig.recorded.verdicts == {1: "pass"}


def test_a_second_answer_changes_nothing(rig: Rig) -> None:
    rig.show(UNSURE_BAD)
    rig.answer(1, "pass")
    rig.answer(1, "reject")
    rig.commit()
    rig.answer(1, "reject")
    rig.commit()
    assert [told.verdict for told in rig.recorded.actuations] == ["pass"]
    assert (rig.rows[0]["verdict"], rig.rows[0]["late_verdict"]) == ("pass", None)


@pytest.mark.parametrize("payload", [b"", b"hello", b"SPL\x02\x00\x00", b"SPL\x01\x00\x05abcde"])
def test_a_malformed_verdict_is_ignored(rig: Rig, payload: bytes) -> None:
    rig.show(UNSURE_BAD)
    rig.cloud.publish(ADDRESS.topic("verdict"), payload)
    assert rig.health.counts["payloads_refused"] == 1
    rig.answer(1, "pass")
    rig.commit()
    assert rig.recorded.verdicts == {1: "pass"}


@pytest.mark.parametrize("error", [ActuatorError("no answer", fix="look"), ValueError("bug")])
def test_an_actuator_that_fails_is_a_problem_and_the_verdict_stays(
    tmp_path: Path, bundle: Bundle, error: Exception
) -> None:
    class Dead(RecordingActuator):
        def actuate(self, part: int, verdict: Verdict, *, at: float) -> None:
            super().actuate(part, verdict, at=at)
            raise error

    rig = Rig(tmp_path, bundle, actuator=Dead())
    rig.show(BAD)
    rig.commit()
    assert rig.rows[0]["verdict"] == "reject"
    assert rig.health.counts["actuator_failures"] == 1
    assert rig.health.problems[0].startswith("actuator: ")
    rig.close()


def test_pictures_of_rejected_and_escalated_parts_are_kept(rig: Rig) -> None:
    for brightness in (GOOD, BAD, UNSURE_BAD):
        rig.show(brightness)
    rig.commit()
    assert [row["id"] for row in rows_in(rig.folder, "frames")] == [2, 3]


Step = Literal[
    "pass", "reject", "review", "escalate", "commit", "answer", "late answer", "doubt", "tick",
    "expire",
]  # fmt: skip
STEPS: tuple[Step, ...] = get_args(Step)
TICK_S = 0.2
ANSWERS: dict[str, Verdict] = {"answer": "pass", "late answer": "reject", "doubt": "review"}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 5)), max_size=30))
@example([("pass", 0), *[("tick", 0)] * 5])
def test_each_part_is_actuated_exactly_once_whatever_comes_first(
    bundle: Bundle, steps: list[tuple[Step, int]]
) -> None:
    decisions = (Decision(step) for step, _ in steps if step in set(Decision))
    with tempfile.TemporaryDirectory() as folder:
        rig = Rig(Path(folder), bundle, inspector=ScriptedInspector(bundle, decisions), keep="none")
        parts = 0
        for step, number in steps:
            match step:
                case "pass" | "reject" | "review" | "escalate":
                    rig.show(GOOD)
                    parts += 1
                case "commit":
                    rig.journal.commits.step()
                case "answer" | "late answer" | "doubt":
                    rig.answer(max(1, parts - number), ANSWERS[step])
                case "tick":
                    rig.clock.advance(TICK_S)
                case "expire":
                    rig.expire()
        rig.pass_deadline()
        rig.commit()
        told = [(a.part, a.verdict) for a in rig.recorded.actuations]
        assert [row["part"] for row in rig.rows] == list(range(1, parts + 1))
        unsent = [(row.part, row.verdict) for _, row in rig.journal.unsent(MAX_BATCH)]
        # Of a part that has long passed the ejector is not told: it would move another one.
        gone = rig.health.counts.get("verdicts_after_their_part", 0)
        waited_s = TICK_S * sum(step == "tick" for step, _ in steps)
        assert gone == 0 or waited_s >= GONE_S
        assert len(told) + gone == parts
        assert len(set(told)) == len(told)
        assert set(told) <= set(unsent)
        rig.close()


def test_the_camera_is_not_allowed_to_run_far_ahead_of_the_verdicts(rig: Rig) -> None:
    for _ in range(MAX_OPEN + 1):
        rig.show(GOOD)
    assert not rig.agent.deadlines.wait_until_settled(0.0, at_most=MAX_OPEN)
    rig.commit()
    assert rig.agent.deadlines.wait_until_settled(0.0)


def _inspector(bundle: Bundle, runtime: Runtime) -> Inspector:
    manifest = bundle.manifest
    return Inspector(runtime, bundle.codec, manifest.gate.gate, manifest.input.shape)
