"""Weighted updates as whole numbers of three bytes, whose sum over many devices can't wrap.

An update's values are divided by what they may reach (`limits`), clipped to ±1, multiplied by the
device's weight and rounded to steps. Sums of such numbers are exact; all that is lost is lost in
rounding, and `error` says how much that is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.errors import FederationError

Words = NDArray[np.uint32]
Floats = NDArray[np.float32]

WORD_BYTES = 3
MODULUS = 1 << (8 * WORD_BYTES)
LOW = np.uint32(MODULUS - 1)
_REACH = MODULUS // 2 - 1


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """What all of a round's devices and its server encode by.

    devices   so many may be summed
    cap       the largest weight; more examples than that count as `cap`
    """

    devices: int
    cap: int

    def __post_init__(self) -> None:
        if self.devices < 1 or self.cap < 1 or self.devices * self.cap >= MODULUS:
            raise FederationError(
                f"{self.devices} devices of up to {self.cap} examples each can't be summed",
                fix=f"devices × examples must stay below {MODULUS}: count fewer examples",
            )

    @property
    def steps(self) -> int:
        """Steps between zero and the limit, for a device of full weight."""
        return _REACH // self.devices

    def encode(self, values: Floats, limits: Floats, weight: int) -> Words:
        """The weight itself, then the weighted values; `limits` has a limit a value."""
        if not np.isfinite(values).all():
            raise FederationError("an update that is not finite can't be encoded")
        weight = self.counted(weight)
        share = np.clip(values.astype(np.float64) / limits, -1, 1) * (weight / self.cap)
        steps = np.rint(share * self.steps).astype(np.int64)
        return np.concatenate([[weight], steps]).astype(np.uint32) & LOW

    def counted(self, weight: int) -> int:
        """The weight as it counts. Raises FederationError where it is below one."""
        if weight < 1:
            raise FederationError(f"an update has the weight {weight}; it needs an example")
        return min(weight, self.cap)

    def decode(self, total: Words, limits: Floats) -> tuple[Floats, int]:
        """The weighted mean behind a sum of words, and the sum of weights.

        Raises FederationError where the weights are none that devices could have.
        """
        weight = int(total[0])
        if not 1 <= weight <= self.devices * self.cap:
            raise FederationError(
                f"the devices' examples add up to {weight}, of {self.devices * self.cap} at most",
                fix="a device has sent what is no update: leave it out of the next round",
            )
        steps = total[1:].astype(np.int64)
        steps -= MODULUS * (steps > _REACH)
        mean = steps * (self.cap / (self.steps * weight)) * limits
        return mean.astype(np.float32), weight

    def error(self, limit: float, weight: int, devices: int) -> float:
        """How far, at most, a mean lies from that of the clipped values themselves.

        Each device's rounding is half a step, of which the weights let `cap / weight` remain;
        float32 adds one part in 2**23 of the result.
        """
        rounding = devices * 0.5 * self.cap / (self.steps * weight)
        return limit * (rounding + 2.0**-23)


def pack(words: Words) -> bytes:
    """Three bytes a word, least significant first."""
    raw = np.ascontiguousarray(words, "<u4").view(np.uint8).reshape(-1, 4)
    return raw[:, :WORD_BYTES].tobytes()


def unpack(raw: bytes, length: int) -> Words:
    """Raises FederationError where the bytes are not those of `length` words."""
    if len(raw) != WORD_BYTES * length:
        raise FederationError(
            f"a masked update has {len(raw)} bytes, {WORD_BYTES * length} were wanted",
            fix="the device trains other layers, or another model, than the server",
        )
    words = np.zeros((length, 4), np.uint8)
    words[:, :WORD_BYTES] = np.frombuffer(raw, np.uint8).reshape(length, WORD_BYTES)
    return np.asarray(words.view("<u4").ravel(), np.uint32)
