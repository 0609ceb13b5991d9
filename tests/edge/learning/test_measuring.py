"""What a device answers about a network, and from which of its parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from edge.learner.device import LearningDevice, LearningRefused
from edge.learner.local_state import LocalState
from edge.learner.measurement import Asked, answer, compare
from edge.learning.labelled_parts import Use
from shared.bundles.bundle import Bundle
from shared.bundles.manifest import CODEC, HEAD, TAIL
from shared.certification.certificate import GRID
from shared.certification.gate import expit
from shared.certification.system_tally import SYSTEM_LENGTH, SystemTally
from shared.certification.tally import ScoreTally
from shared.errors import CodecError, RuntimeUnavailable, WireError
from shared.federation.base_network import BaseNetwork
from shared.federation.protocol import Scope, TrainOrder, VectorLayout
from shared.federation.questions import (
    Comparison,
    ModelStanding,
    Question,
    Threshold,
    TransmissionTerms,
)
from tests.bundles import make_bundle, picture
from tests.fleet.rounds.plants import SIZE, Plant

pytestmark = pytest.mark.torch

NOTHING = np.zeros(0, np.float16)
SIZES = {"height": SIZE, "width": SIZE, "channels": 1}


class Shades(Plant):
    """Parts of a brightness each, two pictures a part; from 150 on they are defective."""

    def __init__(self, *brightness: int, use: Use = "calibrate") -> None:
        super().__init__("shades", 2 * len(brightness), uses=[use])
        self.pictures = [picture(level + turn) for level in brightness for turn in (0, 1)]
        kept = zip(self._labels, [b for b in brightness for _ in (0, 1)], strict=True)
        self._labels = [
            type(label)(f"part-{level}", level >= 150, "", "", label.use) for label, level in kept
        ]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Its score is the picture's brightness."""
    return make_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


def device(parts: Plant, folder: Path) -> LearningDevice:
    base = BaseNetwork({"head.map_head.whole.weight": np.zeros(3, np.float32)}, SIZES, "b" * 64)
    return LearningDevice(parts, base, LocalState(folder))


def test_a_tally_counts_parts_by_their_lowest_and_highest_picture(
    bundle: Bundle, tmp_path: Path
) -> None:
    asked = Asked(Question("tally", "calibrate"), [bundle.read(HEAD)], NOTHING)
    found = answer(device(Shades(60, 100, 127, 200), tmp_path), asked)
    tally = ScoreTally.read(found.vector.astype(np.int64))
    assert (tally.good.parts, tally.defective.parts, tally.pictures) == (3, 1, 8)
    at = int(np.searchsorted(GRID, 0.45))
    assert (tally.good.passing()[at], tally.defective.passing()[at]) == (2, 0)
    assert tally.good.rejected()[int(np.searchsorted(GRID, 0.51))] == 1
    assert found.weight == 1


GATE = Threshold(0.2, 0.8)


def whole(bundle: Bundle, **changes: Any) -> Asked:
    """A question about head and tail together."""
    passage = TransmissionTerms(bundle.read(CODEC), bundle.manifest.features.shape, 4096, 1.0, 0)
    changed = msgspec.structs.replace(passage, **changes)
    about = Question("system", "calibrate", gates=[GATE], passage=changed)
    return Asked(about, [bundle.read(HEAD), bundle.read(TAIL)], NOTHING)


def counted(asked: Asked, parts: Plant, folder: Path) -> SystemTally:
    return SystemTally.read(answer(device(parts, folder), asked).vector.astype(np.int64))


