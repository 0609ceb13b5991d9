"""Divide parts among train, calibrate and test, so that new pictures move none."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cloud.datasets.account import Account
from cloud.datasets.dataset import SPLITS, Split

SHARES: dict[Split, float] = {"train": 0.6, "calibrate": 0.15, "test": 0.25}


@dataclass(frozen=True, slots=True)
class Division:
    """Divides parts by a hash of each, so that what one part gets depends on no other.

    seed   another one divides in another way
    """

    seed: int = 0

    def split(self, part: str, among: Sequence[Split] = SPLITS) -> Split:
        """The split of a part, with the shares of SHARES among these splits."""
        place = self.place(part) * sum(SHARES[one] for one in among)
        for one in among:
            place -= SHARES[one]
            if place < 0:
                return one
        return among[-1]

    def place(self, part: str) -> float:
        """Where a part lies in 0–1, 1 excluded."""
        digest = hashlib.sha256(f"{self.seed}|{part}".encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48

    def splits(
        self, parts: Sequence[str], owners: Sequence[Split | None], account: Account
    ) -> list[Split]:
        """A split for each sample. What the set's owner divided stays as it is.

        owners   each sample's split by its owner; None where nobody chose
        A set whose owner knows train and test alone gets its calibrate out of train.
        """
        known = set(owners) - {None}
        home = {part: owner for part, owner in zip(parts, owners, strict=True) if owner}
        wanted = [owner or home.get(part) for part, owner in zip(parts, owners, strict=True)]
        if None in wanted and home:
            account.note("what the set's owner put in no split was divided among all three")
        aside: tuple[Split, ...] = ("train",)
        if "train" in known and "calibrate" not in known:
            aside = ("train", "calibrate")
            account.note(
                "the set has no split to calibrate with: a fifth of train's parts became calibrate"
            )
        return [
            self.split(part, aside if owner == "train" else SPLITS)
            if owner in {None, "train"}
            else owner
            for part, owner in zip(parts, wanted, strict=True)
        ]
