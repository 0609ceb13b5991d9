"""What travels between a device and the server while a sum is made of updates that nobody sees.

Four exchanges (Bonawitz et al. 2017): keys, shares, masked updates, what takes the masks off. The
first one rides on the training itself: a device trains, keeps its update and answers with keys.
"""

from __future__ import annotations

import math
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.errors import FederationError
from shared.federation.fixed_point import Floats

RECORD = "secure"
"""The configuration record that carries these, one a message, as bytes under BODY."""
BODY = "body"
DEAL, MASK, UNMASK = "train.secure_deal", "train.secure_mask", "train.secure_unmask"
SESSION_BYTES = 32
PARCEL_BYTES = 160
"""No sealed pair of shares is longer."""
REFUSED = 1010
"""Code of an answer in which a device refuses a step; its reason says why."""


class Invitation(msgspec.Struct, frozen=True):
    """Server → device, beside the model: train, keep the update, answer with keys.

    session   32 random bytes
    devices   how many are invited: the words are scaled so that so many don't wrap
    cap       the largest number of examples that counts; 1 weighs all devices alike
    norm      changes are clipped to this L2 norm, all values together
    floor     and each value of a change to ± (floor + reach × the size of what was sent)
    reach     see `floor`
    metrics   numbers summed with the change, weighted like it, and the size that each may have
    """

    session: bytes
    devices: int
    cap: int
    norm: float
    floor: float
    reach: float
    metrics: dict[str, float] = {}

    def limits(self, sent: NDArray[np.floating]) -> Floats:
        """What each value of a change against `sent` may reach, then what the metrics may.

        Raises FederationError where that is nothing.
        """
        low = min(self.floor, *self.metrics.values(), self.norm)
        if not low > 0 or not 0 <= self.reach < math.inf:
            raise FederationError("the invitation's limits leave nothing of an update")
        values = self.floor + self.reach * np.abs(sent.astype(np.float32))
        values = np.minimum(values, self.norm)
        metrics = [self.metrics[name] for name in sorted(self.metrics)]
        return np.concatenate([values, np.array(metrics, np.float32)]).astype(np.float32)


class KeyProof(msgspec.Struct, frozen=True):
    """Whose keys an advert holds: the device's certificate (DER), and a signature with its key."""

    certificate: bytes
    signature: bytes


class Advert(msgspec.Struct, frozen=True):
    """Device → server: two X25519 keys of this session, and what its own seed can be checked by.

    proof   for the other devices, so that the server can't put keys of its own in their place;
            None from devices without a certificate, and from earlier releases
    """

    mask_key: bytes
    seal_key: bytes
    seed_check: bytes
    proof: KeyProof | None = None

    def signed_bytes(self, session: bytes, node: int) -> bytes:
        """What a proof signs: these keys, for this node, in this session alone."""
        parts = (session, node.to_bytes(8, signed=True), self.mask_key, self.seal_key)
        return b"splitsight keys 1" + b"".join(
            len(part).to_bytes(4) + part for part in (*parts, self.seed_check)
        )


class Roster(msgspec.Struct, frozen=True):
    """Server → device: everyone who trained, and the keys of this device's neighbours."""

    devices: list[int]
    adverts: dict[int, Advert]


class Shares(msgspec.Struct, frozen=True):
    """What one device deals to another: a share of each of its two secrets."""

    seed: bytes
    key: bytes


class Deal(msgspec.Struct, frozen=True):
    """Device → server: sealed Shares by receiver, and what each share can be checked by.

    checks   by holder, the device itself among them: of the seed's share, of the key's
    """

    parcels: dict[int, bytes]
    checks: dict[int, tuple[bytes, bytes]]


class SharesDelivery(msgspec.Struct, frozen=True):
    """Server → device: sealed Shares by sender."""

    parcels: dict[int, bytes]


class Masked(msgspec.Struct, frozen=True):
    """Device → server: the masked words, packed."""

    words: bytes


class Survivors(msgspec.Struct, frozen=True):
    """Server → device: whose masked update came, among it and its neighbours."""

    devices: list[int]


class Revealed(msgspec.Struct, frozen=True):
    """Device → server: shares of seeds of those that came, of keys of those that did not."""

    seeds: dict[int, bytes]
    keys: dict[int, bytes]


T = TypeVar("T", bound=msgspec.Struct)


def clipped(change: NDArray[np.floating], norm: float) -> Floats:
    """Scaled down to an L2 norm of `norm` where it is longer.

    Raises FederationError for what is not finite: no scale makes an update of that.
    """
    length = float(np.linalg.norm(change.astype(np.float64)))
    if not math.isfinite(length):
        raise FederationError("the update holds values that are no numbers", fix="train again")
    return (change.astype(np.float64) * min(1.0, norm / max(length, 1e-300))).astype(np.float32)


def written(message: msgspec.Struct) -> bytes:
    return msgspec.msgpack.encode(message)


def read(raw: object, kind: type[T]) -> T:
    """Raises FederationError where the bytes are no such message."""
    if not isinstance(raw, bytes):
        raise FederationError(f"a {kind.__name__} was wanted, {type(raw).__name__} came")
    try:
        return msgspec.msgpack.decode(raw, type=kind)
    except msgspec.MsgspecError as error:
        raise FederationError(
            f"what came is no {kind.__name__}: {error}",
            fix="device and server must run the same version of splitsight",
        ) from error
