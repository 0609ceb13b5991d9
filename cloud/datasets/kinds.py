"""What the names of kinds mean: which is good, which are one kind, which can't be understood."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from cloud.datasets.dataset import GOOD, Split


def words(text: str) -> frozenset[str]:
    """The blank-separated words of a list."""
    return frozenset(text.split())


GOOD_NAMES = words(
    "good ok okay normal free none io i.o. i.o pass passed healthy intact undamaged defect-free "
    "defectfree no-defect nodefect non-defective nondefective gut negative neg"
)
"""Compare after `plain`: in lower case, with hyphens for spaces and underscores."""
BAD_NAMES = words(
    "bad ng nok not-ok ko nio n.i.o. n.i.o fail failed reject rejected defect defects defective "
    "def anomaly anomalous anomalies abnormal damaged faulty schlecht positive pos"
)
NO, YES = frozenset({"0", "false", "no", "f", "n"}), frozenset({"1", "true", "yes", "t", "y"})
# A column of 0 and 1 says how good a part is, or how bad, or either.
GOOD_COLUMNS = words("good ok pass passed isgood isok io accepted conform conforming")
UNSAID_COLUMNS = words("result status quality verdict")
SPLIT_NAMES: dict[str, Split] = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("calibrate", "calibration", "val", "valid", "validation", "dev"), "calibrate"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation", "holdout"), "test"),
}


@lru_cache(4096)
def plain(name: str) -> str:
    """In lower case, trimmed, hyphens for blanks and underscores, `1` for `1.0` and `1,0`."""
    text = re.sub(r"[\s_-]+", "-", name.strip().casefold())
    return re.sub(r"^(-?\d+)[.,]0+$", r"\1", text)


def is_good(name: str) -> bool:
    """Whether a name by itself says that the part is good."""
    return plain(name) in GOOD_NAMES


def split_of(name: str) -> Split | None:
    """The split that an owner's name stands for."""
    return SPLIT_NAMES.get(plain(name))


@dataclass(frozen=True)
class KindNames:
    """All names of a set's kinds at once, since a name can mean something by the others.

    names    as they are written, in any order
    column   of the table that they are from; empty for folders
    """

    names: frozenset[str]
    column: str = ""

    @classmethod
    def of(cls, names: Iterable[str], column: str = "") -> KindNames:
        return cls(frozenset(names), re.sub(r"[^a-z0-9]", "", column.casefold()))

    def kind(self, name: str) -> str:
        """`good`, or the kind of defect in the one spelling that is kept of several."""
        own = plain(name)
        if own in self.good:
            return GOOD
        return self._spelling[_one_case(name)]

    @property
    def unclear(self) -> str:
        """Why it can't be told which parts are good; empty where it can."""
        shown = ", ".join(sorted(self.names)[:8])
        if not self.good and not self._plain <= BAD_NAMES | self._defective:
            if self._is_binary:
                return f"whether 0 or 1 is good is not said by a column {self.column!r}"
            if not all(name.lstrip("-").isdigit() for name in self._plain) and self.column in (
                "defect",
                "defecttype",
            ):
                return ""
            return f"none of {shown} says that a part is good"
        truth = (NO | YES) - {"1"} if self._plain & GOOD_NAMES else frozenset[str]()
        if self._plain & truth:
            return f"{shown} are mixed: which of them are good can't be told"
        return ""

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What was understood that does not stand there, for people to read."""
        found = []
        where = f"column {self.column}: " if self.column else ""
        strange = sorted(name for name in self.names if plain(name) in self.good - {GOOD})
        if strange:
            bad = sorted(self.names - set(strange) - {GOOD})
            rest = f", {', '.join(bad[:8])} defective" if self._is_binary and bad else ""
            found.append(f"{where}{', '.join(strange)} taken as good{rest}")
        elif self.names and not self.good:
            found.append(f"{where}no name stands for good parts: all count as defective")
        for key, kept in sorted(self._spelling.items()):
            others = sorted(n for n in self.names if _one_case(n) == key and n != kept)
            if others and plain(kept) not in self.good:
                found.append(
                    f"kinds that differ in case or blanks are one: {', '.join([kept, *others])}"
                )
        return tuple(found)

    @cached_property
    def good(self) -> frozenset[str]:
        """The names, after `plain`, that mean good."""
        named = self._plain & GOOD_NAMES
        if named:
            return named
        if self._is_binary:
            if self.column in UNSAID_COLUMNS:
                return frozenset()
            return self._plain & (YES if self.column in GOOD_COLUMNS else NO)
        return self._opposites | self._with_common_words

    @cached_property
    def _plain(self) -> frozenset[str]:
        return frozenset(plain(name) for name in self.names)

    @cached_property
    def _defective(self) -> frozenset[str]:
        """The words of a binary column that mean a defect."""
        if not self._is_binary or self.column in UNSAID_COLUMNS:
            return frozenset()
        return NO if self.column in GOOD_COLUMNS else YES

    @property
    def _is_binary(self) -> bool:
        return bool(self._plain) and self._plain <= NO | YES

    @property
    def _opposites(self) -> frozenset[str]:
        """`uncracked` beside `cracked`, `no crack` beside `crack`."""
        return frozenset(
            name
            for name in self._plain
            for other in self._plain - {name}
            if re.fullmatch(rf"(un|non|no|not|without)-?{re.escape(other)}", name)
        )

    @property
    def _with_common_words(self) -> frozenset[str]:
        """`ok-front` beside `def-front`, `mt-free` beside `mt-crack`."""
        words = {name: name.split("-") for name in self._plain}
        if len(words) < 2:
            return frozenset()
        first, *rest = words.values()
        begin = _alike(first, rest)
        end = _alike(first[::-1], [one[::-1] for one in rest])
        bare = {name: "-".join(own[begin : len(own) - end]) for name, own in words.items()}
        return frozenset(name for name, own in bare.items() if own in GOOD_NAMES)

    @cached_property
    def _spelling(self) -> dict[str, str]:
        kept: dict[str, str] = {}
        for name in sorted(self.names):
            kept.setdefault(_one_case(name), " ".join(name.split()))
        return kept


def _one_case(name: str) -> str:
    return " ".join(name.casefold().split())


def _alike(first: list[str], rest: list[list[str]]) -> int:
    """How many words all begin with."""
    count = 0
    while all(count < len(one) and one[count] == first[count] for one in rest):
        count += 1
        if count == len(first):
            break
    return count
