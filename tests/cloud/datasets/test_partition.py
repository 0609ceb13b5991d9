"""The division into splits: by part alone, and as the set's owner wants it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.datasets.account import Account
from cloud.datasets.dataset import SPLITS, Split
from cloud.datasets.partition import SHARES, Division

names = st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=1, max_size=60)
seeds = st.integers(0, 5)


def nobody(parts: list[str]) -> list[Split | None]:
    return [None] * len(parts)


@given(names, names, seeds)
def test_new_parts_move_none_of_those_that_were_there(
    before: list[str], added: list[str], seed: int
) -> None:
    division = Division(seed)
    first = division.splits(before, nobody(before), Account())
    both = [*added, *before]
    assert division.splits(both, nobody(both), Account())[len(added) :] == first


def test_many_parts_are_divided_by_the_shares() -> None:
    parts = [f"part-{n}" for n in range(4000)]
    counts = Counter(Division(0).splits(parts, nobody(parts), Account()))
    for split, share in SHARES.items():
        assert counts[split] / 4000 == pytest.approx(share, abs=0.03)


def test_another_seed_divides_in_another_way() -> None:
    parts = [f"part-{n}" for n in range(40)]
    ways = {tuple(Division(seed).splits(parts, nobody(parts), Account())) for seed in range(3)}
    assert len(ways) == 3


@given(st.lists(st.sampled_from(SPLITS), min_size=3, max_size=40), seeds)
def test_an_owners_division_is_kept(owners: list[Split], seed: int) -> None:
    owners = [*owners, "calibrate"]
    parts = [str(n) for n in range(len(owners))]
    assert Division(seed).splits(parts, owners, Account()) == owners


def test_calibrate_comes_out_of_train_where_the_owner_has_none() -> None:
    parts = [str(n) for n in range(400)]
    owners: list[Split | None] = ["train" if n % 4 else "test" for n in range(400)]
    account = Account()
    found = Division(0).splits(parts, owners, account)
    assert [s for s, owner in zip(found, owners, strict=True) if owner == "test"] == ["test"] * 100
    aside = Counter(s for s, owner in zip(found, owners, strict=True) if owner == "train")
    assert set(aside) == {"train", "calibrate"}
    assert aside["calibrate"] / 300 == pytest.approx(0.2, abs=0.06)
    assert "no split to calibrate with" in account.notes[0]


def test_a_picture_that_the_owner_forgot_goes_where_its_part_is() -> None:
    account = Account()
    found = Division(0).splits(["a", "a", "b"], ["test", None, "calibrate"], account)
    assert found == ["test", "test", "calibrate"]
    assert account.notes == []
