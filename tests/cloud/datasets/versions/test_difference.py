"""What changed between two versions of a data set."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cloud.datasets.versions.difference import PictureChange, VersionDifference
from cloud.datasets.versions.version import VersionedPicture, content_of


def picture(relpath: str, content: str = "", **other: object) -> VersionedPicture:
    one = VersionedPicture(relpath, content or f"of {relpath}", "good", 0.0, "a", "all", "train")
    return msgspec.structs.replace(one, **other)


BEFORE = (picture("a.png"), picture("b.png"), picture("c.png", mask="1" * 64))


def test_each_change_stands_in_its_own_list() -> None:
    after = (
        picture("a.png", defect="crack", target=1.0, split="test", part="b", domain="line-2"),
        picture("c.png", mask="2" * 64, target=0.25),
        picture("d.png"),
    )
    found = VersionDifference.between(BEFORE, after)
    assert found.added == ["d.png"]
    assert found.removed == ["b.png"]
    assert found.relabelled == [PictureChange("a.png", "good", "crack")]
    assert found.judged_otherwise == [PictureChange("c.png", "0", "0.25")]
    assert found.moved == [PictureChange("a.png", "train", "test")]
    assert found.regrouped == [PictureChange("a.png", "a", "b")]
    assert found.of_another_domain == [PictureChange("a.png", "all", "line-2")]
    assert found.mask_changed == [PictureChange("c.png", "1" * 12, "2" * 12)]
    assert not found.renamed
    assert not found.replaced
    assert found.in_words().startswith("1 added, 1 removed, 1 relabelled")


def test_the_same_bytes_elsewhere_are_renamed_and_other_bytes_at_the_place_are_replaced() -> None:
    after = (picture("x/a.png", "of a.png"), picture("b.png", "new"), BEFORE[2])
    found = VersionDifference.between(BEFORE, after)
    assert found.renamed == [PictureChange("x/a.png", "a.png", "x/a.png")]
    assert found.replaced == [PictureChange("b.png", "of b.png", "new")]
    assert found.counts() == {"replaced": 1, "renamed": 1}


def test_a_copy_that_stays_is_not_taken_for_one_that_was_removed() -> None:
    before = (picture("a.png", "same"), picture("b.png", "same"))
    found = VersionDifference.between(before, (picture("b.png", "same"),))
    assert found.counts() == {"removed": 1}
    assert found.removed == ["a.png"]


pictures = st.builds(
    picture,
    relpath=st.sampled_from(["a", "b", "c", "d", "e"]),
    content=st.sampled_from(["1", "2", "3"]),
    defect=st.sampled_from(["good", "crack"]),
    split=st.sampled_from(["train", "test"]),
)
sets = st.lists(pictures, max_size=5, unique_by=lambda one: one.relpath)


@given(sets, sets)
def test_every_picture_is_told_once_and_nothing_is_told_of_the_same(
    before: list[VersionedPicture], after: list[VersionedPicture]
) -> None:
    found = VersionDifference.between(before, after)
    assert len(before) - len(found.removed) == len(after) - len(found.added)
    back = VersionDifference.between(after, before)
    assert (back.added, back.removed) == (found.removed, found.added)
    assert bool(found.counts()) == (sorted(before, key=str) != sorted(after, key=str))


@given(st.permutations(BEFORE), st.sampled_from(["", "elsewhere/"]))
def test_the_content_is_the_same_in_any_order_and_place(
    order: list[VersionedPicture], folder: str
) -> None:
    moved = [msgspec.structs.replace(one, relpath=folder + one.relpath) for one in order]
    assert content_of(moved) == content_of(BEFORE)
