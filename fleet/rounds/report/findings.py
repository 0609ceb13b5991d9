"""What a run came to, for the report and for who approves its candidate."""

from __future__ import annotations

from typing import Literal

import msgspec

from fleet.rounds.report.record import RoundRecord, SetAside
from shared.federation.questions import Comparison

Status = Literal["candidate", "refused", "approved", "rejected"]


class Overall(msgspec.Struct, frozen=True):
    """All devices' held-out parts together, from summed counts: one model with its gate."""

    auroc: float | None
    escapes: int
    overkill: int
    good: int
    defective: int


class SiteFindings(msgspec.Struct, frozen=True):
    """One device's part in a run.

    rounds     that its update is in
    compared   its own held-out parts before and after; None where it has none, or did not answer
    lost       why the candidate may not replace the present bundle here; empty where it may
    """

    device: str
    rounds: int
    compared: Comparison | None
    lost: str


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
    before: Overall | None
    after: Overall | None
    aside: list[SetAside]
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


class RunReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `splitsight fleet federate --format json` prints.

    report   where the settings ask for a candidate
    """

    run: str
    rounds: list[RoundRecord]
    report: RunFindings | None = None


class Record(msgspec.Struct, frozen=True):
    """A candidate as it lies in its folder.

    bundle   its folder or file beside this record; empty where none could be made
    doubt    why no policy may approve it, only a person; empty where a policy may
    by, at   who approved or rejected it, and when (UTC)
    """

    name: str
    status: Status
    bundle: str
    created: str
    run: str
    reasons: list[str] = []
    certified: bool = False
    doubt: str = ""
    by: str = ""
    at: str = ""
