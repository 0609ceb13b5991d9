"""Secure aggregation's arithmetic: masks that cancel in the sum, and who shares secrets with whom.

Bonawitz et al. 2017, "Practical Secure Aggregation for Privacy-Preserving Machine Learning"; above
`COMPLETE` devices each has some neighbours only (Bell et al. 2020, SecAgg+). A device adds one mask
of its own and one with each neighbour; of a pair, one adds it and the other subtracts it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.errors import FederationError
from shared.federation.fixed_point import LOW, Words
from shared.federation.shamir import Entropy

SEED_BYTES = 32
COMMITMENT_BYTES = 16
FEWEST = 3
"""With two devices, each would learn the other's update from the sum."""
COMPLETE = 32
"""Up to so many devices, all are neighbours of all."""

_MASK, _PARCEL = b"splitsight mask", b"splitsight parcel"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An X25519 key of one round, 32 bytes a half."""

    private: bytes
    public: bytes

    @classmethod
    def new(cls, entropy: Entropy = secrets.token_bytes) -> KeyPair:
        return cls.of(entropy(SEED_BYTES))

    @classmethod
    def of(cls, private: bytes) -> KeyPair:
        key = X25519PrivateKey.from_private_bytes(private)
        return cls(private, key.public_key().public_bytes_raw())


@dataclass(frozen=True, slots=True)
class DevicePair:
    """Two devices of one session, and the key that both derive from their own half and the other's.

    Raises FederationError where the other's half is no key.
    """

    session: bytes
    mine: int
    other: int

    def mask_seed(self, private: bytes, public: bytes) -> bytes:
        low, high = sorted((self.mine, self.other))
        return self._derive(private, public, _MASK + _number(low) + _number(high))

    def seal(self, private: bytes, public: bytes, content: bytes) -> bytes:
        """For the other's eyes: nobody else can read it or change it unnoticed."""
        cipher, nonce = self._cipher(private, public, self.mine)
        return cipher.encrypt(nonce, content, self.session)

    def open(self, private: bytes, public: bytes, parcel: bytes) -> bytes:
        """What the other sealed for this device."""
        cipher, nonce = self._cipher(private, public, self.other)
        try:
            return cipher.decrypt(nonce, parcel, self.session)
        except InvalidTag as error:
            raise FederationError(
                f"the parcel of device {self.other} was changed on its way",
                fix="start another round; if it happens again, look at what carries the messages",
            ) from error

    def _cipher(self, private: bytes, public: bytes, sender: int) -> tuple[ChaCha20Poly1305, bytes]:
        # One parcel a sender and key, so that the nonce may be a constant of the sender's.
        key = self._derive(private, public, _PARCEL + _number(sender))
        return ChaCha20Poly1305(key), bytes(12)

    def _derive(self, private: bytes, public: bytes, purpose: bytes) -> bytes:
        try:
            peer = X25519PublicKey.from_public_bytes(public)
            common = X25519PrivateKey.from_private_bytes(private).exchange(peer)
        except ValueError as error:
            raise FederationError(
                f"device {self.other} has sent a key that is none",
                fix="leave the device out of the next round",
            ) from error
        kdf = HKDF(hashes.SHA256(), SEED_BYTES, salt=self.session, info=purpose)
        return kdf.derive(common)


def is_key(public: bytes) -> bool:
    """Whether another half can be agreed with: 32 bytes, and none of the few weak points."""
    try:
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        return False
    return True


def commitment(secret: bytes) -> bytes:
    """Says nothing about a random secret, and only this secret fits it."""
    return hashlib.sha256(b"splitsight commitment" + secret).digest()[:COMMITMENT_BYTES]


def stream(seed: bytes, length: int) -> Words:
    """`length` words from a seed that is used once; all 32 bits are random."""
    encryptor = Cipher(ChaCha20(seed, bytes(16)), mode=None).encryptor()
    raw = encryptor.update(bytes(4 * length))
    return np.frombuffer(raw, "<u4").astype(np.uint32, copy=False)


def masked(words: Words, own: bytes, pairs: Mapping[int, bytes], me: int) -> Words:
    """An update under its device's own mask and those with its neighbours, by their seeds."""
    total = words + stream(own, len(words))
    for other, seed in pairs.items():
        _add(total, seed, plus=me < other)
    return total & LOW


def unmasked(total: Words, own: Iterable[bytes], broken: Iterable[tuple[int, int, bytes]]) -> Words:
    """The sum of the updates behind the sum of the masked ones.

    own      seeds of the devices that are in the sum
    broken   seeds of pairs of which one half is missing: (who is in the sum, who is not, seed)
    """
    total = total.copy()
    for seed in own:
        _add(total, seed, plus=False)
    for present, missing, seed in broken:
        _add(total, seed, plus=present > missing)
    return total & LOW


def neighbours(devices: Collection[int], session: bytes) -> dict[int, tuple[int, ...]]:
    """With whom each device shares its secrets, the same wherever it is computed.

    The devices lie on a circle in an order that the session draws; each has as many neighbours to
    its left as to its right (a Harary graph, as in Bell et al. 2020).
    """
    circle = sorted(devices, key=lambda one: hashlib.sha256(session + _number(one)).digest())
    count, reach = len(circle), degree(len(circle)) // 2
    if degree(count) >= count - 1:
        return {one: tuple(sorted(set(circle) - {one})) for one in circle}
    steps = [step for step in range(-reach, reach + 1) if step]
    return {
        one: tuple(sorted(circle[(place + step) % count] for step in steps))
        for place, one in enumerate(circle)
    }


def degree(devices: int) -> int:
    """How many neighbours a device has among so many.

    The masks leave only the whole sum open as long as the devices that stay hold together in one
    piece: 2 · ⌈log₂ n⌉ in a row, at two places, would have to drop out or tell the server all.
    """
    if devices <= COMPLETE:
        return devices - 1
    return 4 * (devices - 1).bit_length()


def threshold(holders: int) -> int:
    """How many of a secret's holders must agree to give it up.

    Two thirds, and always more than half: a server that tells one half that a device has stayed
    and the other half that it has gone learns one of its two secrets at most.
    """
    return max(holders // 2 + 1, 2 * holders // 3)


def _add(total: Words, seed: bytes, *, plus: bool) -> None:
    mask = stream(seed, len(total))
    if plus:
        total += mask
    else:
        total -= mask


def _number(device: int) -> bytes:
    return device.to_bytes(8, "big")
