"""What became of every file of a data set: used, or left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shared.errors import DataError

FileUse = Literal["picture", "mask", "labels", "text"]
SHOWN = 20


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is no part of the set, and why. `why` is one of few texts, so that it can be
    counted: what is special about this file is not in it."""

    path: Path
    why: str


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that is wrong with the set. `line` of the file; 0: of no line."""

    path: Path
    what: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}" if self.line else f"{self.path}: {self.what}"


class Account:
    """Gathers what a reader says of each file while it reads.

    A reader that returns has said of every file of the tree what it is; what it has not named is
    left out as no part of its format. Flaws are gathered and raised together.
    """

    def __init__(self, *, skip_bad: bool = False) -> None:
        """skip_bad: go on without the files that are wrong, and say which."""
        self.skip_bad = skip_bad
        self.notes: list[str] = []
        self.flaws: list[Flaw] = []
        self.left_out: list[LeftOut] = []
        self._uses: dict[Path, FileUse] = {}
        self._known: set[Path] = set()

    def use(self, path: Path, use: FileUse) -> None:
        """A file is a picture of a part, a mask, labels, or text about the set."""
        self._uses[path] = use
        self._known.add(path)

    def leave_out(self, path: Path, why: str) -> None:
        if path not in self._known:
            self._known.add(path)
            self.left_out.append(LeftOut(path, why))

    def note(self, text: str) -> None:
        """What the reader decided by itself, in a sentence that is printed."""
        if text not in self.notes:
            self.notes.append(text)

    def flaw(self, path: Path, what: str, line: int = 0) -> None:
        """Something wrong: ends the reading once all was looked at, or costs this entry alone."""
        self.flaws.append(Flaw(path, what, line))

    def close(self, files: Iterable[Path], why: str = "no part of this format") -> None:
        """Leave out what was not named. Raises DataError with every flaw, unless they are skipped.

        files   all that the tree holds
        """
        for path in files:
            self.leave_out(path, why)
        if self.skip_bad:
            self._leave_out_bad()
            return
        if not self.flaws:
            return
        shown = [str(flaw) for flaw in self.flaws[:SHOWN]]
        more = len(self.flaws) - len(shown)
        if more:
            shown.append(f"and {more} more")
        raise DataError(
            "\n  ".join([f"{len(self.flaws)} entries can't be used:", *shown]),
            fix="mend them, or add --skip-bad to go on without them",
        )

    def _leave_out_bad(self) -> None:
        for path in dict.fromkeys(flaw.path for flaw in self.flaws):
            if self._uses.get(path) == "picture":
                del self._uses[path]
                self.left_out.append(LeftOut(path, "bad, as told"))

    def used(self, use: FileUse) -> Iterator[Path]:
        return (path for path, found in self._uses.items() if found == use)

    def counts(self) -> dict[str, int]:
        """Files by what they were used as, and `left out`."""
        return {**Counter(self._uses.values()), "left out": len(self.left_out)}

    def reasons(self) -> dict[str, int]:
        """Files left out by why, the most first."""
        return dict(Counter(left.why for left in self.left_out).most_common())
