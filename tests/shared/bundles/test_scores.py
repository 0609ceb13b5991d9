"""The scores of the tested parts as they lie in a bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shared.bundles.bundle import amend_bundle
from shared.bundles.scores import TESTED, ScoredParts
from shared.errors import BundleError
from tests.bundles import make_bundle
from tests.cloud.thresholds.certified import drawn_scores


def test_scores_come_back_as_they_went_in(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "tiny")
    scores = drawn_scores(bundle)
    written = amend_bundle(bundle, {}, tmp_path / "with", {TESTED: scores.to_bytes()})
    found = written.tested
    assert found is not None
    np.testing.assert_array_equal(found.edge, scores.edge)
    np.testing.assert_array_equal(found.cloud, scores.cloud)
    np.testing.assert_array_equal(found.defective, scores.defective)
    assert bundle.tested is None


def test_another_pairs_scores_say_nothing_of_this_one(tmp_path: Path) -> None:
    scores = drawn_scores(make_bundle(tmp_path / "tiny"))
    assert ScoredParts.from_bytes(scores.to_bytes(), "0" * 16) is None


@pytest.mark.parametrize("raw", [b"", b"PK\x05\x06" + bytes(18), b"no archive"])
def test_what_is_no_table_of_scores_is_refused(raw: bytes) -> None:
    with pytest.raises(BundleError, match=TESTED):
        ScoredParts.from_bytes(raw, "0" * 16)


def test_columns_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    scores = drawn_scores(make_bundle(tmp_path / "tiny"))
    for broken in (
        replace(scores, edge=scores.edge[1:]),
        replace(scores, part=scores.part + 1),
        replace(scores, defective=scores.defective[1:]),
    ):
        with pytest.raises(BundleError, match="belong together"):
            ScoredParts.from_bytes(broken.to_bytes(), scores.pair)
