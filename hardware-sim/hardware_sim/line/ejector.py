"""The ejector, and the truth table of a run: counted from what passed it, not from what was said.

Every part that passes lands in exactly one cell:

right_pass   good, and told to pass          escape    defective, and told to pass
right_reject defective, and told to reject   overkill  good, and told to reject
reviewed     told that a person shall look, good or defective
no_verdict   nothing had arrived in time
wrong_part   what arrived was about another part: said before this one came, aimed at another's
             passage, or judged from another's picture
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import msgspec
from pydantic import Field

from shared.contracts import PlainVerdict, Verdict
from shared.errors import WireError
from shared.settings import Settings

Cell = Literal[
    "right_pass", "right_reject", "escape", "overkill", "reviewed", "no_verdict", "wrong_part"
]
CELLS: tuple[Cell, ...] = get_args(Cell)
MAX_PENDING = 10_000


class EjectorSettings(Settings):
    """How the ejector obeys."""

    aim: Literal["number", "time"] = Field(
        default="number",
        description="number: it follows each part by the belt's encoder and obeys what is said of "
        "it; time: it acts in_ms after a command arrives, on whatever passes then",
    )
    without_verdict: PlainVerdict = Field(
        default="reject", description="what becomes of a part of which nothing was said in time"
    )


@dataclass(frozen=True, slots=True)
class Command:
    """What the ejector was told; seconds on the monotonic clock.

    arrived   when the command reached it
    aimed     when, by the command, the part passes
    """

    part: int
    verdict: Verdict
    arrived: float
    aimed: float


@dataclass(frozen=True, slots=True)
class EjectorPassage:
    """A part passes the ejector; seconds on the monotonic clock.

    shown      number of the part whose picture was given as this one's; None: none was given
    triggered  when the part was first known of
    deadline   the last instant at which a command could still be obeyed
    at         when it passes
    window     a command aimed within so many seconds of `at` hits this part
    """

    part: int
    defective: bool
    shown: int | None
    triggered: float
    deadline: float
    at: float
    window: float


@dataclass(frozen=True, slots=True)
class PartOutcome:
    """What became of a part. `diverted`: it left the line, to either bin; `verdict`: None where
    none came."""

    passage: EjectorPassage
    cell: Cell
    verdict: Verdict | None
    diverted: bool


class TruthTable(msgspec.Struct):
    """Parts by cell; `parts` is their sum.

    defects_passed, goods_diverted   what left the line on the wrong side, whichever cell it is in;
                                     what a person shall look at is on no wrong side
    defects_reviewed   of the reviewed parts
    late       commands that came when their part could no longer be stopped
    stray      commands about parts that never came
    """

    parts: int = 0
    right_pass: int = 0
    right_reject: int = 0
    escape: int = 0
    overkill: int = 0
    reviewed: int = 0
    no_verdict: int = 0
    wrong_part: int = 0
    defects_passed: int = 0
    goods_diverted: int = 0
    defects_reviewed: int = 0
    late: int = 0
    stray: int = 0


class Ejector:
    """Is told commands from any thread and in any order; meets parts in the order of the belt.

    The last command in time counts, as a relay keeps the last state that it was set to.
    """

    def __init__(self, settings: EjectorSettings) -> None:
        self.settings = settings
        self._pending: OrderedDict[int, list[Command]] = OrderedDict()
        self._count = 0
        self._last = 0
        self._table = TruthTable()
        self._lock = threading.Lock()

    @property
    def table(self) -> TruthTable:
        """A copy of the table as it stands; commands still pending count as stray."""
        with self._lock:
            return msgspec.structs.replace(self._table, stray=self._table.stray + self._count)

    def tell(self, command: Command) -> None:
        """A command arrives."""
        with self._lock:
            if command.part <= self._last and self.settings.aim == "number":
                self._table.late += 1
                return
            self._pending.setdefault(command.part, []).append(command)
            self._count += 1
            while self._count > MAX_PENDING:
                _, oldest = self._pending.popitem(last=False)
                self._count -= len(oldest)
                self._table.stray += len(oldest)

    def meet(self, passage: EjectorPassage) -> PartOutcome:
        """A part passes; call with rising part numbers, once nothing more can arrive in time."""
        with self._lock:
            self._last = passage.part
            heard = self._take(passage)
            in_time = [command for command in heard if command.arrived <= passage.deadline]
            self._table.late += len(heard) - len(in_time)
            obeyed = max(in_time, key=lambda command: command.arrived, default=None)
            verdict = obeyed.verdict if obeyed else None
            diverted = (verdict or self.settings.without_verdict) != "pass"
            outcome = PartOutcome(passage, _cell(passage, obeyed), verdict, diverted)
            self._enter(outcome)
            return outcome

    def _take(self, passage: EjectorPassage) -> list[Command]:
        """The commands that this passage uses up."""
        if self.settings.aim == "number":
            taken = self._pending.pop(passage.part, [])
        else:
            taken = []
            for part, commands in list(self._pending.items()):
                hits = [c for c in commands if c.aimed <= passage.at + passage.window]
                kept = [c for c in commands if c.aimed > passage.at + passage.window]
                if kept:
                    self._pending[part] = kept
                else:
                    del self._pending[part]
                taken += hits
        self._count -= len(taken)
        if self.settings.aim == "time":
            # What was aimed before this part's window hit nothing.
            missed = [c for c in taken if c.aimed < passage.at - passage.window]
            self._table.stray += len(missed)
            taken = [c for c in taken if c.aimed >= passage.at - passage.window]
        return taken

    def _enter(self, outcome: PartOutcome) -> None:
        table, cell = self._table, outcome.cell
        table.parts += 1
        setattr(table, cell, getattr(table, cell) + 1)
        table.defects_passed += outcome.passage.defective and not outcome.diverted
        reviewed = cell == "reviewed"
        rejected = outcome.diverted and not reviewed
        table.goods_diverted += rejected and not outcome.passage.defective
        table.defects_reviewed += reviewed and outcome.passage.defective


def _cell(passage: EjectorPassage, obeyed: Command | None) -> Cell:
    if obeyed is None:
        return "no_verdict"
    about_another = obeyed.part != passage.part or obeyed.arrived < passage.triggered
    if about_another or passage.shown not in {None, passage.part}:
        return "wrong_part"
    if obeyed.verdict == "pass":
        return "escape" if passage.defective else "right_pass"
    if obeyed.verdict == "review":
        return "reviewed"
    return "right_reject" if passage.defective else "overkill"


class _Told(msgspec.Struct):
    """As `edge.actuator.mqtt` publishes it."""

    part: Annotated[int, msgspec.Meta(ge=1, le=2**62)]
    verdict: Verdict
    in_ms: Annotated[int, msgspec.Meta(ge=-(2**40), le=2**40)]
    review: bool = False


_decoder = msgspec.json.Decoder(_Told)


def parse_command(payload: bytes, arrived: float) -> Command:
    """What the `mqtt` actuator published: {"part": 7, "verdict": "reject", "in_ms": 412}.

    A reject that is marked as a review is one: the one gate diverts it, a person looks.
    arrived   monotonic seconds. Raises WireError for anything else.
    """
    try:
        told = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WireError(
            f"the ejector was told {payload[:60]!r} ({error})",
            fix='it understands {"part": 7, "verdict": "reject", "in_ms": 412}',
        ) from error
    verdict: Verdict = "review" if told.review and told.verdict == "reject" else told.verdict
    return Command(told.part, verdict, arrived, arrived + told.in_ms / 1000)