def test_the_system_is_counted_as_edge_and_cloud_would_decide(
    bundle: Bundle, tmp_path: Path
) -> None:
    """The gate passes below a brightness of 114 and rejects from 141; the tail knows 127."""
    shades = Shades(60, 118, 136, 200)
    found = counted(whole(bundle), shades, tmp_path)
    assert (found.good, found.defective) == (3, 1)
    # Of the good ones, the first passes at the edge whatever the cloud does, the others escalate.
    assert found.rejected_by(float(GRID[0])) == 2
    assert found.rejected_by(float(GRID[len(GRID) // 2])) == 1
    assert found.rejected_by(float(GRID[-1])) == 0
    # The defective one is rejected at the edge.
    assert found.passed_by(float(GRID[-1])) == 0


def test_parts_before_the_edges_bin_are_known_to_be_paid_for(
    bundle: Bundle, tmp_path: Path
) -> None:
    shades = Shades(60, 150, 200)
    bins = [0, int(np.searchsorted(GRID, 0.93)), len(GRID)]
    found = [counted(whole(bundle, edge_bin=one), shades, tmp_path) for one in bins]
    assert [one.before for one in found] == [0, 1, 2]


def test_the_tail_sees_what_is_left_of_features_that_are_sent_coarser(
    bundle: Bundle, tmp_path: Path
) -> None:
    shades = Shades(118, 136)
    below, above = (float(GRID[len(GRID) // 2 + step]) for step in (-1, 1))
    fine = counted(whole(bundle), shades, tmp_path)
    nothing = counted(whole(bundle, cap_bytes=0), shades, tmp_path)
    # Without any features the tail says exactly one half of both.
    assert (fine.rejected_by(below), fine.rejected_by(above)) == (1, 1)
    assert (nothing.rejected_by(below), nothing.rejected_by(above)) == (2, 0)


def test_the_tails_score_is_weighed_against_the_heads(bundle: Bundle, tmp_path: Path) -> None:
    parts = Shades(118, 122, 130, 136)
    (tail, both, head) = (
        counted(whole(bundle, tail_weight=w), parts, tmp_path).rejecting for w in (1.0, 0.5, 0.0)
    )
    assert not np.array_equal(tail, both)
    assert not np.array_equal(both, head)
    scores = [expit((shade + 1 - 127) / 10) for shade in (118, 122, 130, 136)]
    np.testing.assert_allclose(np.flatnonzero(head), np.searchsorted(GRID, scores), atol=1)


def test_nothing_to_count_with_the_tail_is_an_answer_too(bundle: Bundle, tmp_path: Path) -> None:
    found = answer(device(Shades(60, 200, use="train"), tmp_path), whole(bundle))
    assert found.vector.shape == (SYSTEM_LENGTH,)
    assert not found.vector.any()


def test_a_question_about_the_system_that_lacks_something_is_refused(
    bundle: Bundle, tmp_path: Path
) -> None:
    here, sound = device(Shades(60, 200), tmp_path), whole(bundle)
    lacking = [
        Asked(msgspec.structs.replace(sound.question, passage=None), sound.models, NOTHING),
        Asked(msgspec.structs.replace(sound.question, gates=[]), sound.models, NOTHING),
        Asked(sound.question, sound.models[:1], NOTHING),
    ]
    for asked in lacking:
        with pytest.raises(WireError, match="lacks a model, a gate or the way between"):
            answer(here, asked)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"codec": b"{}"}, "the codec tables can't be read"),
        ({"shape": (9, 4, 4)}, "codec tables for 4 channels, the features have 9"),
        ({"shape": (4, 2, 2)}, "symbols of shape"),
    ],
)
def test_a_codec_that_does_not_fit_the_head_is_refused(
    bundle: Bundle, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(CodecError, match=said):
        answer(device(Shades(60, 200), tmp_path), whole(bundle, **changes))


@pytest.mark.parametrize(
    ("tail", "said"), [(TAIL, "can't run this model"), (HEAD, "failed on the tail")]
)
def test_a_tail_that_does_not_run_here_is_told_by_name(
    bundle: Bundle, tmp_path: Path, tail: str, said: str
) -> None:
    raw = b"none" if tail == TAIL else bundle.read(tail)
    asked = Asked(whole(bundle).question, [bundle.read(HEAD), raw], NOTHING)
    with pytest.raises(RuntimeUnavailable, match=said):
        answer(device(Shades(60, 200), tmp_path), asked)


@pytest.mark.parametrize("use", ["train", "test"])
def test_parts_of_another_use_are_never_counted_for_the_certificate(
    bundle: Bundle, tmp_path: Path, use: Use
) -> None:
    asked = Asked(Question("tally", "calibrate"), [bundle.read(HEAD)], NOTHING)
    found = answer(device(Shades(60, 200, use=use), tmp_path), asked)
    assert not found.vector.any()


def test_a_device_compares_two_models_on_its_own_parts(bundle: Bundle, tmp_path: Path) -> None:
    gates = [Threshold(0.1, 0.9), Threshold(0.4, 0.44)]
    asked = Asked(Question("comparison", "test", gates=gates), [bundle.read(HEAD)] * 2, NOTHING)
    found = compare(device(Shades(60, 124, 155, 200, use="test"), tmp_path), asked)
    assert (found.good, found.defective, found.pictures) == (2, 2, 8)
    assert found.before == ModelStanding(auroc=1.0, escapes=0, overkill=0, escalated=2)
    # Of the part between, one picture scores 0.43 and one 0.45.
    assert found.after == ModelStanding(auroc=1.0, escapes=0, overkill=1, escalated=1)


def test_a_device_without_such_parts_refuses_by_name(bundle: Bundle, tmp_path: Path) -> None:
    asked = Asked(Question("symbols", "train", limit=8), [bundle.read(HEAD)], NOTHING)
    with pytest.raises(LearningRefused, match="shades has no parts for this"):
        answer(device(Shades(60, use="test"), tmp_path), asked)


def test_no_more_pictures_are_looked_at_than_asked_for(bundle: Bundle, tmp_path: Path) -> None:
    shades = Shades(60, 100, 127, 200, 210, use="train")
    places = 4 * (SIZE // 16) ** 2
    for most, looked in ((0, 10), (1, 1), (4, 4), (50, 10)):
        asked = Asked(Question("symbols", "train", most, limit=8), [bundle.read(HEAD)], NOTHING)
        assert answer(device(shades, tmp_path), asked).vector.sum() == looked * places


def test_values_of_another_base_or_other_layers_are_refused(tmp_path: Path) -> None:
    here = device(Shades(60, 200, use="train"), tmp_path)
    layout = VectorLayout.of(here.base.arrays, here.base.arrays)
    scope = Scope(from_block=7)
    for order, said in (
        (TrainOrder("r", "c" * 64, layout.sha256, scope), "not cccc"),
        (TrainOrder("r", "b" * 64, "other", scope), "other layers"),
    ):
        asked = Asked(Question("moments", "train", order=order), [], np.zeros(3, np.float16))
        with pytest.raises(LearningRefused, match=said):
            answer(here, asked)


def test_what_is_no_question_or_comparison_is_refused() -> None:
    with pytest.raises(WireError, match="can't be read"):
        Question.decode(b'{"what": "pictures", "use": "train"}')
    with pytest.raises(WireError, match="asks nothing"):
        Question.decode("text")
    with pytest.raises(WireError, match="no comparison"):
        Comparison.decode(None)
    good = Comparison(1, 1, 2, ModelStanding(0.5, 0, 0, 0), ModelStanding(1.5, 0, 0, 0))
    with pytest.raises(WireError, match="contradicts itself"):
        Comparison.decode(good.encode())
