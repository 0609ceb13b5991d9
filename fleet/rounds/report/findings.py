"""What a run came to: round by round, and as a whole for who decides on its candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

import msgspec

from shared.federation.questions import Comparison
from shared.format import iso

NO_GATE = "none: no gate was chosen"

CandidateStatus = Literal["candidate", "refused", "approved", "rejected"]


class Contribution(msgspec.Struct, frozen=True):
    """A device whose update is in the round's result.

    examples   pictures that it learned from; None where only the sum of all is known
    """

    device: str
    examples: int | None = None
    loss: float | None = None


class Exclusion(msgspec.Struct, frozen=True):
    """A device that did not take part, or whose update was not used."""

    device: str
    reason: str


class RoundRecord(msgspec.Struct, frozen=True):
    """What is known of a round when it is over.

    bytes_down, bytes_up   of the device that cost most, as Flower's own messages
    late                   devices whose update of an earlier round came now; not mixed in
    seconds                of the coordinator's clock
    seen                   what the coordinator saw of a device
    epsilon                of the run up to here; None where nothing bounds it
    summed_examples, summed_loss   where single ones are hidden
    """

    round: int
    outcome: Literal["finished", "void"]
    took_part: list[Contribution]
    aside: list[Exclusion]
    late: list[str]
    bytes_down: int
    bytes_up: int
    seconds: float
    reason: str = ""
    seen: str = ""
    epsilon: float | None = None
    summed_examples: int | None = None
    summed_loss: float | None = None

    @property
    def examples(self) -> int:
        """Pictures that all learned from."""
        if self.summed_examples is not None:
            return self.summed_examples
        return sum(one.examples or 0 for one in self.took_part)

    @property
    def loss(self) -> float:
        """The mean over pictures; NaN where nobody took part, or none is told."""
        if self.summed_loss is not None:
            return self.summed_loss
        weight = sum(one.examples or 0 for one in self.took_part)
        total = sum((one.loss or 0.0) * (one.examples or 0) for one in self.took_part)
        return total / weight if weight else float("nan")


class PossibleParticipant(msgspec.Struct, frozen=True):
    """Who would take part now: one row of `--dry-run`."""

    device: str
    takes_part: bool
    reason: str
    good: dict[str, int]
    defective: dict[str, int]
    held_out: int


class FleetStanding(msgspec.Struct, frozen=True):
    """All devices' held-out parts together, from summed counts: one model with its gate."""

    auroc: float | None
    escapes: int
    overkill: int
    good: int
    defective: int


class SiteFindings(msgspec.Struct, frozen=True):
    """What a run came to at one device.

    rounds     that its update is in
    compared   its own held-out parts before and after; None where it has none, or did not answer
    lost       why the candidate may not replace the present bundle here; empty where it may
    """

    device: str
    rounds: int
    compared: Comparison | None = None
    lost: str = ""


class RunFindings(msgspec.Struct, frozen=True):
    """bytes_down, bytes_up   of the device that cost most, the questions after the rounds included
    reasons       why there is no candidate, or why nobody may approve it
    certificate   what it promises, in a sentence; or why it promises nothing
    system        what is promised and seen of edge and cloud together, or why nothing is
    seen          what the coordinator saw of devices
    gate          where the gate's thresholds come from
    remarks       what an engineer should know besides
    release       that a policy made of it; empty where a person decides
    """

    name: str
    run: str
    strategy: str
    created: str
    parent: str
    bundle: str
    rounds: list[RoundRecord]
    sites: list[SiteFindings]
    before: FleetStanding | None
    after: FleetStanding | None
    aside: list[Exclusion]
    epsilon: float | None
    seen: list[str]
    bytes_down: int
    bytes_up: int
    minutes: float
    certified: bool
    certificate: str
    gate: str
    reasons: list[str]
    remarks: list[str]
    release: str = ""
    system: str = ""

    @classmethod
    def of_rounds(cls, run: str, strategy: str, rounds: Sequence[RoundRecord]) -> Self:
        """What the rounds alone tell, before a candidate or without one."""
        return cls(
            name=f"run {run[:8]}",
            run=run,
            strategy=strategy,
            created=now(),
            parent="",
            bundle="",
            rounds=list(rounds),
            sites=sites_of(rounds, {}, {}),
            before=None,
            after=None,
            aside=[],
            epsilon=next((r.epsilon for r in reversed(rounds) if r.epsilon is not None), None),
            seen=[*dict.fromkeys(record.seen for record in rounds if record.seen)],
            bytes_down=sum(record.bytes_down for record in rounds),
            bytes_up=sum(record.bytes_up for record in rounds),
            minutes=sum(record.seconds for record in rounds) / 60,
            certified=False,
            certificate=NO_GATE,
            gate="",
            reasons=[],
            remarks=[],
        )


def sites_of(
    rounds: Sequence[RoundRecord], compared: Mapping[str, Comparison], lost: Mapping[str, str]
) -> list[SiteFindings]:
    """Every device that took part or was compared, by name.

    compared, lost   as in `SiteFindings`, by device
    """
    took = [one.device for record in rounds for one in record.took_part]
    return [
        SiteFindings(name, took.count(name), compared.get(name), lost.get(name, ""))
        for name in sorted({*took, *compared})
    ]


class RunReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `splitsight fleet federate --format json` prints.

    report   where the settings ask for a candidate
    """

    run: str
    rounds: list[RoundRecord]
    report: RunFindings | None = None


class CandidateRecord(msgspec.Struct, frozen=True):
    """A candidate as it lies in its folder.

    bundle   its folder or file beside this record; empty where none could be made
    doubt    why no policy may approve it, only a person; empty where a policy may
    by, at   who approved or rejected it, and when (UTC)
    why      the reason that was given, where one was needed
    asked_by, asked_why   of a candidate that a person offered and no round: who wanted it, and why
    """

    name: str
    status: CandidateStatus
    bundle: str
    created: str
    run: str
    reasons: list[str] = []
    certified: bool = False
    doubt: str = ""
    by: str = ""
    at: str = ""
    why: str = ""
    asked_by: str = ""
    asked_why: str = ""


def now() -> str:
    return iso()
