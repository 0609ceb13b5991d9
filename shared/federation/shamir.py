"""Secrets in shares (Shamir 1979): any `threshold` of them give it back, fewer say nothing."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Collection, Mapping

from shared.errors import FederationError

Entropy = Callable[[int], bytes]
"""Gives that many random bytes."""

PRIME = 2**256 + 297
SECRET_BYTES = 32
SHARE_BYTES = 33


def split(
    secret: bytes,
    holders: Collection[int],
    threshold: int,
    entropy: Entropy = secrets.token_bytes,
) -> dict[int, bytes]:
    """A share for each of `holders`, which are distinct and above zero."""
    if len(secret) != SECRET_BYTES:
        raise FederationError(f"a secret has {len(secret)} bytes; {SECRET_BYTES} were wanted")
    if not 1 <= threshold <= len(set(holders)) or min(holders) < 1:
        raise FederationError(f"{len(set(holders))} holders can't keep {threshold} shares apart")
    polynomial = [int.from_bytes(secret, "big")]
    polynomial += [_element(entropy) for _ in range(threshold - 1)]
    return {holder: _value(polynomial, holder).to_bytes(SHARE_BYTES, "big") for holder in holders}


def join(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """The secret behind `shares`, by holder.

    Raises FederationError where they are fewer than `threshold`, or don't belong together.
    """
    if len(shares) < threshold:
        raise FederationError(f"{len(shares)} of {threshold} shares are too few for the secret")
    chosen = tuple(sorted(shares)[:threshold])
    total = 0
    for holder, weight in zip(chosen, _weights(chosen), strict=True):
        share = int.from_bytes(shares[holder], "big")
        if len(shares[holder]) != SHARE_BYTES or share >= PRIME:
            raise FederationError(f"what holder {holder} gave is no share")
        total = (total + share * weight) % PRIME
    if total >> (8 * SECRET_BYTES):
        raise FederationError("the shares don't belong to one secret")
    return total.to_bytes(SECRET_BYTES, "big")


def _element(entropy: Entropy) -> int:
    """Uniform below PRIME, up to 2**-128: a longer number, reduced."""
    return int.from_bytes(entropy(SHARE_BYTES + 16), "big") % PRIME


def _value(polynomial: list[int], at: int) -> int:
    value = 0
    for coefficient in reversed(polynomial):
        value = (value * at + coefficient) % PRIME
    return value


@functools.lru_cache(maxsize=256)
def _weights(holders: tuple[int, ...]) -> tuple[int, ...]:
    """Lagrange's weights at zero."""
    weights = []
    for here in holders:
        over, under = 1, 1
        for other in holders:
            if other != here:
                over = over * other % PRIME
                under = under * (other - here) % PRIME
        weights.append(over * pow(under, -1, PRIME) % PRIME)
    return tuple(weights)
