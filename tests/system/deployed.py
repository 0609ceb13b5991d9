"""Version 0.1.0 as it is deployed: one recorded conversation, and its words for messages, frozen.

Recorded between a real box and a real cloud of that version over Mosquitto: six pictures played
at 0.8 parts a second (the sixth can't be read), the cloud started some seconds late, an inspector
labelled three parts, the fleet changed `deadline_ms`, the cloud was stopped and the box killed.
`bundle/` is what both ran, `journal.sqlite` what the kill left on the box's disk.

Nothing here follows the product: what is written down is what that version's decoder reads.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

FOLDER = Path(__file__).parent / "conversations" / "0.1.0"


@dataclass(frozen=True)
class Recorded:
    """One message as the broker passed it on.

    at         UTC seconds when it was recorded
    sender     who published it, or whose will it is
    channel    the topic's last step
    """

    at: float
    sender: Literal["box", "cloud"]
    topic: str
    payload: bytes
    properties: Mapping[str, str]
    retain: bool
    expires_s: int | None

    @property
    def channel(self) -> str:
        return self.topic.rpartition("/")[2]


def conversation() -> Iterator[Recorded]:
    for line in (FOLDER / "conversation.jsonl").read_text().splitlines():
        one = json.loads(line)
        yield Recorded(
            one["at"],
            one["from"],
            one["topic"],
            base64.b64decode(one["payload"]),
            one.get("properties", {}),
            one.get("retain", False),
            one.get("expires_s"),
        )


class OldMessage(msgspec.Struct, frozen=True, tag_field="kind", omit_defaults=True):
    pass


class OldEscalation(OldMessage, frozen=True, tag="escalation"):
    boot: str
    sequence: int
    part: int
    pair: str
    shape: tuple[int, int, int]
    remaining: float
    expires: float
    score: float
    frame_bytes: int = 0
    coarseness: int = 1


class OldVerdict(OldMessage, frozen=True, tag="verdict"):
    boot: str
    sequence: int
    part: int
    verdict: Literal["pass", "reject"]
    score: float
    defect: str = ""


class OldInspectionRow(msgspec.Struct, frozen=True, array_like=True):
    boot: str
    sequence: int
    part: int
    decision: str
    verdict: Literal["pass", "reject"]
    decided_by: Literal["edge", "cloud", "deadline", "inspector"]
    score: float
    inspected_at: float
    edge_ms: float
    total_ms: float
    escalated_bytes: int
    frame_bytes: int
    source: str
    bundle: str


class OldInspections(OldMessage, frozen=True, tag="inspections"):
    boot: str
    batch: int
    rows: list[OldInspectionRow]


class OldReceipt(OldMessage, frozen=True, tag="receipt"):
    boot: str
    batch: int


class OldState(OldMessage, frozen=True, tag="state"):
    state: Literal["online", "stopping", "offline"]
    boot: str
    at: float
    bundle: str = ""
    runtime: str = ""
    camera: str = ""
    inspected: int = 0
    waiting: int = 0
    problems: tuple[str, ...] = ()


class OldDesired(OldMessage, frozen=True, tag="desired"):
    serial: int
    rollout: str = ""
    targets: dict[str, str] = {}
    settings: dict[str, str | int | float | bool] | None = None
    shadow_parts: int = 20
    health_s: float = 60.0
    window: tuple[int, int] | None = None
    held: str = ""
    back: tuple[str, ...] = ()


class OldReported(OldMessage, frozen=True, tag="reported"):
    serial: int
    boot: str
    at: float
    running: dict[str, str] = {}
    counters: dict[str, int] = {}
    phase: str = "idle"
    target: str = ""
    failed: dict[str, str] = {}
    facts: dict[str, float] = {}
    versions: dict[str, str] = {}
    problem: str = ""


class OldLabelRow(msgspec.Struct, frozen=True, array_like=True):
    boot: str
    sequence: int
    verdict: Literal["pass", "reject"]
    kind: str
    said_at: float


class OldLabels(OldMessage, frozen=True, tag="labels"):
    rows: list[OldLabelRow]


class OldLabelKeptRow(msgspec.Struct, frozen=True, array_like=True):
    boot: str
    sequence: int
    said_at: float
    kept: bool


class OldLabelsKept(OldMessage, frozen=True, tag="labelled"):
    rows: list[OldLabelKeptRow]


M = TypeVar("M", bound=OldMessage)


def read(payload: bytes, kind: type[M]) -> M:
    """As version 0.1.0 reads it: magic, version 1, length, header; the body is left."""
    assert payload[:4] == b"SPL\x01"
    length = int.from_bytes(payload[4:6], "big")
    assert length <= 60 * 1024
    header = payload[6 : 6 + length]
    assert len(header) == length
    return msgspec.msgpack.decode(header, type=kind)
