"""A box that answers for pictures as a test wants it, and pictures to answer with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from shared.topics import Address
from shared.transport.base import Delivery
from shared.transport.memory import MemoryBroker
from shared.wire import DIGEST, PicturePiece, PictureRefusal, PictureRequest, decode, encode

DEVICE = Address("plant", "line-1", "box-1")
Answer = tuple[PicturePiece | PictureRefusal, bytes]
Answers = Callable[[PictureRequest], Sequence[Answer]]


def png(side: int = 60, seed: int = 1) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8)
    return cv2.imencode(".png", noise)[1].tobytes()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGEST]


def piece(asked: PictureRequest, content: bytes, most: int = 1000, **other: Any) -> Answer:
    """The piece that was asked for, as an honest box says it; `other` where it is not."""
    told: dict[str, Any] = {
        "request": asked.request,
        "boot": asked.boot,
        "sequence": asked.sequence,
        "what": asked.what,
        "place": asked.place,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "kept": digest(content),
    }
    body = other.pop("body", content[asked.place : asked.place + most])
    return PicturePiece(**(told | other)), body


class ScriptedBox:
    """Answers each request as the script says; `asked` keeps them."""

    def __init__(self, broker: MemoryBroker, answers: Answers, address: Address = DEVICE) -> None:
        self.asked: list[PictureRequest] = []
        self._answers = answers
        self._address = address
        self._transport = broker.transport()
        self._transport.subscribe(address.topic("picture"), self._arrived)
        self._transport.start()

    def _arrived(self, delivery: Delivery) -> None:
        asked, _ = decode(delivery.payload, PictureRequest)
        self.asked.append(asked)
        for message, body in self._answers(asked):
            self._transport.publish(self._address.pictured(asked.worker), encode(message, body))
