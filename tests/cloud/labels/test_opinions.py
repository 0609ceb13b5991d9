"""What stands of what several inspectors said."""

from __future__ import annotations

import pytest

from cloud.labels.opinions import LabelOpinion, is_split, standing, voices
from cloud.labels.second_looks import SECOND_EVERY, Judgement, looks_needed
from shared.contracts import InspectionKey, PlainVerdict

KEY = InspectionKey("box-1", "b1", 1)


def said(text: str) -> list[LabelOpinion]:
    """`ada:reject meyer?pass` is ada's label, and one of meyer who did not know it."""
    found = []
    for number, word in enumerate(text.split(), start=1):
        blind = "?" in word
        inspector, _, verdict = word.replace("?", ":").partition(":")
        told: PlainVerdict = "pass" if verdict == "pass" else "reject"
        found.append(LabelOpinion(number, inspector, told, blind=blind))
    return found


@pytest.mark.parametrize(
    ("opinions", "stands", "split"),
    [
        ("", None, False),
        ("ada:reject", 1, False),
        ("ada:reject meyer:pass", 2, False),
        ("ada:reject meyer?pass", 1, True),
        ("ada:reject meyer?reject", 1, False),
        ("ada:reject meyer?pass li?pass", 2, False),
        ("ada:reject meyer?pass li?reject", 1, False),
        ("ada:reject meyer?pass ada:pass", 3, False),
        ("ada:reject meyer?pass ada?pass", 2, False),
        ("ada?reject meyer?pass", 1, True),
    ],
)
def test_most_voices_stand_and_who_knew_the_others_overrules_them(
    opinions: str, stands: int | None, split: bool
) -> None:
    found = standing(said(opinions))
    assert (found.number if found else None, is_split(said(opinions))) == (stands, split)


def test_each_inspector_has_one_voice_their_last() -> None:
    assert [one.number for one in voices(said("ada:pass meyer?reject meyer?pass"))] == [1, 3]


def test_a_part_on_which_inspectors_differ_is_looked_at_by_a_third() -> None:
    found = looks_needed(KEY, said("ada:reject meyer?pass"), Judgement())
    assert found is not None
    assert found[0] == "split"
    assert looks_needed(KEY, said("ada:reject meyer?pass li?pass"), Judgement()) is None


def test_a_label_that_the_system_disputes_is_looked_at_again_the_surest_first() -> None:
    worth = [
        looks_needed(KEY, said("ada:pass"), Judgement("reject", score)) for score in (0.99, 0.7)
    ]
    assert [found[0] for found in worth if found] == ["disputed", "disputed"]
    assert worth == sorted(worth, reverse=True, key=lambda found: found[1] if found else 0)
    assert looks_needed(KEY, said("ada:pass meyer?pass"), Judgement("reject", 0.99)) is None


def test_one_in_twenty_is_looked_at_twice_whatever_was_said_of_it() -> None:
    keys = [InspectionKey("box-1", "b1", number) for number in range(1, 4001)]
    for opinions in ("ada:pass", "meyer:reject"):
        drawn = [key for key in keys if looks_needed(key, said(opinions), Judgement())]
        assert 4000 / SECOND_EVERY * 0.75 < len(drawn) < 4000 / SECOND_EVERY * 1.25
    assert drawn == [key for key in keys if looks_needed(key, said("ada:pass"), Judgement())]
