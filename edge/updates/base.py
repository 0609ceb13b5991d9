"""The seams of an update: what is offered, where it comes from, where it lies, what runs it.

`edge.updates.state_machine` steps one kind of release through its phases over these; each seam
has a fake in `edge.updates.fakes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, get_args

import msgspec

from shared.errors import UpdateError
from shared.releases import ReleaseKind
from shared.storage.slots import Slot, SlotRecord

Kind = ReleaseKind | Literal["settings"]
Phase = Literal[
    "idle",
    "fetching",
    "checking",
    "proving",
    "shadowing",
    "waiting",
    "switching",
    "trial",
    "committing",
    "returning",
]
PHASES: tuple[Phase, ...] = get_args(Phase)
Stuff = Literal["payload", "delta"]


class Unreachable(UpdateError):
    """The server can't be reached now: tried again later, and never held against a release."""

    summary = UpdateError.summary


class Label(msgspec.Struct, frozen=True):
    """What a slot holds.

    counter  of the release; counts up with each of its kind and name
    path     its target; empty: as flashed or installed
    pair     of a model: the id of head and tail
    bundle   of a model: the bundle's id
    """

    path: str
    length: int
    sha256: str
    counter: int
    name: str = ""
    version: str = ""
    pair: str = ""
    bundle: str = ""


class Patch(msgspec.Struct, frozen=True):
    """A zstd patch that makes a payload from another one."""

    url: str
    length: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A payload that this device may take.

    patch  from the payload that is live here; None where there is none
    """

    label: Label
    url: str
    patch: Patch | None = None


class Offers(Protocol):
    """Turns the name of a target into an offer."""

    def offer(self, path: str, base: str) -> Offer:
        """base: sha256 of the payload that is live, empty for none.

        Raises Unreachable, ReleaseError for what is not trusted now and may be later, or
        UpdateError for what this device must not take.
        """


class PayloadSource(Protocol):
    """Payloads by ranges."""

    def read(self, url: str, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, fewer where the connection broke; never more.

        Raises Unreachable, or UpdateError where the server can't serve ranges of it.
        """


class VersionedRecord(NamedTuple):
    """The record, and how often it was written: a change between two looks can be seen."""

    record: SlotRecord
    sequence: int


class Slots(Protocol):
    """Two places for one kind. The record alone decides which of them runs.

    What changes a slot's content raises UpdateError for one that is live or on trial.
    Everything written is on the disk when a method returns.
    """

    def marked(self) -> VersionedRecord: ...

    def mark(self, record: SlotRecord) -> None: ...

    def held(self, slot: Slot) -> Label | None:
        """What was named there; None: nothing, or what was flashed or installed."""

    def lacks(self, payload: int, patch: int, reserve: int) -> int:
        """Bytes by which the disk is too small for both; 0 where they fit and `reserve` stays."""

    def discard(self, slot: Slot) -> None:
        """From here on nothing is named there, and nothing half-written lies about."""

    def kept(self, slot: Slot, what: Stuff) -> int:
        """Bytes that lie there at most."""

    def write(self, slot: Slot, what: Stuff, offset: int, data: bytes) -> None:
        """What lay beyond `offset` is of no use any more.

        Raises UpdateError where the disk is full.
        """

    def digest(self, slot: Slot, what: Stuff, length: int) -> str:
        """sha256 of what lies on the disk; of no payload at all where it has another length."""

    def patch(self, slot: Slot, length: int) -> None:
        """Make the payload from the live one and the patch. Raises UpdateError where that fails."""

    def name(self, slot: Slot, label: Label) -> None:
        """The payload was checked: from here on the slot holds it."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a shadow run found so far.

    done      it has seen enough, or has seen something wrong
    against   why the release must not run; empty: nothing speaks against it
    figures   for the report: see `edge.updates.shadow`
    """

    done: bool
    against: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vitals:
    """How what is on trial fares since it was started or switched to.

    parts   inspected since then
    wrong   why it must go; empty: it is well
    """

    parts: int
    wrong: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


class Host(Protocol):
    """What runs the content of a slot.

    tries  starts that a trial has after the switch
    """

    tries: int

    def running(self) -> Slot:
        """The slot that runs in this process, whatever the record says by now."""

    def prove(self, slot: Slot, label: Label) -> None:
        """Does it hold together, and give on this device what it promises?

        Raises SplitsightError where it must not run here.
        """

    def shadow(self, slot: Slot, parts: int) -> None:
        """Begin to look at `parts` parts with it, beside what is live."""

    def shadowed(self) -> Opinion: ...

    def switch(self, slot: Slot) -> None:
        """Run this slot, either when this returns or in a process to come.

        Raises SplitsightError where it can't; then what ran goes on.
        """

    def vitals(self) -> Vitals: ...

    def rest(self) -> None:
        """The update is over: nothing has to be compared any more."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one kind should run; see `wire.Desired`.

    target  empty: stay
    back    go back to `target` where the other slot still holds it, though its counter is lower
    """

    serial: int = 0
    target: str = ""
    shadow_parts: int = 20
    health_s: float = 60.0
    window: tuple[int, int] | None = None
    held: str = ""
    back: bool = False


@dataclass(frozen=True, slots=True)
class UpdateProgress:
    """How an update of one kind stands, for the report.

    running, counter  of what is live, not of what is on trial; empty and 0: as flashed or installed
    failed            target → why it was given up; the last one
    problem           why it does not go on right now; empty: it does
    """

    phase: Phase
    target: str
    running: str
    counter: int
    version: str = ""
    failed: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
