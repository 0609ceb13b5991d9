"""How far a gate may be moved: by the certificate's own test, or no further than what it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.thresholds.marks import LAST, Marks
from cloud.thresholds.promise import certificate_of, chosen_again, promise_range
from shared.bundles.bundle import Bundle, amend_bundle
from shared.bundles.scores import TESTED
from shared.certification.certificate import GRID, fixed_sequence
from shared.certification.gate import Gate
from shared.certification.prices import Prices
from tests.bundles import make_bundle
from tests.cloud.thresholds.certified import LIMITS, certified
from tests.shared.certification.test_promises import GATE
from tests.shared.certification.test_promises import certificate as older_certificate

PLACES = st.integers(0, LAST)


@pytest.fixture(scope="module")
def promised(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("promised")
    return certified(make_bundle(folder / "tiny"), folder / "certified")


def test_the_scores_in_a_bundle_give_the_certificates_test_again(promised: Bundle) -> None:
    chosen = chosen_again(promised)
    assert chosen is not None
    assert chosen.gate == promised.manifest.gate.gate
    found = promise_range(promised)
    assert found.ground == "tested"
    assert found.holds(promised.manifest.gate.gate)


@given(edge=st.tuples(PLACES, PLACES).map(sorted), cloud=st.tuples(PLACES, PLACES).map(sorted))
def test_whatever_gate_is_said_to_keep_the_promise_errs_no_more_than_the_test_allows(
    promised: Bundle, edge: list[int], cloud: list[int]
) -> None:
    before = promised.manifest.gate.gate
    gate = replace(
        before,
        pass_below=float(GRID[edge[0]]),
        reject_from=float(GRID[edge[1]]),
        cloud_pass_below=float(GRID[cloud[0]]),
        cloud_reject_from=float(GRID[cloud[1]]),
    )
    tested = promised.tested
    assert tested is not None
    defective, good = tested.kinds
    if not promise_range(promised).holds(gate):
        assert certificate_of(promised, gate, Prices()) is None
        return
    escapes = np.array([defective.passed(gate, with_cloud=True)])
    rejects = np.array([good.rejected(gate, with_cloud=True)])
    assert fixed_sequence(escapes, defective.parts, LIMITS.escape, LIMITS.delta) == 1
    assert fixed_sequence(rejects, good.parts, LIMITS.false_reject, LIMITS.delta) == 1


def test_a_more_careful_gate_keeps_its_certificate_and_a_bolder_one_has_none(
    promised: Bundle, tmp_path: Path
) -> None:
    gate = promised.manifest.gate.gate
    assert gate.cloud_pass_below is not None
    careful = replace(gate, pass_below=gate.pass_below / 2)
    kept = certificate_of(promised, careful, Prices())
    assert kept is not None
    written = amend_bundle(
        promised, {"gate": kept.gate, "certificate": kept, "version": "1.0.1"}, tmp_path / "kept"
    )
    assert written.manifest.certificate == kept
    assert chosen_again(written) is not None
    found = promise_range(promised)
    bold = replace(gate, pass_below=found.pass_below + 0.01)
    assert found.broken_by(bold) == ["pass_below"]
    assert certificate_of(promised, bold, Prices()) is None
    dropped = amend_bundle(
        promised,
        {"gate": {**promised.manifest.gate.model_dump(), "pass_below": 0.6}},
        tmp_path / "b",
    )
    assert dropped.manifest.certificate is None


def test_without_the_scores_nothing_beyond_what_was_certified_is_promised(tmp_path: Path) -> None:
    bundle = certified(make_bundle(tmp_path / "tiny"), tmp_path / "bare", keep_scores=False)
    gate, found = bundle.manifest.gate.gate, promise_range(bundle)
    assert found.ground == "certified"
    assert found.holds(gate)
    assert found.holds(replace(gate, pass_below=gate.pass_below * 0.9))
    assert not found.holds(replace(gate, pass_below=gate.pass_below * 1.01))
    assert certificate_of(bundle, gate, Prices()) is None


def test_scores_that_do_not_give_what_the_certificate_says_are_not_believed(
    promised: Bundle, tmp_path: Path
) -> None:
    tested = promised.tested
    assert tested is not None
    better = replace(tested, cloud=np.where(tested.defective, 0.99, 0.01))
    other = amend_bundle(promised, {}, tmp_path / "other", {TESTED: better.to_bytes()})
    assert other.manifest.certificate is not None
    assert promise_range(other).ground == "certified"


def test_a_certificate_of_another_test_leaves_no_room(tmp_path: Path) -> None:
    tiny = make_bundle(tmp_path / "tiny")
    older = amend_bundle(
        tiny, {"gate": GATE, "certificate": older_certificate(tiny)}, tmp_path / "older"
    )
    found = promise_range(older)
    assert found.ground == "nothing"
    assert not found.holds(older.manifest.gate.gate)


def test_marks_keep_their_gate_and_find_their_place_again(promised: Bundle) -> None:
    gate = promised.manifest.gate.gate
    assert Marks.of(gate).gate == gate
    off_grid = replace(gate, pass_below=0.1234567)
    assert Marks.of(off_grid).gate == off_grid
    for place in (0, 1, 1500, 2001, 2500, LAST - 1, LAST):
        marks = Marks(Gate(0.0, 1.0, 1.0, 0.5, 0.0), {"reject_from": place})
        again = Marks.of(
            Gate(0.0, 1.0, 1.0, 0.5, 0.0), {"reject_from": float(marks.written()["reject_from"])}
        )
        assert again.places["reject_from"] == place
