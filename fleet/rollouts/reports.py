"""What devices say, checked once: sizes, ranges, names. What is not as agreed is a WireError."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from shared.errors import WireError
from shared.topics import NAME, Address, Channel
from shared.transport.base import Arrival
from shared.wire import Message, Reported, StateMessage

LARGEST_NUMBER = 2**63 - 1
MOST_KINDS = 8
MOST_FACTS = 64
LONGEST_PATH = 255
LONGEST_REASON = 500
LONGEST_WORD = 100
FIX = "update the older side; until then the device keeps what it runs"
M = TypeVar("M", bound=Message)


def checked_report(arrival: Arrival[Reported]) -> Reported:
    """Raises WireError where it is not as agreed."""
    address, message = arrival.address, _alone(arrival, "reply")
    _require_numbers(message.at, (message.serial, *message.counters.values()))
    if not all(map(math.isfinite, message.facts.values())):
        raise WireError(f"{address.device} reported facts that are no numbers", fix=FIX)
    sizes = (message.running, message.counters, message.failed)
    _require(address, all(len(one) <= MOST_KINDS for one in sizes), "more kinds than there are")
    _require(address, max(len(message.facts), len(message.versions)) <= MOST_FACTS, "many facts")
    names = (*message.running, *message.counters, *message.facts, *message.versions)
    _require(address, all(NAME.fullmatch(name) for name in names), "names that are none")
    paths = (*message.running.values(), message.target, *message.failed)
    _require(address, all(_is_path(path) for path in paths), "paths that are none")
    _require(address, len(message.phase) <= 32 and message.phase.isascii(), "a phase that is none")
    return msgspec.structs.replace(
        message,
        boot=_text(message.boot, 64),
        failed={path: _text(why, LONGEST_REASON) for path, why in message.failed.items()},
        problem=_text(message.problem, LONGEST_REASON),
        versions=_texts(message.versions),
    )


def checked_state(arrival: Arrival[StateMessage]) -> StateMessage:
    """Raises WireError where it is not as agreed."""
    message = _alone(arrival, "state")
    _require_numbers(message.at, (message.inspected, message.waiting))
    return msgspec.structs.replace(
        message,
        boot=_text(message.boot, 64),
        bundle=_text(message.bundle, LONGEST_WORD),
        runtime=_text(message.runtime, LONGEST_WORD),
        camera=_text(message.camera, LONGEST_REASON),
        problems=tuple(_text(problem, LONGEST_REASON) for problem in message.problems[:20]),
    )


def _alone(arrival: Arrival[M], channel: Channel) -> M:
    if arrival.body or arrival.channel != channel:
        name = type(arrival.message).__name__
        raise WireError(f"a {name} with {len(arrival.body)} B of body came", fix=FIX)
    return arrival.message


def _require(address: Address, agreed: bool, what: str) -> None:  # noqa: FBT001 - reads as a rule
    if not agreed:
        raise WireError(f"{address.device} reported {what}", fix=FIX)


def _require_numbers(at: float, counts: tuple[int, ...]) -> None:
    if not math.isfinite(at) or any(not 0 <= count <= LARGEST_NUMBER for count in counts):
        raise WireError(f"a report of {at} with counts {counts[:8]} came", fix=FIX)


def _is_path(path: str) -> bool:
    return len(path) <= LONGEST_PATH and path.isprintable()


def _texts(texts: Mapping[str, str]) -> dict[str, str]:
    return {name: _text(text, LONGEST_WORD) for name, text in texts.items()}


def _text(text: str, longest: int) -> str:
    """Text that every database takes: no NUL, no lone surrogate, not too long."""
    return text.replace("\0", "").encode(errors="replace").decode()[:longest]
