"""What names of kinds mean, all of a set's at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.datasets.kinds import GOOD_NAMES, KindNames, is_good, plain, split_of


@pytest.mark.parametrize(
    ("names", "column", "good"),
    [
        (["good", "scratch"], "", {"good"}),
        (["OK", "NG"], "label", {"OK"}),
        (["io", "nio"], "label", {"io"}),
        (["i.O.", "n.i.O."], "label", {"i.O."}),
        (["pass", "fail"], "", {"pass"}),
        (["ok_front", "def_front"], "", {"ok_front"}),
        (["MT_Free", "MT_Crack", "MT_Blowhole"], "", {"MT_Free"}),
        (["Negative", "Positive"], "", {"Negative"}),
        (["cracked", "uncracked"], "", {"uncracked"}),
        (["Crack", "Non-crack"], "", {"Non-crack"}),
        (["crack", "no_crack"], "", {"no_crack"}),
        (["0", "1"], "defect", {"0"}),
        (["0", "1"], "label", {"0"}),
        (["0.0", "1.0"], "is_defective", {"0.0"}),
        (["true", "false"], "anomaly", {"false"}),
        (["0", "1"], "good", {"1"}),
        (["True", "False"], "is_ok", {"True"}),
        (["1"], "defect", set()),
        (["0"], "defect", {"0"}),
        (["crack", "dent"], "defect", set()),
    ],
)
def test_good_parts_are_told_by_all_names_together(
    names: list[str], column: str, good: set[str]
) -> None:
    kinds = KindNames.of(names, column)
    assert kinds.unclear == ""
    assert {name for name in names if kinds.kind(name) == "good"} == good


@pytest.mark.parametrize(
    ("names", "column", "said"),
    [
        (["0", "1", "good"], "label", "0, 1, good are mixed"),
        (["ok", "nok", "false"], "label", "mixed"),
        (["0", "1"], "quality", "whether 0 or 1 is good is not said by a column 'quality'"),
        (["0", "1", "2"], "label", "none of 0, 1, 2 says that a part is good"),
        (["-1", "1"], "label", "none of -1, 1"),
        (["a", "b"], "class", "none of a, b"),
        (["crack", "dent"], "", "none of crack, dent"),
    ],
)
def test_what_can_be_understood_in_two_ways_is_not_guessed(
    names: list[str], column: str, said: str
) -> None:
    assert said in KindNames.of(names, column).unclear


def test_what_was_understood_is_said() -> None:
    assert KindNames.of(["0", "1"], "good").notes == ("column good: 1 taken as good, 0 defective",)
    assert KindNames.of(["good", "crack"]).notes == ()
    assert "free taken as good" in KindNames.of(["free", "crack"]).notes


def test_kinds_that_differ_in_case_or_blanks_are_one_and_it_is_said() -> None:
    kinds = KindNames.of(["Crack", "crack ", "CRACK", "good"])
    assert {kinds.kind(name) for name in ("Crack", "crack ", "CRACK")} == {"CRACK"}
    assert "kinds that differ in case or blanks are one: CRACK, Crack, crack" in kinds.notes[0]


@given(st.sets(st.sampled_from([*"abcdefg", "good", "OK", "0", "1", "true"]), min_size=1))
def test_a_name_that_means_good_never_is_a_kind_of_defect(names: set[str]) -> None:
    kinds = KindNames.of(names, "label")
    for name in names:
        assert not is_good(name) or kinds.kind(name) == "good"
        assert kinds.kind(name) == kinds.kind(name)


def test_names_are_compared_without_case_blanks_and_point_zero() -> None:
    assert plain(" Not_OK ") == plain("not ok") == "not-ok"
    assert plain("1.0") == plain("1,00") == "1"
    assert all(plain(name) == name for name in GOOD_NAMES)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("Train", "train"),
        ("val", "calibrate"),
        ("validation", "calibrate"),
        ("TEST", "test"),
        ("good", None),
    ],
)
def test_owners_names_of_splits_are_known(name: str, split: str | None) -> None:
    assert split_of(name) == split
